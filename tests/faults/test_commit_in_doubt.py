"""A client that loses its connection during the commit does not know whether it took effect.

The server does know, and the plans are complete in either case. The client learns the outcome if it
repeats the request with the same idempotency key.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroupLock, UnitOfWork, generate_plans
from domain.services.undo import UndoResult, UndoService
from domain.testing import Step, assert_lock_held
from domain.testing.contention import TIMEOUT, cancel_backend, eventually, terminate_backend
from tests.faults.operations import live, plans_of
from tests.faults.stage import BROKEN, Outcome, Stage
from tests.integration.storing import FIRST, generate, traces

COMMIT = b"COMMIT\0"


@pytest.fixture
def waiting_for_standby(stage: Stage) -> Iterator[sa.Engine]:
    """An engine whose commits are flushed to disk and then wait for a standby."""
    options = {"options": "-c synchronous_commit=on"}
    engine = sa.create_engine(stage.engine.url, connect_args=options, pool_pre_ping=True)
    yield engine
    engine.dispose()


def test_commit_lost_before_it_reaches_the_server_changes_nothing(stage: Stage) -> None:
    group = stage.planned_group(Step.DURING_COMMIT)
    before = traces(stage.direct, group.id)
    stage.proxy.cut_before(COMMIT)
    with pytest.raises(BROKEN):
        generate(stage.factory, group)
    stage.assert_locks_are_free(group)
    assert stage.outcome(group, before) is Outcome.OLD
    stage.assert_the_next_request_succeeds(group)


def test_commit_whose_response_is_lost_takes_effect(stage: Stage) -> None:
    group = stage.planned_group(Step.DURING_COMMIT)
    before = traces(stage.direct, group.id)
    stage.proxy.cut_after(COMMIT)
    with pytest.raises(BROKEN):
        generate(stage.factory, group)
    stage.assert_locks_are_free(group)
    assert stage.outcome(group, before) is Outcome.NEW
    stage.assert_the_next_request_succeeds(group)


@pytest.mark.parametrize("lose", ["cut_before", "cut_after"])
def test_request_repeated_with_its_key_after_an_unknown_commit_generates_once(
    stage: Stage, lose: str
) -> None:
    group = stage.planned_group(Step.DURING_COMMIT)
    before = traces(stage.direct, group.id)

    def request() -> Any:
        return generate_plans(
            stage.factory,
            PlanGroupLock(group.tenant_id, group.id),
            today=FIRST,
            idempotency_key=f"{lose} {group.id}",
        )

    getattr(stage.proxy, lose)(COMMIT)
    with pytest.raises(BROKEN):
        request()
    stage.assert_locks_are_free(group)
    assert request().generation == before[0] + 1
    assert stage.outcome(group, before) is Outcome.NEW


@pytest.mark.parametrize("lose", ["cut_before", "cut_after"])
def test_undo_repeated_with_its_key_after_an_unknown_commit_undoes_once(
    stage: Stage, lose: str
) -> None:
    group = stage.planned_group(Step.DURING_COMMIT)
    first = {plan.id for plan in live(plans_of(stage.direct, group))}
    generate(stage.factory, group)
    before = traces(stage.direct, group.id)

    def request() -> UndoResult:
        with UnitOfWork(stage.factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            result = UndoService(uow).undo(idempotency_key=f"undo {lose} {group.id}")
            uow.commit()
        return result

    getattr(stage.proxy, lose)(COMMIT)
    with pytest.raises(BROKEN):
        request()
    stage.assert_locks_are_free(group)
    found = request()
    assert (found.generation, found.undone, found.repeated) == (3, 2, lose == "cut_after")
    assert stage.outcome(group, before) is Outcome.NEW
    assert {plan.id for plan in live(plans_of(stage.direct, group))} == first


@pytest.mark.parametrize("end", [terminate_backend, cancel_backend])
def test_commit_that_is_on_disk_survives_termination_and_cancellation_of_its_backend(
    stage: Stage, waiting_for_standby: sa.Engine, end: Callable[[sa.Engine, int], None]
) -> None:
    _fault_after_flush(stage, waiting_for_standby, lambda pid: end(stage.direct, pid))


def test_commit_that_is_on_disk_survives_a_crash(
    stage: Stage, waiting_for_standby: sa.Engine
) -> None:
    _fault_after_flush(stage, waiting_for_standby, lambda _: stage.server.restart(immediate=True))


def _fault_after_flush(stage: Stage, engine: sa.Engine, action: Callable[[int], None]) -> None:
    group = stage.planned_group(Step.DURING_COMMIT)
    before = traces(stage.direct, group.id)
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(generate, sessionmaker(engine), group)
        eventually(
            lambda: _pid_waiting_for_standby(stage.direct) is not None,
            "the commit is flushed to disk",
        )
        assert_lock_held(stage.direct, group.id)
        action(_pid_waiting_for_standby(stage.direct) or 0)
        failure = request.exception(TIMEOUT)
    assert failure is None or isinstance(failure, BROKEN)
    stage.assert_locks_are_free(group)
    assert stage.outcome(group, before) is Outcome.NEW
    stage.assert_the_next_request_succeeds(group)


def _pid_waiting_for_standby(engine: sa.Engine) -> int | None:
    statement = sa.text("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    with engine.connect() as connection:
        pid: int | None = connection.scalar(statement)
    return pid
