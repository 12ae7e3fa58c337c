"""A generation is reported once, after its unit of work has ended, with the outcome."""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain import PlanGenerationService, PlanGroup, UnitOfWork
from domain.errors import (
    InvalidInputError,
    LockNotHeldError,
    NoContentsError,
    UncommittedChangesError,
    UnitOfWorkStateError,
)
from domain.events import GenerationEvent
from domain.testing import assert_lock_free
from domain.testing.contention import TIMEOUT, eventually
from domain.unit_of_work.ending import Stage
from tests.factories import AcademyScheduleFactory
from tests.integration.storing import (
    End,
    Factory,
    book_group,
    commit_with_a_failing_listener,
    end_without_commit,
    generate_in,
    listening,
    outcomes,
    plans,
    raise_an_error,
    request,
    stored_group,
    unit_of_work,
)

# --- committed --------------------------------------------------------------------------


def test_generation_is_reported_after_the_commit_when_the_lock_is_free(
    engine: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    seen: list[tuple[str, int]] = []

    def listener(event: GenerationEvent) -> None:
        assert_lock_free(engine, group.id)
        seen.append((event.outcome, len(plans(session_factory, group))))

    with listening(listener), unit_of_work(session_factory, group) as uow:
        result = generate_in(uow, group)
        assert seen == []
        uow.commit()
        assert seen == [("generated", len(result.plans))]
    assert len(seen) == 1


def test_listener_of_a_generation_may_enter_a_unit_of_work_for_the_same_group(
    session_factory: Factory, group: PlanGroup
) -> None:
    entered: list[GenerationEvent] = []

    def listener(event: GenerationEvent) -> None:
        with unit_of_work(session_factory, group) as uow:
            uow.commit()
        entered.append(event)

    with listening(listener):
        request(session_factory, group)
    assert len(entered) == 1


def test_repeated_result_is_reported_after_the_commit(
    session_factory: Factory, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    request(session_factory, group, idempotency_key="k")
    with unit_of_work(session_factory, group) as uow:
        generate_in(uow, group, idempotency_key="k")
        assert len(reported) == 1
        uow.commit()
    assert outcomes(reported) == [("generated", None), ("repeated", None)]
    assert reported[0].generation == reported[1].generation == 1


def test_generations_of_several_groups_are_reported_one_by_one_in_order(
    session_factory: Factory, reported: list[GenerationEvent]
) -> None:
    first = book_group(session_factory)
    empty = stored_group(session_factory, contents=[], tenant_id=first.tenant_id)
    last = book_group(session_factory, tenant_id=first.tenant_id)
    with unit_of_work(session_factory, first, empty, last) as uow:
        generate_in(uow, last)
        with pytest.raises(NoContentsError):
            generate_in(uow, empty)
        generate_in(uow, first)
        assert reported == []
        uow.commit()
    assert [event.group_id for event in reported] == [last.id, empty.id, first.id]
    assert [event.outcome for event in reported] == ["generated", "refused", "generated"]


def test_generation_time_does_not_include_the_commit(
    session_factory: Factory, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    began = datetime.now(UTC)
    with unit_of_work(session_factory, group) as uow:
        generate_in(uow, group)
        computed = datetime.now(UTC)
        uow.commit()
    (event,) = reported
    assert began < event.ended_at <= computed
    assert 0 < event.seconds < (computed - began).total_seconds()


def test_listener_that_fails_after_the_commit_does_not_hide_the_commit(
    session_factory: Factory, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    def fail(_: Session) -> None:
        raise KeyError

    def commit(uow: UnitOfWork) -> None:
        sa.event.listen(uow.session, "after_commit", fail)
        uow.commit()

    with pytest.raises(KeyError):
        request(session_factory, group, commit)
    assert outcomes(reported) == [("generated", None)]
    assert plans(session_factory, group)


# --- rolled back ------------------------------------------------------------------------


def commit_a_conflict(uow: UnitOfWork) -> None:
    (group_id,) = uow.lock.group_ids
    ids = {"tenant_id": uow.tenant_id, "student_id": uow.lock_student(group_id)}
    uow.session.add_all([AcademyScheduleFactory.build(**ids) for _ in range(2)])
    uow.commit()


def commit_after_a_rollback_in_sql(uow: UnitOfWork) -> None:
    uow.session.execute(sa.text("ROLLBACK"))
    uow.session.execute(sa.text("SELECT 1"))
    uow.commit()


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        (UnitOfWork.rollback, None),
        (raise_an_error, ZeroDivisionError),
        (end_without_commit, UncommittedChangesError),
        (commit_a_conflict, InvalidInputError),
        (commit_after_a_rollback_in_sql, LockNotHeldError),
        (commit_with_a_failing_listener, KeyError),
    ],
)
@pytest.mark.parametrize("repeated", [False, True])
def test_generation_that_is_not_committed_is_reported_once_as_rolled_back(
    *,
    engine: sa.Engine,
    session_factory: Factory,
    group: PlanGroup,
    end: End,
    raised: type[Exception] | None,
    repeated: bool,
) -> None:
    if repeated:
        request(session_factory, group, idempotency_key="k")
        if end is end_without_commit:
            raised = None  # nothing was written, so the exit raises no error
    seen: list[GenerationEvent] = []
    # A connection whose commit failed before it was sent is closed: the server notices that later.
    seconds = 10 if end is commit_with_a_failing_listener else 0

    def listener(event: GenerationEvent) -> None:
        assert_lock_free(engine, group.id, seconds=seconds)
        seen.append(event)

    with listening(listener), nullcontext() if raised is None else pytest.raises(raised):
        request(session_factory, group, end, idempotency_key="k")
    error_type = None if raised is None else getattr(raised, "code", raised.__name__)
    assert outcomes(seen) == [("rolled_back", error_type)]
    assert (seen[0].generation, seen[0].rows > 0) == (1, True)


def test_error_of_the_commit_is_reported_instead_of_a_later_error_of_the_block(
    session_factory: Factory, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    def commit(uow: UnitOfWork) -> None:
        try:
            commit_with_a_failing_listener(uow)
        except KeyError:
            raise ZeroDivisionError from None

    with pytest.raises(ZeroDivisionError):
        request(session_factory, group, commit)
    assert outcomes(reported) == [("rolled_back", "KeyError")]


def test_generation_in_a_savepoint_that_is_rolled_back_is_reported_as_rolled_back(
    session_factory: Factory, reported: list[GenerationEvent]
) -> None:
    undone = book_group(session_factory)
    kept = book_group(session_factory, tenant_id=undone.tenant_id)
    with unit_of_work(session_factory, undone, kept) as uow:
        uow.lock_student(undone.id)
        with uow.session.begin_nested():
            generate_in(uow, kept)
        with uow.session.begin_nested() as savepoint:
            with uow.session.begin_nested():
                generate_in(uow, undone)
            savepoint.rollback()
        uow.commit()
    assert outcomes(reported) == [("generated", None), ("rolled_back", None)]
    assert plans(session_factory, kept)
    assert plans(session_factory, undone) == []


def test_block_that_ends_while_a_thread_uses_it_is_reported_as_rolled_back(
    engine: sa.Engine, session_factory: Factory, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    generated = threading.Event()

    def generate_and_wait(uow: UnitOfWork) -> None:
        with uow.exclusive_call():
            generate_in(uow, group)
            generated.set()
            eventually(lambda: uow._stage is Stage.CLOSED, "the block is being exited")

    def exit_too_early() -> None:
        with unit_of_work(session_factory, group) as uow:
            forgotten.append(pool.submit(generate_and_wait, uow))
            generated.wait(TIMEOUT)

    forgotten: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(UncommittedChangesError):
            exit_too_early()
        forgotten[0].result(TIMEOUT)
    assert outcomes(reported) == [("rolled_back", "UncommittedChangesError")]
    assert_lock_free(engine, group.id)


@pytest.mark.parametrize(
    ("end", "level"), [(raise_an_error, logging.WARNING), (UnitOfWork.rollback, logging.INFO)]
)
def test_rolled_back_generation_is_logged_as_a_warning_if_an_error_was_the_reason(
    *,
    session_factory: Factory,
    group: PlanGroup,
    caplog: pytest.LogCaptureFixture,
    end: End,
    level: int,
) -> None:
    caplog.set_level(logging.INFO, "studyplan.generation")
    with suppress(ZeroDivisionError):
        request(session_factory, group, end)
    (record,) = caplog.records
    assert (record.getMessage(), record.levelno) == ("plan_generation.rolled_back", level)


# --- refused and failed -----------------------------------------------------------------


def test_refused_generation_is_reported_once_although_it_is_rolled_back(
    session_factory: Factory, reported: list[GenerationEvent]
) -> None:
    group = stored_group(session_factory, contents=[])
    with pytest.raises(NoContentsError):
        request(session_factory, group)
    assert outcomes(reported) == [("refused", "no_contents")]


def test_failed_generation_is_reported_once_although_it_is_rolled_back(
    session_factory: Factory, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    def broken(_: object) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), unit_of_work(session_factory, group) as uow:
        PlanGenerationService(uow, compute=broken).generate(today=date(2025, 1, 6))
    assert outcomes(reported) == [("failed", "ZeroDivisionError")]


def test_generation_outside_the_block_is_reported_immediately(
    session_factory: Factory, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    uow = unit_of_work(session_factory, group)
    with pytest.raises(UnitOfWorkStateError):
        generate_in(uow, group)
    assert outcomes(reported) == [("failed", "UnitOfWorkStateError")]
