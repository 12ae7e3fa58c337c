"""A repeated result has the difference that the first one had, read back from the plans."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GenerationResult,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    StudentPlan,
)
from domain.errors import EditedMeanwhileError
from domain.scheduling.difference import Difference
from domain.scheduling.schedule import schedule
from domain.services import PlanProgressService, reschedule_plans
from domain.services.removal import remove_history
from tests.factories import ContentFactory
from tests.integration.storing import (
    FIRST,
    changed,
    done_by,
    live,
    mark,
    plans,
    stored_group,
    unit_of_work,
)
from tests.integration.undoing import exclude, generate, progress, redo, undo

Factory = sessionmaker[Session]
Run = Callable[..., GenerationResult]
NEXT_DAY = FIRST + timedelta(1)


def reschedule(factory: Factory, group: PlanGroup, today: date, **options: Any) -> GenerationResult:
    lock = PlanGroupLock(group.tenant_id, group.id)
    return reschedule_plans(factory, lock, today=today, **options)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group whose first day is missed, though begun, and whose ninth is excluded."""
    contents = [ContentFactory.build(position=place, last_unit=60) for place in (0, 1)]
    group = stored_group(session_factory, contents=contents)
    generate(session_factory, group, idempotency_key="first")
    pin_and_unpin(session_factory, group)
    mark(session_factory, live(session_factory, group)[0], **done_by(PlanState.STARTED))
    second = [plan for plan in live(session_factory, group) if plan.date == NEXT_DAY]
    mark(session_factory, second[0], **done_by(PlanState.DONE))
    exclude(session_factory, group, FIRST + timedelta(8))
    return group


def pin_and_unpin(factory: Factory, group: PlanGroup) -> None:
    """Edit the last plan, which is then as before in a later version."""
    last = live(factory, group)[-1]
    for pinned in (True, False):
        progress(factory, group, PlanProgressService.pin, last, pinned=pinned)


RUNS = pytest.mark.parametrize("run", [generate, reschedule])


def difference(result: GenerationResult) -> Difference:
    assert result.difference is not None
    return result.difference


@RUNS
def test_repeated_result_has_the_difference_of_the_first_one(
    session_factory: Factory, group: PlanGroup, run: Run
) -> None:
    first = run(session_factory, group, NEXT_DAY, idempotency_key="k")
    again = run(session_factory, group, NEXT_DAY, idempotency_key="k")
    assert again.repeated
    found = difference(first)
    assert all((found.moved, found.dropped))
    assert found.kept or run is generate
    assert difference(again) == found
    assert repr(difference(again)) == repr(found)


def test_repeated_first_generation_has_only_new_plans(session_factory: Factory) -> None:
    group = stored_group(session_factory)
    first = generate(session_factory, group, idempotency_key="k")
    again = generate(session_factory, group, idempotency_key="k")
    assert difference(again) == difference(first) == Difference(new=first.plans)


def test_repeated_difference_keeps_the_versions_of_plans_that_stayed(
    session_factory: Factory, group: PlanGroup
) -> None:
    first = difference(reschedule(session_factory, group, NEXT_DAY, idempotency_key="k"))
    assert first.kept[-1][0].version == 3
    generate(session_factory, group, NEXT_DAY + timedelta(3))
    assert not plans(session_factory, group, id=first.kept[-1][0].id)[0].live
    again = reschedule(session_factory, group, NEXT_DAY, idempotency_key="k")
    assert difference(again) == first


def mark_a_made_plan(factory: Factory, group: PlanGroup) -> None:
    made = plans(factory, group, generation=2)
    mark(factory, made[0], **done_by(PlanState.DONE))
    mark(factory, made[1], pinned=True)


def mark_a_kept_plan(factory: Factory, group: PlanGroup) -> None:
    (kept, *_) = (plan for plan in live(factory, group) if plan.generation == 1)
    mark(factory, kept, **done_by(PlanState.DONE))


def move_by_hand(factory: Factory, group: PlanGroup) -> None:
    made = plans(factory, group, generation=2)[0]
    place = {"date": made.date, "start_minute": 17 * 60, "today": NEXT_DAY}
    progress(factory, group, PlanProgressService.move, made, **place)


def run_again(factory: Factory, group: PlanGroup) -> None:
    generate(factory, group, NEXT_DAY + timedelta(2))
    reschedule(factory, group, NEXT_DAY + timedelta(4))


def undo_and_redo(factory: Factory, group: PlanGroup) -> None:
    undo(factory, group)
    redo(factory, group)


@RUNS
@pytest.mark.parametrize(
    "later", [mark_a_made_plan, mark_a_kept_plan, move_by_hand, run_again, undo_and_redo]
)
def test_repeated_difference_does_not_depend_on_later_changes(
    session_factory: Factory,
    group: PlanGroup,
    run: Run,
    later: Callable[[Factory, PlanGroup], None],
) -> None:
    first = difference(run(session_factory, group, NEXT_DAY, idempotency_key="k"))
    later(session_factory, group)
    again = run(session_factory, group, NEXT_DAY, idempotency_key="k")
    assert difference(again) == first


@RUNS
def test_repeated_key_of_a_run_that_was_undone_is_refused(
    session_factory: Factory, group: PlanGroup, run: Run
) -> None:
    run(session_factory, group, NEXT_DAY, idempotency_key="k")
    undo(session_factory, group)
    with pytest.raises(EditedMeanwhileError):
        run(session_factory, group, NEXT_DAY, idempotency_key="k")


def test_repeated_difference_has_the_current_week_and_cycle_of_plans_that_stayed(
    session_factory: Factory,
) -> None:
    """The calendar of a plan is updated in place, so its earlier values are not stored."""
    group = stored_group(session_factory)
    generate(session_factory, group)

    def run() -> Difference:
        with unit_of_work(session_factory, group) as uow:
            service = PlanGenerationService(uow, compute=lambda given: changed(schedule(given)))
            result = service.generate(today=FIRST, idempotency_key="k")
            uow.commit()
        return difference(result)

    first, again = run(), run()
    assert first.recounted
    assert (again.moved, again.new, again.dropped) == (first.moved, first.new, first.dropped)
    assert again.kept == tuple(
        (replace(old, plan=replace(plan, sequence=None)), plan) for old, plan in first.kept
    )


def test_difference_is_none_if_the_plans_that_were_retired_are_not_stored(
    session_factory: Factory, group: PlanGroup
) -> None:
    first = reschedule(session_factory, group, NEXT_DAY, idempotency_key="k")
    with session_factory.begin() as session:
        retired = (StudentPlan.group_id == group.id, ~StudentPlan.live)
        session.execute(sa.delete(StudentPlan).where(*retired))
    again = reschedule(session_factory, group, NEXT_DAY, idempotency_key="k")
    assert again == first
    assert again.difference is None


def test_removed_history_forgets_the_key_and_leaves_the_differences_of_later_runs(
    session_factory: Factory, group: PlanGroup
) -> None:
    with session_factory() as session:
        between = session.scalar(sa.select(sa.func.clock_timestamp()))
    first = difference(reschedule(session_factory, group, NEXT_DAY, idempotency_key="k"))
    assert between is not None
    remove_history(session_factory, tenant_id=group.tenant_id, group_id=group.id, before=between)
    again = reschedule(session_factory, group, NEXT_DAY, idempotency_key="k")
    assert difference(again) == first
    assert not generate(session_factory, group, idempotency_key="first").repeated
