"""Concurrent changes, and the loss of the connection, while a generation computes."""

from collections.abc import Callable
from datetime import date

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GroupStatus,
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    PlanState,
    StudentPlan,
    UnitOfWork,
)
from domain.errors import GeneratedMeanwhileError, LockNotHeldError, StudentPlansOverlapError
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request
from domain.services import PlanGenerationService, UndoService
from tests.integration.asking import check
from tests.integration.storing import (
    book_group,
    change,
    done_by,
    dump,
    fresh_ids,
    generate,
    generated_group,
    live,
    mark,
    with_computation,
)

Factory = sessionmaker[Session]
TODAY = date(2025, 1, 8)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    return generated_group(session_factory)


def computation_after(act: Callable[[], object]) -> Callable[[Request], Schedule]:
    """Return a computation that first calls ``act``, which changes something concurrently."""

    def compute(request: Request) -> Schedule:
        act()
        return schedule(request)

    return compute


@pytest.mark.parametrize(
    "act",
    [
        lambda factory, group: mark(factory, live(factory, group)[5], **done_by(PlanState.STARTED)),
        lambda factory, group: mark(
            factory, live(factory, group)[5], live=False, retired_as="cancelled"
        ),
        lambda factory, group: change(factory, group, status=GroupStatus.PAUSED),
        lambda factory, group: change(factory, group, generation=7),
    ],
    ids=["started", "retired", "paused", "generated"],
)
def test_generation_does_not_overwrite_concurrent_changes(
    session_factory: Factory, group: PlanGroup, act: Callable[[Factory, PlanGroup], None]
) -> None:
    with pytest.raises(GeneratedMeanwhileError) as refused:
        with_computation(
            session_factory, group, computation_after(lambda: act(session_factory, group))
        )
    assert refused.value.group_id == group.id
    assert {plan.generation for plan in live(session_factory, group)} == {1}


RUNS: dict[str, Callable[[UnitOfWork], object]] = {
    "generate": lambda uow: PlanGenerationService(uow).generate(today=date(2025, 1, 10)),
    "undo": lambda uow: UndoService(uow).undo(),
}


@pytest.mark.parametrize("run", RUNS)
def test_run_of_which_a_part_is_written_cannot_be_committed(
    session_factory: Factory, group: PlanGroup, run: str
) -> None:
    """A plan is changed between the record of the run and its plans, by one without the lock."""
    if run == "undo":
        generate(session_factory, group, today=date(2025, 1, 9))
    before = dump(session_factory, group.id)
    changed: list[StudentPlan] = []

    def change_a_plan(*context: object) -> None:
        if "UPDATE studyplan.student_plans" in str(context[2]) and not changed:
            changed.append(live(session_factory, group)[-1])
            mark(session_factory, changed[0], **done_by(PlanState.STARTED))

    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        sa.event.listen(uow.connection, "before_cursor_execute", change_a_plan)
        with pytest.raises(GeneratedMeanwhileError):
            RUNS[run](uow)
        with pytest.raises(LockNotHeldError):
            uow.commit()
    mark(session_factory, changed[0], state=PlanState.PLANNED, version=changed[0].version)
    assert dump(session_factory, group.id) == before


def test_exclusion_constraint_refuses_a_plan_that_overlaps_a_concurrent_one(
    session_factory: Factory,
) -> None:
    """The other transaction does not hold the student's lock, so only the constraint can refuse."""
    whose = fresh_ids()
    group, other = book_group(session_factory, **whose), book_group(session_factory, **whose)
    generate(session_factory, other)
    occupied = next(p for p in live(session_factory, other) if p.date == TODAY)
    mark(session_factory, occupied, live=False, retired_as="cancelled")
    before = dump(session_factory, group.id)

    def make_live_again() -> None:
        mark(session_factory, occupied, live=True, retired_as=None)

    with pytest.raises(StudentPlansOverlapError) as refused:
        with_computation(session_factory, group, computation_after(make_live_again))
    assert refused.value.student_id == whose["student_id"]
    assert dump(session_factory, group.id) == before
    assert generate(session_factory, group).generation == 1


def test_generation_for_the_students_other_group_is_refused_during_a_generation(
    session_factory: Factory,
) -> None:
    whose = fresh_ids()
    group, other = book_group(session_factory, **whose), book_group(session_factory, **whose)
    with pytest.raises(PlanGroupLockedError) as refused:
        with_computation(
            session_factory, group, computation_after(lambda: generate(session_factory, other))
        )
    assert (refused.value.group_id, refused.value.scope) == (other.id, "student")


def test_connection_lost_during_the_computation_leaves_the_group_unchanged(
    session_factory: Factory, group: PlanGroup, engine: sa.Engine
) -> None:
    def terminate() -> None:
        with engine.connect() as other:
            holder = check(other, group.id).holder_pid
            other.execute(sa.select(sa.func.pg_terminate_backend(holder)))

    before = dump(session_factory, group.id)
    with pytest.raises(sa.exc.OperationalError):
        with_computation(session_factory, group, computation_after(terminate))
    assert dump(session_factory, group.id) == before
    assert generate(session_factory, group).generation == 2
