"""The soak's load behind a transaction pooler, and the lock that would not survive one."""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from tests.pooler.pgbouncer import pgbouncer
from tests.soak.checker import check_run
from tests.soak.history import Kind, Outcome
from tests.soak.load import Load, conninfo_of, run
from tests.soak.sabotage import Sabotage
from tests.soak.violation import Rule

BACKENDS = 8
FEW = 2
"""So few that a backend often comes back to a client with the lock of another."""


def test_generations_exclude_each_other_behind_the_pooler_while_they_come_to_harm(
    server_url: sa.URL, template: str, new_database: Callable[[str], sa.URL], tmp_path: Path
) -> None:
    url = new_database(template)
    with pgbouncer(server_url, pool_size=BACKENDS) as pooler:
        run(Load(400), url, tmp_path, through=pooler.url_for(url))
        verdict = check_run(tmp_path, conninfo_of(url))
    assert not verdict.violations, str(verdict)
    assert verdict.outcomes[Kind.GENERATE, Outcome.DONE] >= 20, str(verdict)


def test_a_session_lock_is_seen_by_overlapping_holders_and_by_what_is_never_freed(
    server_url: sa.URL, template: str, new_database: Callable[[str], sa.URL], tmp_path: Path
) -> None:
    url = new_database(template)
    load = Load(
        240, processes=2, threads=4, tasks=4, students=(2,), faults=0, harm_every=None, kills=0,
        mixed=False, sabotage=Sabotage.SESSION_LOCK,
    )  # fmt: skip
    with pgbouncer(server_url, pool_size=FEW) as pooler:
        run(load, url, tmp_path, through=pooler.url_for(url))
        verdict = check_run(tmp_path, conninfo_of(url))
    assert {Rule.OVERLAP, Rule.LEAK} <= verdict.rules_broken, str(verdict)
