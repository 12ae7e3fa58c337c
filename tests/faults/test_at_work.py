"""Faults that occur while a statement runs: the lock request, the read or the fence."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from domain import PlanGroup
from domain.testing import Step
from domain.testing.contention import TIMEOUT, cancel_backend, eventually, terminate_backend
from tests.concurrency.overlapping import generate_after_waiting
from tests.faults.stage import Outcome, Stage
from tests.integration.storing import traces

OBSTACLES: Final = {
    "waiting for the lock": "SELECT acquired FROM public.acquire_plan_group_lock(:group)",
    "reading": "LOCK TABLE studyplan.contents IN ACCESS EXCLUSIVE MODE",
    "at the fence": "SELECT id FROM studyplan.plan_groups WHERE id = :group FOR UPDATE",
}
FAULTS: Final[dict[str, Callable[[Stage, int], None]]] = {
    "pg_terminate_backend": lambda stage, pid: terminate_backend(stage.direct, pid),
    "pg_cancel_backend": lambda stage, pid: cancel_backend(stage.direct, pid),
    "network cut": lambda stage, _: stage.proxy.cut(),
    "server crash": lambda stage, _: stage.server.restart(immediate=True),
}
BLOCKED: Final = sa.text(
    "SELECT pid FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND cardinality(pg_blocking_pids(pid)) > 0"
)


@pytest.mark.parametrize("obstacle", OBSTACLES)
@pytest.mark.parametrize("fault", FAULTS)
def test_request_hit_by_a_fault_during_a_statement_fails_and_the_next_succeeds(
    stage: Stage, fault: str, obstacle: str
) -> None:
    group = stage.planned_group(Step.AFTER_THE_READ)
    before = traces(stage.direct, group.id)
    with ThreadPoolExecutor(1) as pool, _obstacle(stage, group, obstacle):
        request = pool.submit(generate_after_waiting, stage.factory, group)
        eventually(lambda: _blocked(stage) is not None, "the request is blocked")
        FAULTS[fault](stage, _blocked(stage) or 0)
        failure = request.exception(TIMEOUT)
    assert isinstance(failure, DBAPIError)
    cancelled = isinstance(failure.orig, psycopg.errors.QueryCanceled)
    assert cancelled is (fault == "pg_cancel_backend")
    stage.assert_locks_are_free(group)
    assert stage.outcome(group, before) is Outcome.OLD
    stage.assert_the_next_request_succeeds(group)


@contextmanager
def _obstacle(stage: Stage, group: PlanGroup, name: str) -> Iterator[None]:
    connection = stage.direct.connect()
    connection.execute(sa.text(OBSTACLES[name]), {"group": group.id})
    try:
        yield
    finally:
        connection.invalidate()  # the server may have been restarted
        connection.close()


def _blocked(stage: Stage) -> int | None:
    with stage.direct.connect() as connection:
        pid: int | None = connection.scalar(BLOCKED)
    return pid
