"""The soak load behind a transaction pooler, and a session-level lock that fails there."""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from tests.pooler.pgbouncer import pgbouncer
from tests.soak.checker import check_run
from tests.soak.draws import CONTENDING
from tests.soak.history import Kind, Outcome
from tests.soak.load import Load, conninfo_of, run
from tests.soak.sabotage import Sabotage
from tests.soak.violation import Rule

BACKENDS = 8
FEW_BACKENDS = 2
"""Few enough that a client often gets a backend that holds the session-level lock of another."""


def test_generations_behind_the_pooler_exclude_each_other_under_faults(
    server_url: sa.URL, template: str, new_database: Callable[[str], sa.URL], tmp_path: Path
) -> None:
    url = new_database(template)
    with pgbouncer(server_url, pool_size=BACKENDS) as pooler:
        run(Load(400), url, tmp_path, through=pooler.url_for(url))
        verdict = check_run(tmp_path, conninfo_of(url))
    assert not verdict.violations, str(verdict)
    assert verdict.outcomes[Kind.GENERATE, Outcome.DONE] >= 20, str(verdict)


def test_session_lock_is_detected_by_overlapping_holders_and_leaked_locks(
    server_url: sa.URL, template: str, new_database: Callable[[str], sa.URL], tmp_path: Path
) -> None:
    url = new_database(template)
    load = Load(
        240, processes=2, threads=4, tasks=4, students=(2,), faults=0, kills=0, weights=CONTENDING,
        external_fault_interval=None, sabotage=Sabotage.SESSION_LOCK,
    )  # fmt: skip
    with pgbouncer(server_url, pool_size=FEW_BACKENDS) as pooler:
        run(load, url, tmp_path, through=pooler.url_for(url))
        verdict = check_run(tmp_path, conninfo_of(url))
    assert {Rule.OVERLAP, Rule.LEAK} <= verdict.rules_broken, str(verdict)
