"""Changes of state that overlap with others and with generations end in one state."""

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
    at_once,
    change,
    delete_in_turn,
    elsewhere,
    generate_in_turn,
    repeatedly,
    statuses,
    students_groups,
)
from tests.integration.storing import generate, stored_group, traces


@repeatedly
def test_of_two_same_changes_in_turn_the_second_is_no_transition_any_more(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory, status=GroupStatus.ACTIVE)
    answers = contend(2, lambda _: change(session_factory, group, GroupStatus.PAUSED, wait=LONG))
    (done,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, TransitionNotAllowedError)
    assert (refusal.from_status, done.version) == ("paused", 2)
    assert statuses(engine, [group]) == ["paused"]


@repeatedly
def test_of_two_different_changes_at_once_one_is_made(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory, status=GroupStatus.ACTIVE)
    answers = at_once(
        lambda hold: change(session_factory, group, GroupStatus.COMPLETED, hold),
        lambda hold: change(session_factory, group, GroupStatus.CANCELLED, hold),
    )
    (done,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    assert statuses(engine, [group]) == [done.status]


@repeatedly
@pytest.mark.parametrize("to", [GroupStatus.CANCELLED, GroupStatus.DRAFT])
def test_of_a_generation_and_a_change_of_state_at_once_one_is_refused(
    engine: sa.Engine, session_factory: Factory, to: GroupStatus
) -> None:
    group = stored_group(session_factory)
    answers = at_once(
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
def test_a_generation_and_a_cancellation_in_turn_leave_no_live_plan(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    answers = at_once(
        lambda _: generate_in_turn(session_factory, group),
        lambda _: change(session_factory, group, GroupStatus.CANCELLED, wait=LONG),
    )
    generation, records, plans = traces(engine, group.id)
    assert statuses(engine, [group]) == ["cancelled"]
    assert {plan.retired_as for plan in plans} <= {"cancelled"}
    assert generation == len(records) == bool(plans)
    expected = [] if plans else [PlanGroupNotGeneratableError]
    assert [type(refusal) for refusal in answers.refusals] == expected


@repeatedly
def test_a_generation_and_a_deletion_in_turn_leave_nothing(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    answers = at_once(
        lambda _: generate_in_turn(session_factory, group),
        lambda _: delete_in_turn(session_factory, group),
    )
    assert "deleted" in answers.results
    expected = [PlanGroupNotFoundError] if answers.results == ["deleted"] else []
    assert [type(refusal) for refusal in answers.refusals] == expected
    assert traces(engine, group.id) == (None, [], [])


@repeatedly
def test_of_a_generation_and_a_deletion_at_once_one_is_refused(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)

    def delete(hold: Hold) -> str:
        with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            PlanGroupService(uow).delete(expected_version=1)
            hold()
            uow.commit()
        return "deleted"

    answers = at_once(lambda hold: generate(session_factory, group, hold=hold).generation, delete)
    (won,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    assert traces(engine, group.id)[0] == (None if won == "deleted" else 1)


@pytest.mark.parametrize(
    ("to", "freed"), [(GroupStatus.CANCELLED, True), (GroupStatus.DRAFT, False), (None, True)]
)
def test_what_frees_a_groups_time_waits_for_the_students_other_generations(
    session_factory: Factory, to: GroupStatus | None, *, freed: bool
) -> None:
    group, other = students_groups(session_factory, GroupStatus.SAVED, GroupStatus.SAVED)
    refusals: list[LockError] = []

    def ask() -> None:
        try:
            if to is None:
                delete_in_turn(session_factory, group, timedelta(0))
            else:
                change(session_factory, group, to)
        except LockError as refusal:
            refusals.append(refusal)

    generate(session_factory, other, hold=lambda: elsewhere(ask))
    assert [refusal.scope for refusal in refusals] == (["student"] if freed else [])
