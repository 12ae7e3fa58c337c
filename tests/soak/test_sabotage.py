"""The checker detects a sabotaged unit of work.

With the safeguards behind the lock, it detects two overlapping spans under one lock, or a holder
that does not see what the last one committed. A refusal by a safeguard only counts as a collision,
which does not show that the lock failed. Without the safeguards, the damage is in the rows.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.soak.checker import Verdict, check_run
from tests.soak.draws import CONTENDING, MIXED
from tests.soak.load import Load, conninfo_of, run
from tests.soak.sabotage import Sabotage
from tests.soak.violation import Rule

OPERATIONS = 320

Judge = Callable[..., Verdict]


@pytest.fixture
def judged(template: str, new_database: Callable[[str], sa.URL], tmp_path: Path) -> Judge:
    """Run 16 workers on two groups of one student, without faults, and return the verdict."""

    def judge(sabotage: Sabotage, *, safeguards: bool = True, mixed: bool = False) -> Verdict:
        url = new_database(template)
        load = Load(
            OPERATIONS, processes=2, threads=4, tasks=4, students=(2,), faults=0, cuts=False,
            external_fault_interval=None, kills=0, sabotage=sabotage, safeguards=safeguards,
            weights=MIXED if mixed else CONTENDING,
        )  # fmt: skip
        run(load, url, tmp_path)
        return check_run(tmp_path, conninfo_of(url))

    return judge


def test_lock_suffices_without_the_other_safeguards(judged: Judge) -> None:
    verdict = judged(Sabotage.NOTHING, safeguards=False)
    assert not verdict.violations, str(verdict)


@pytest.mark.parametrize("sabotage", [Sabotage.LOCK_SKIPPED, Sabotage.RELEASED_EARLY])
def test_lock_skipped_or_released_early_is_detected_by_overlapping_holders(
    judged: Judge, sabotage: Sabotage
) -> None:
    verdict = judged(sabotage)
    # STUDENT_LOCK is not asserted: the exclusion constraint itself can delay the second group.
    assert Rule.OVERLAP in verdict.rules_broken, str(verdict)


def test_skipped_shared_lock_is_detected_by_overlap_with_an_exclusive_one(judged: Judge) -> None:
    verdict = judged(Sabotage.SHARED_SKIPPED, mixed=True)
    assert Rule.SHARED_AND_EXCLUSIVE in verdict.rules_broken, str(verdict)
    assert Rule.OVERLAP not in verdict.rules_broken, "exclusive locks are still acquired"


def test_marks_that_share_the_lock_break_no_rule(judged: Judge) -> None:
    verdict = judged(Sabotage.NOTHING, mixed=True)
    assert not verdict.violations, str(verdict)
    assert verdict.overlapping_shared, "no marks overlapped, so the test proves nothing"


def test_skipped_lock_without_the_safeguards_is_detected_in_the_rows(judged: Judge) -> None:
    verdict = judged(Sabotage.LOCK_SKIPPED, safeguards=False)
    expected = {Rule.OVERLAP, Rule.STUDENT_LOCK, Rule.ROWS, Rule.STUDENT_TIME}
    assert expected <= verdict.rules_broken, str(verdict)


def test_snapshot_older_than_the_lock_is_detected_by_stale_reads_of_its_holder(
    judged: Judge,
) -> None:
    verdict = judged(Sabotage.OLD_SNAPSHOT)
    assert Rule.STALE_HOLDER in verdict.rules_broken, str(verdict)
    assert Rule.OVERLAP not in verdict.rules_broken, "the lock itself works"


def test_snapshot_older_than_the_lock_lets_plans_overlap_without_the_safeguards(
    judged: Judge,
) -> None:
    verdict = judged(Sabotage.OLD_SNAPSHOT, safeguards=False)
    assert Rule.STUDENT_TIME in verdict.rules_broken, str(verdict)
