"""A spoilt unit of work does not get past the checker.

With the walls behind the lock as they are, what betrays it are two spans under one lock,
or a holder that does not see what the last one has committed; refusals by the walls alone
would count only as collisions. With the walls down the damage is in the rows.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.soak.checker import Verdict, check_run
from tests.soak.load import Load, conninfo_of, run
from tests.soak.sabotage import Sabotage
from tests.soak.violation import Rule

OPERATIONS = 320

Judge = Callable[..., Verdict]


@pytest.fixture
def judged(template: str, new_database: Callable[[str], sa.URL], tmp_path: Path) -> Judge:
    """The verdict over a load of 16 workers on two groups of one student, without faults."""

    def judge(sabotage: Sabotage, *, walls: bool = True, mixed: bool = False) -> Verdict:
        url = new_database(template)
        load = Load(
            OPERATIONS, processes=2, threads=4, tasks=4, students=(2,), faults=0, cuts=False,
            harm_every=None, kills=0, mixed=mixed, sabotage=sabotage, walls=walls,
        )  # fmt: skip
        run(load, url, tmp_path)
        return check_run(tmp_path, conninfo_of(url))

    return judge


def test_without_the_walls_the_lock_alone_is_enough(judged: Judge) -> None:
    verdict = judged(Sabotage.NOTHING, walls=False)
    assert not verdict.violations, str(verdict)


@pytest.mark.parametrize("sabotage", [Sabotage.LOCK_SKIPPED, Sabotage.RELEASED_EARLY])
def test_a_lock_that_is_skipped_or_released_early_is_seen_by_overlapping_holders(
    judged: Judge, sabotage: Sabotage
) -> None:
    verdict = judged(sabotage)
    # Two groups of one student are kept apart for a while by the exclusion constraint itself.
    assert Rule.OVERLAP in verdict.rules_broken, str(verdict)


def test_a_shared_lock_that_is_skipped_is_seen_beside_an_exclusive_one(judged: Judge) -> None:
    verdict = judged(Sabotage.SHARED_SKIPPED, mixed=True)
    assert Rule.BESIDE_SHARED in verdict.rules_broken, str(verdict)
    assert Rule.OVERLAP not in verdict.rules_broken, "exclusive ones are held as ever"


def test_marks_that_share_the_lock_are_let_pass(judged: Judge) -> None:
    verdict = judged(Sabotage.NOTHING, mixed=True)
    assert not verdict.violations, str(verdict)
    assert verdict.together, "none of them overlapped, so nothing is proved"


def test_without_the_walls_its_damage_is_seen_in_the_rows(judged: Judge) -> None:
    verdict = judged(Sabotage.LOCK_SKIPPED, walls=False)
    seen = {Rule.OVERLAP, Rule.STUDENT_LOCK, Rule.ROWS, Rule.STUDENT_TIME}
    assert seen <= verdict.rules_broken, str(verdict)


def test_a_snapshot_older_than_the_lock_is_seen_by_what_its_holder_does_not_see(
    judged: Judge,
) -> None:
    verdict = judged(Sabotage.OLD_SNAPSHOT)
    assert Rule.OLD_SIGHT in verdict.rules_broken, str(verdict)
    assert Rule.OVERLAP not in verdict.rules_broken, "the lock itself is held"


def test_without_the_walls_it_gives_a_student_two_plans_at_one_time(judged: Judge) -> None:
    verdict = judged(Sabotage.OLD_SNAPSHOT, walls=False)
    assert Rule.STUDENT_TIME in verdict.rules_broken, str(verdict)
