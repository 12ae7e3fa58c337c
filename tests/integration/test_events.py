"""The events of locks and generations that listeners receive."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    StudentLock,
    UnitOfWork,
    events,
    generate_plans,
)
from domain.errors import LockTimeoutError, NoContentsError, SchemaError, WrongTransactionError
from domain.events import Event, GenerationEvent, LockEvent, subscribe
from domain.locking import acquiring
from domain.services import PlanGenerationService
from tests.integration.asking import acquire, backend_pid, until_waiting
from tests.integration.storing import FIRST, book_group, enter, generate, stored_group

Factory = sessionmaker[Session]
SHORT = timedelta(milliseconds=30)


@pytest.fixture
def reported() -> Iterator[list[Event]]:
    received: list[Event] = []
    unsubscribe = subscribe(received.append)
    yield received
    unsubscribe()


def test_free_lock_is_reported_as_acquired(
    session_factory: Factory, reported: list[Event], tenant_id: UUID, group_id: UUID
) -> None:
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    assert reported == [LockEvent("acquired", "group", group_id, group_ids=frozenset({group_id}))]


def test_lock_of_several_groups_is_reported_as_one_event_with_all_groups(
    session_factory: Factory, reported: list[Event], tenant_id: UUID
) -> None:
    ids = frozenset(uuid4() for _ in range(3))
    enter(session_factory, PlanGroupLock.of(tenant_id, ids))
    assert reported == [LockEvent("acquired", "group", None, group_ids=ids)]


def test_student_lock_is_reported_with_the_student(
    session_factory: Factory, reported: list[Event]
) -> None:
    student_id = uuid4()
    enter(session_factory, StudentLock(uuid4(), student_id))
    assert reported == [LockEvent("acquired", "student", student_id=student_id)]


def test_refusal_is_reported_with_the_holder(
    session_factory: Factory,
    connection: sa.Connection,
    reported: list[Event],
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    acquire(connection, group_id)
    with pytest.raises(PlanGroupLockedError) as refused:
        enter(session_factory, PlanGroupLock(tenant_id, group_id))
    (event,) = reported
    assert isinstance(event, LockEvent)
    assert (event.outcome, event.group_id, event.waited_ms) == ("busy", group_id, 0)
    assert event.holder == refused.value.holder
    assert event.holder is not None
    assert event.holder.pid == backend_pid(connection)
    assert event.error_type == "plan_group_locked"


def test_refusal_for_several_groups_is_reported_with_the_busy_group(
    session_factory: Factory,
    connection: sa.Connection,
    reported: list[Event],
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    acquire(connection, group_id)
    with pytest.raises(PlanGroupLockedError):
        enter(session_factory, PlanGroupLock.of(tenant_id, [uuid4(), group_id, uuid4()]))
    assert [event.group_id for event in reported] == [group_id]


def test_lock_timeout_is_reported_with_the_time_waited(
    session_factory: Factory,
    connection: sa.Connection,
    reported: list[Event],
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    acquire(connection, group_id)
    with pytest.raises(LockTimeoutError) as late:
        enter(session_factory, PlanGroupLock(tenant_id, group_id, wait=SHORT))
    (event,) = reported
    assert isinstance(event, LockEvent)
    assert (event.outcome, event.waited_ms) == ("timeout", late.value.waited_ms)
    assert event.error_type == "plan_group_lock_timeout"


def test_lock_statement_that_fails_is_reported_with_its_sqlstate(
    session_factory: Factory,
    engine: sa.Engine,
    connection: sa.Connection,
    reported: list[Event],
    tenant_id: UUID,
) -> None:
    group_id = uuid4()
    acquire(connection, group_id)
    patient = PlanGroupLock(tenant_id, group_id, wait=timedelta(seconds=20))
    with engine.connect() as waiter, engine.connect() as observer, ThreadPoolExecutor(1) as pool:
        pid = backend_pid(waiter)
        waiter.rollback()
        waiting = pool.submit(acquiring.acquire, waiter, patient)
        until_waiting(observer, group_id, 1)
        observer.execute(sa.select(sa.func.pg_cancel_backend(pid)))
        with pytest.raises(sa.exc.OperationalError):
            waiting.result(timeout=20)
    assert [(event.outcome, event.error_type) for event in reported] == [("error", "57014")]


def test_transaction_that_cannot_hold_a_lock_is_reported_as_an_error(
    connection: sa.Connection, reported: list[Event], tenant_id: UUID, group_id: UUID
) -> None:
    with connection.begin(), connection.begin_nested(), pytest.raises(WrongTransactionError):
        acquiring.acquire(connection, PlanGroupLock(tenant_id, group_id))
    assert [event.error_type for event in reported] == ["WrongTransactionError"]


def test_missing_functions_are_reported_as_an_error(
    empty_engine: sa.Engine, reported: list[Event], tenant_id: UUID, group_id: UUID
) -> None:
    with pytest.raises(SchemaError):
        enter(sessionmaker(empty_engine), PlanGroupLock(tenant_id, group_id))
    assert [(event.outcome, event.group_id) for event in reported] == [("error", group_id)]


def test_generation_is_reported_after_both_of_its_locks(
    session_factory: Factory, group: PlanGroup, reported: list[Event]
) -> None:
    """``group`` precedes ``reported``, which therefore omits the lock of its creation."""
    result = generate(session_factory, group)
    of_group, of_student, event = reported
    assert of_group.name == "plan_group_lock.acquired"
    assert of_student == LockEvent("acquired", "student", group.id, group.student_id)
    assert isinstance(event, GenerationEvent)
    assert event.name == "plan_generation.generated"
    assert (event.group_id, event.generation, event.rows, event.unplaced) == (
        group.id, 1, len(result.plans), len(result.unplaced),
    )  # fmt: skip
    assert 0 < event.seconds < 60
    assert event.error_type is None


def test_repeated_result_is_reported_as_repeated(
    session_factory: Factory, reported: list[Event]
) -> None:
    group = book_group(session_factory)
    for _ in range(2):
        generate_plans(
            session_factory,
            PlanGroupLock(group.tenant_id, group.id),
            today=FIRST,
            idempotency_key="k",
        )
    generations = [event for event in reported if isinstance(event, GenerationEvent)]
    assert [(event.outcome, event.generation) for event in generations] == [
        ("generated", 1),
        ("repeated", 1),
    ]
    assert generations[0].rows == generations[1].rows > 0


def test_refused_generation_is_reported_with_its_code(
    session_factory: Factory, reported: list[Event]
) -> None:
    group = stored_group(session_factory, contents=[])
    with pytest.raises(NoContentsError):
        generate(session_factory, group)
    event = reported[-1]
    assert (event.outcome, event.error_type, event.group_id) == ("refused", "no_contents", group.id)


def test_unexpected_error_is_reported_as_a_failed_generation(
    session_factory: Factory, reported: list[Event]
) -> None:
    group = book_group(session_factory)

    def broken(_: object) -> Any:
        raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow,
    ):
        PlanGenerationService(uow, compute=broken).generate(today=date(2025, 1, 6))
    assert (reported[-1].outcome, reported[-1].error_type) == ("failed", "ZeroDivisionError")


# --- listeners --------------------------------------------------------------------------


def test_listener_that_fails_affects_neither_the_work_nor_other_listeners(
    session_factory: Factory, group: PlanGroup, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(_: Event) -> None:
        raise ZeroDivisionError

    after: list[Event] = []
    ends = [subscribe(failing), subscribe(after.append)]
    assert generate(session_factory, group).generation == 1
    for end in ends:
        end()
    assert len(after) == 3
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert {vars(record)["event"] for record in logged} == {"listener.failed"}
    assert len(logged) == 3
    assert all(record.exc_info for record in logged)


def test_listener_that_unsubscribed_is_not_called_again(
    session_factory: Factory, tenant_id: UUID, group_id: UUID
) -> None:
    received: list[Event] = []
    first, second = subscribe(received.append), subscribe(received.append)
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    first()
    first()
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    second()
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    assert len(received) == 2 + 1


def test_listeners_that_unsubscribe_during_an_event_do_not_disturb_it(
    session_factory: Factory,
) -> None:
    """A removed listener still receives the current event, but not the next one."""
    calls: list[str] = []
    ends: list[Callable[[], None]] = []

    def unsubscribe_all(_: Event) -> None:
        calls.append("unsubscribing")
        for end in ends:
            end()

    ends.append(subscribe(unsubscribe_all))
    ends.append(subscribe(lambda _: calls.append("after")))
    enter(session_factory, PlanGroupLock(uuid4(), uuid4()))
    assert calls == ["unsubscribing", "after"]
    enter(session_factory, PlanGroupLock(uuid4(), uuid4()))
    assert calls == ["unsubscribing", "after"]


def test_listener_subscribed_during_an_event_receives_the_next_event(
    session_factory: Factory,
) -> None:
    calls: list[str] = []
    ends: list[Callable[[], None]] = []

    def subscribe_another(_: Event) -> None:
        ends.append(subscribe(lambda _: calls.append("new")))

    ends.append(subscribe(subscribe_another))
    enter(session_factory, PlanGroupLock(uuid4(), uuid4()))
    assert not calls
    ends[0]()
    enter(session_factory, PlanGroupLock(uuid4(), uuid4()))
    assert calls == ["new"]
    for end in ends:
        end()


def test_free_lock_builds_no_event_if_there_are_no_listeners(
    session_factory: Factory, tenant_id: UUID, group_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(events, "LockEvent")
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
