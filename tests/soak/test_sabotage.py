"""A spoilt unit of work does not get past the checker.

The walls behind the lock are down in these loads (see ``tests.soak.sabotage``), so that what
a failing lock lets through reaches the rows. At REPEATABLE READ two generations of one group
still fail on the fence's own row, which the server refuses to update from an old snapshot;
the damage there is between two groups of one student.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.pooler.pgbouncer import transaction_pooler
from tests.soak.checker import Verdict, check_run
from tests.soak.load import Load, conninfo_of, run
from tests.soak.sabotage import Sabotage
from tests.soak.violation import Rule

OPERATIONS = 240
SERVER_CONNECTIONS = 2
"""So few that a backend often comes back to a client with the lock of another."""

Judge = Callable[[Sabotage], Verdict]


@pytest.fixture
def judged(
    server_url: sa.URL, template: str, new_database: Callable[[str], sa.URL], tmp_path: Path
) -> Judge:
    """The verdict over a load of 16 workers on two groups of one student."""

    def judge(sabotage: Sabotage) -> Verdict:
        url = new_database(template)
        load = Load(
            OPERATIONS, processes=2, threads=6, tasks=2, students=(2,), faults=0,
            harm_every=None, kills=0, contention=True, sabotage=sabotage,
        )  # fmt: skip
        with _way(sabotage, server_url, url) as through:
            run(load, url, tmp_path, through=through)
            return check_run(tmp_path, conninfo_of(url))

    return judge


def test_without_the_walls_the_lock_alone_is_enough(judged: Judge) -> None:
    verdict = judged(Sabotage.WALLS)
    assert not verdict.violations, str(verdict)


@pytest.mark.parametrize("sabotage", [Sabotage.LOCK_SKIPPED, Sabotage.RELEASED_EARLY])
def test_a_lock_that_is_skipped_or_released_early_is_noticed(
    judged: Judge, sabotage: Sabotage
) -> None:
    verdict = judged(sabotage)
    noticed = {Rule.OVERLAP, Rule.REPEAT, Rule.ROWS, Rule.LOST, Rule.STUDENT_TIME}
    assert noticed <= verdict.rules_broken, str(verdict)


def test_a_session_lock_behind_the_transaction_pooler_is_noticed(judged: Judge) -> None:
    verdict = judged(Sabotage.SESSION_LOCK)
    assert {Rule.OVERLAP, Rule.LEAK} <= verdict.rules_broken, str(verdict)


def test_a_snapshot_older_than_the_lock_is_noticed(judged: Judge) -> None:
    verdict = judged(Sabotage.OLD_SNAPSHOT)
    assert Rule.STUDENT_TIME in verdict.rules_broken, str(verdict)


@contextmanager
def _way(sabotage: Sabotage, server: sa.URL, url: sa.URL) -> Iterator[sa.URL | None]:
    if sabotage is not Sabotage.SESSION_LOCK:
        yield None
        return
    with transaction_pooler(server, pool_size=SERVER_CONNECTIONS) as pooler:
        yield pooler.url_for(url)
