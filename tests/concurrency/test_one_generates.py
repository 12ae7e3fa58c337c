"""Of any number of simultaneous requests for a group exactly one generates."""

import multiprocessing
import threading
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLockedError
from domain.errors import PlanGroupNotFoundError
from domain.testing import contend
from domain.testing.contention import TIMEOUT, advisory_locks
from tests.concurrency.overlapping import elsewhere
from tests.factories import PlanGroupFactory
from tests.integration.storing import generate, live, stored_group, traces

BUSY = "플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요."


def test_a_single_request_generates(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    result = generate(session_factory, group)
    assert result.generation == 1
    assert len(live(session_factory, group)) == len(result.plans) > 0


def test_of_two_requests_at_once_one_generates_and_the_other_reads_the_friendly_409(
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


def test_of_32_threads_at_once_exactly_one_generates(
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


def test_of_8_processes_at_once_exactly_one_generates(
    engine: sa.Engine, session_factory: sessionmaker[Session], connect_args: dict[str, Any]
) -> None:
    group = stored_group(session_factory)
    context = multiprocessing.get_context("spawn")
    start, finished = context.Barrier(8), context.Semaphore(0)
    answers: Any = context.Queue()
    where = (engine.url.render_as_string(hide_password=False), connect_args)
    arguments = (where, (group.tenant_id, group.id), start, finished, answers)
    processes = [context.Process(target=_request_in_a_process, args=arguments) for _ in range(8)]
    for process in processes:
        process.start()
    told = [answers.get(timeout=TIMEOUT) for _ in processes]
    for process in processes:
        process.join(TIMEOUT)
        assert process.exitcode == 0
    assert sorted(told) == ["generated", *["plan_group_locked"] * 7]
    generation, records, plans = traces(engine, group.id)
    assert generation == len(records) == 1
    assert len(plans) == records[0].plan_count > 0


def test_requests_for_groups_of_different_students_do_not_wait_for_each_other(
    session_factory: sessionmaker[Session],
) -> None:
    groups = [stored_group(session_factory) for _ in range(8)]
    free = iter(groups)
    answers = contend(8, lambda hold: generate(session_factory, next(free), hold=hold))
    assert not answers.refusals
    assert {result.group_id for result in answers.results} == {group.id for group in groups}


def test_a_refused_request_leaves_no_trace(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    generate(session_factory, group)
    before = traces(engine, group.id)

    def refused_during_another() -> None:
        with pytest.raises(PlanGroupLockedError):
            generate(session_factory, group)
        assert traces(engine, group.id) == before

    generate(session_factory, group, hold=lambda: elsewhere(refused_during_another))
    assert traces(engine, group.id)[0] == before[0] + 1


def test_a_refused_request_has_read_nothing_before_it_was_refused(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    statements: list[str] = []

    def refused_during_another() -> None:
        sa.event.listen(engine, "before_cursor_execute", _noting(statements))
        with pytest.raises(PlanGroupLockedError):
            generate(session_factory, group)

    generate(session_factory, group, hold=lambda: elsewhere(refused_during_another))
    assert len(statements) == 1, "where a listener looks on, SQLAlchemy executes the lock"
    assert "acquire_plan_locks_with_limits" in statements[0]


def test_a_request_after_the_winners_commit_sees_and_replaces_the_winners_plans(
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


def test_requests_that_race_without_being_held_never_leave_a_mix(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    for _ in range(10):
        answers = contend(4, lambda _: generate(session_factory, group))
        assert answers.results, "somebody always gets through"
    generation, records, plans = traces(engine, group.id)
    assert [record.number for record in records] == list(range(1, generation + 1))
    live = [row for row in plans if row.live]
    assert {row.generation for row in live} == {generation}
    assert len(live) == records[-1].plan_count


def test_a_group_that_does_not_exist_is_refused_and_its_lock_is_free_again(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    nobody = PlanGroupFactory.build()
    with pytest.raises(PlanGroupNotFoundError):
        generate(session_factory, nobody)
    assert advisory_locks(engine) == 0


def test_another_tenants_group_is_not_found(session_factory: sessionmaker[Session]) -> None:
    group = stored_group(session_factory)
    group.tenant_id = uuid4()
    with pytest.raises(PlanGroupNotFoundError):
        generate(session_factory, group)


def _noting(statements: list[str]) -> Any:
    me = threading.get_ident()

    def note(*arguments: Any) -> None:
        if threading.get_ident() == me:
            statements.append(arguments[2])

    return note


def _request_in_a_process(
    where: tuple[str, dict[str, Any]],
    ids: tuple[UUID, UUID],
    start: Any,
    finished: Any,
    answers: Any,
) -> None:
    """Held before the commit until the seven others have their answer, or hold as well."""
    url, connect_args = where
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
