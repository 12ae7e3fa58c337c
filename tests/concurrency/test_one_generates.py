"""Exactly one of any number of simultaneous requests for a plan group generates."""

import multiprocessing
import threading
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLockedError
from domain.errors import PlanGroupNotFoundError
from domain.testing import contend
from domain.testing.contention import TIMEOUT, advisory_locks
from tests.concurrency.overlapping import in_another_thread
from tests.factories import PlanGroupFactory
from tests.integration.storing import FIRST, generate, live, stored_group, traces

BUSY = "플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요."


def test_single_request_generates(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    result = generate(session_factory, group)
    assert result.generation == 1
    assert len(live(session_factory, group)) == len(result.plans) > 0


def test_generation_succeeds_in_one_of_two_requests_and_the_other_gets_a_409_problem(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    answers = contend(2, lambda hold: generate(session_factory, group, hold=hold))
    (result,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    problem = refusal.to_problem()
    assert problem["status"] == 409
    assert problem["detail"] == BUSY
    assert problem["retryable"] is True
    assert [row.id for row in live(session_factory, group)] == list(result.plan_ids)


def test_generation_succeeds_in_exactly_one_of_32_threads(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    answers = contend(32, lambda hold: generate(session_factory, group, hold=hold))
    assert len(answers.results) == 1
    assert [type(refusal) for refusal in answers.refusals] == [PlanGroupLockedError] * 31
    generation, records, plans = traces(engine, group.id)
    assert generation == len(records) == 1
    assert {row.id for row in plans} == set(answers.results[0].plan_ids)
    assert advisory_locks(engine) == 0


def test_generation_succeeds_in_exactly_one_of_8_processes(
    engine: sa.Engine, session_factory: sessionmaker[Session], connect_args: dict[str, Any]
) -> None:
    group = stored_group(session_factory)
    context = multiprocessing.get_context("spawn")
    start, finished = context.Barrier(8), context.Semaphore(0)
    answers: Any = context.Queue()
    connection = (engine.url.render_as_string(hide_password=False), connect_args)
    arguments = (connection, (group.tenant_id, group.id), start, finished, answers)
    processes = [context.Process(target=_request_in_a_process, args=arguments) for _ in range(8)]
    for process in processes:
        process.start()
    outcomes = [answers.get(timeout=TIMEOUT) for _ in processes]
    for process in processes:
        process.join(TIMEOUT)
        assert process.exitcode == 0
    assert sorted(outcomes) == ["generated", *["plan_group_locked"] * 7]
    generation, records, plans = traces(engine, group.id)
    assert generation == len(records) == 1
    assert len(plans) == records[0].plan_count > 0


def test_requests_for_groups_of_different_students_do_not_wait_for_each_other(
    session_factory: sessionmaker[Session],
) -> None:
    groups = [stored_group(session_factory) for _ in range(8)]
    remaining = iter(groups)
    answers = contend(8, lambda hold: generate(session_factory, next(remaining), hold=hold))
    assert not answers.refusals
    assert {result.group_id for result in answers.results} == {group.id for group in groups}


def test_refused_request_leaves_no_trace(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    generate(session_factory, group)
    before = traces(engine, group.id)

    def request_and_be_refused() -> None:
        with pytest.raises(PlanGroupLockedError):
            generate(session_factory, group)
        assert traces(engine, group.id) == before

    generate(session_factory, group, hold=lambda: in_another_thread(request_and_be_refused))
    assert traces(engine, group.id)[0] == before[0] + 1


def test_refused_request_only_executes_the_lock_statement(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    statements: list[str] = []

    def request_and_be_refused() -> None:
        sa.event.listen(engine, "before_cursor_execute", _recording(statements))
        with pytest.raises(PlanGroupLockedError):
            generate(session_factory, group)

    generate(session_factory, group, hold=lambda: in_another_thread(request_and_be_refused))
    assert len(statements) == 1, (
        "with an event listener, the lock statement is executed through SQLAlchemy"
    )
    assert "acquire_plan_locks_with_limits" in statements[0]


def test_next_request_sees_and_replaces_the_plans_of_the_last_commit(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    first = generate(session_factory, group)
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE studyplan.student_plans SET pinned = true WHERE id = :id"),
            {"id": first.plan_ids[0]},
        )
    second = generate(session_factory, group)
    assert second.generation == 2
    rows = {row.id: row for row in live(session_factory, group)}
    assert rows[first.plan_ids[0]].pinned
    assert set(rows) == {first.plan_ids[0], *second.plan_ids}
    assert all(plan.first_unit > rows[first.plan_ids[0]].last_unit for plan in second.plans[:1])


def test_requests_that_race_freely_leave_the_plans_of_the_last_generation(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    days = [FIRST + timedelta(days=number % 3) for number in range(40)]
    for _ in range(10):
        answers = contend(4, lambda _: generate(session_factory, group, days.pop()))
        assert answers.results, "at least one request succeeds"
    generation, records, plans = traces(engine, group.id)
    assert [record.number for record in records] == list(range(1, generation + 1))
    live = [row for row in plans if row.live]
    assert {row.id for row in live} == set(records[-1].plan_ids)
    assert len(live) == records[-1].plan_count
    # Each run has retired what it does not keep, and inserted the rest.
    retired_in = {row.retired_in for row in plans if not row.live}
    assert retired_in
    assert retired_in <= set(range(2, generation + 1))
    ranges = sorted((row.first_unit, row.last_unit) for row in live if row.kind == "study")
    assert sum(last - first + 1 for first, last in ranges) == 100


def test_missing_group_is_refused_and_its_lock_is_released(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    missing = PlanGroupFactory.build()
    with pytest.raises(PlanGroupNotFoundError):
        generate(session_factory, missing)
    assert advisory_locks(engine) == 0


def test_group_of_another_tenant_is_not_found(session_factory: sessionmaker[Session]) -> None:
    group = stored_group(session_factory)
    group.tenant_id = uuid4()
    with pytest.raises(PlanGroupNotFoundError):
        generate(session_factory, group)


def _recording(statements: list[str]) -> Any:
    thread = threading.get_ident()

    def record(*arguments: Any) -> None:
        if threading.get_ident() == thread:
            statements.append(arguments[2])

    return record


def _request_in_a_process(
    connection: tuple[str, dict[str, Any]],
    ids: tuple[UUID, UUID],
    start: Any,
    finished: Any,
    answers: Any,
) -> None:
    """Generate in a spawned process; the winner commits after the seven others are refused.

    A refused process releases ``finished``. If the lock let two processes through, both would wait
    here until the timeout and the test would fail.
    """
    url, connect_args = connection
    engine = sa.create_engine(url, connect_args=connect_args, poolclass=sa.NullPool)
    tenant_id, group_id = ids
    group = PlanGroupFactory.build(id=group_id, tenant_id=tenant_id)

    def hold() -> None:
        for _ in range(7):
            assert finished.acquire(timeout=TIMEOUT)

    start.wait(TIMEOUT)
    try:
        generate(sessionmaker(engine), group, hold=hold)
        answers.put("generated")
    except PlanGroupLockedError as refusal:
        answers.put(refusal.code)
        finished.release()
    finally:
        engine.dispose()
