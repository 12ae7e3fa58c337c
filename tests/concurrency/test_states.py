"""Changes of state that overlap with each other or with generations leave a consistent state."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from domain import GroupStatus, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import (
    LockError,
    PlanGroupNotFoundError,
    PlanGroupNotGeneratableError,
    TransitionNotAllowedError,
)
from domain.services import PlanGroupService
from domain.testing import contend
from tests.concurrency.overlapping import (
    LONG,
    Factory,
    Hold,
    change,
    delete_after_waiting,
    generate_after_waiting,
    groups_of_one_student,
    in_another_thread,
    repeatedly,
    run_simultaneously,
    statuses,
)
from tests.integration.storing import generate, stored_group, traces


@repeatedly
def test_change_of_state_is_refused_if_another_request_has_already_made_it(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory, status=GroupStatus.ACTIVE)
    answers = contend(2, lambda _: change(session_factory, group, GroupStatus.PAUSED, wait=LONG))
    (change_made,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, TransitionNotAllowedError)
    assert (refusal.from_status, change_made.version) == ("paused", 2)
    assert statuses(engine, [group]) == ["paused"]


@repeatedly
def test_change_of_state_succeeds_in_one_of_two_simultaneous_requests(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory, status=GroupStatus.ACTIVE)
    answers = run_simultaneously(
        lambda hold: change(session_factory, group, GroupStatus.COMPLETED, hold),
        lambda hold: change(session_factory, group, GroupStatus.CANCELLED, hold),
    )
    (change_made,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    assert statuses(engine, [group]) == [change_made.status]


@repeatedly
@pytest.mark.parametrize("to", [GroupStatus.CANCELLED, GroupStatus.DRAFT])
def test_generation_or_change_of_state_is_refused_if_both_are_simultaneous(
    engine: sa.Engine, session_factory: Factory, to: GroupStatus
) -> None:
    group = stored_group(session_factory)
    answers = run_simultaneously(
        lambda hold: generate(session_factory, group, hold=hold).generation,
        lambda hold: change(session_factory, group, to, hold).status,
    )
    (won,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    generation, records, plans = traces(engine, group.id)
    assert generation == len(records) == (won == 1)
    assert statuses(engine, [group]) == ["saved" if won == 1 else to]
    assert {plan.live for plan in plans} == ({True} if won == 1 else set())


@repeatedly
def test_generation_and_cancellation_that_may_wait_leave_no_live_plan(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    answers = run_simultaneously(
        lambda _: generate_after_waiting(session_factory, group),
        lambda _: change(session_factory, group, GroupStatus.CANCELLED, wait=LONG),
    )
    generation, records, plans = traces(engine, group.id)
    assert statuses(engine, [group]) == ["cancelled"]
    assert {plan.retired_as for plan in plans} <= {"cancelled"}
    assert generation == len(records) == bool(plans)
    expected = [] if plans else [PlanGroupNotGeneratableError]
    assert [type(refusal) for refusal in answers.refusals] == expected


@repeatedly
def test_generation_and_deletion_that_may_wait_leave_no_rows(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    answers = run_simultaneously(
        lambda _: generate_after_waiting(session_factory, group),
        lambda _: delete_after_waiting(session_factory, group),
    )
    assert "deleted" in answers.results
    expected = [PlanGroupNotFoundError] if answers.results == ["deleted"] else []
    assert [type(refusal) for refusal in answers.refusals] == expected
    assert traces(engine, group.id) == (None, [], [])


@repeatedly
def test_generation_or_deletion_is_refused_if_both_are_simultaneous(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)

    def delete(hold: Hold) -> str:
        with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            PlanGroupService(uow).delete(expected_version=1)
            hold()
            uow.commit()
        return "deleted"

    answers = run_simultaneously(
        lambda hold: generate(session_factory, group, hold=hold).generation, delete
    )
    (won,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    assert traces(engine, group.id)[0] == (None if won == "deleted" else 1)


@pytest.mark.parametrize(
    ("to", "freed"), [(GroupStatus.CANCELLED, True), (GroupStatus.DRAFT, False), (None, True)]
)
def test_change_that_frees_the_time_of_a_group_requires_the_students_lock(
    session_factory: Factory, to: GroupStatus | None, *, freed: bool
) -> None:
    group, other = groups_of_one_student(session_factory, GroupStatus.SAVED, GroupStatus.SAVED)
    refusals: list[LockError] = []

    def request() -> None:
        try:
            if to is None:
                delete_after_waiting(session_factory, group, timedelta(0))
            else:
                change(session_factory, group, to)
        except LockError as refusal:
            refusals.append(refusal)

    generate(session_factory, other, hold=lambda: in_another_thread(request))
    assert [refusal.scope for refusal in refusals] == (["student"] if freed else [])
