"""Objects that were read or written remain readable after the commit, and are read as stored."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, TypeAlias

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain import Base, PlanGenerationService, UnitOfWork
from domain.errors import EditedMeanwhileError, InvalidInputError, PlanGroupNotFoundError
from domain.repositories import (
    HistoryRepository,
    PlanGroupRepository,
    StudentPlanRepository,
    StudentTimeRepository,
)
from domain.services import GroupEditService, GroupTimeService, ReschedulingService, UndoService
from tests.integration.editing import CALLS, Factory, World, lock_of
from tests.integration.storing import FIRST

Operation: TypeAlias = Callable[[UnitOfWork, World], object]
LATER = FIRST + timedelta(3)


def groups(session: Session, world: World) -> Iterator[Base]:
    read = PlanGroupRepository(session, world.tenant_id)
    yield read.get(world.group.id)
    yield read.get_row(world.group.id)
    yield from read.page().groups
    yield from read.of_student(world.group.student_id)


def records(session: Session, world: World) -> Iterator[Base]:
    yield from PlanGroupRepository(session, world.tenant_id).generations(world.group.id)
    HistoryRepository(session, world.tenant_id).runs(world.group.id)


def plans(session: Session, world: World) -> Iterator[Base]:
    read = StudentPlanRepository(session, world.tenant_id)
    yield from read.live(world.group.id)
    for number in range(4):
        yield from read.of_generation(world.group.id, number)
    yield from read.of_student(world.group.student_id, FIRST, FIRST + timedelta(30))
    yield from plans_as_of(session, world)


def plans_as_of(session: Session, world: World) -> Iterator[Base]:
    history = HistoryRepository(session, world.tenant_id)
    for run in history.runs(world.group.id):
        try:
            yield from history.as_of(world.group.id, run.number)
        except InvalidInputError:  # the run is closed
            continue


def student_time(session: Session, world: World) -> Iterator[Base]:
    read, student_id = StudentTimeRepository(session, world.tenant_id), world.group.student_id
    yield from read.exclusions(student_id)
    yield from read.exclusions_of_student(student_id)
    yield from read.exclusions_of_group(world.group.id)
    yield from read.academy_schedules(student_id)


READS = [groups, records, plans, student_time]


def objects(session: Session, world: World) -> list[Base]:
    """Return all objects that the repositories return; a Session refers to them weakly."""
    found: list[Base] = []
    for read in READS:
        try:
            found += read(session, world)
        except PlanGroupNotFoundError:
            continue
    return found


def contents_of(session: Session, world: World) -> list[dict[str, Any]]:
    """Return the columns and the parts of these objects."""
    return [values_of(row) for row in objects(session, world)]


def values_of(row: Base) -> dict[str, Any]:
    mapper: Any = sa.inspect(type(row))
    columns = {one.key: getattr(row, one.key) for one in mapper.column_attrs}
    parts = {
        one.key: [values_of(part) for part in getattr(row, one.key)] for one in mapper.relationships
    }
    return columns | parts


def attributes(session: Session) -> list[tuple[Base, set[str]]]:
    """Return the objects of a Session with the attributes that are loaded."""
    found = [row for row in session if isinstance(row, Base)]
    return [(row, {name for name in vars(row) if not name.startswith("_")}) for row in found]


def read_all(session: Session, world: World) -> list[tuple[Base, set[str]]]:
    """Read everything, with all parts and all columns; the result keeps the objects loaded."""
    read = objects(session, world)
    assert len([values_of(row) for row in read]) > len(world.plans)
    return attributes(session)


def generate(uow: UnitOfWork, _: World) -> None:
    PlanGenerationService(uow).generate(today=LATER, idempotency_key=f"once {uow.tenant_id}")
    PlanGenerationService(uow).generate(today=LATER, idempotency_key=f"once {uow.tenant_id}")


def reschedule(uow: UnitOfWork, _: World) -> None:
    ReschedulingService(uow).reschedule(today=LATER)


def undo_a_reschedule(uow: UnitOfWork, _: World) -> None:
    ReschedulingService(uow).reschedule(today=LATER)
    UndoService(uow).undo()


def remove_history(uow: UnitOfWork, world: World) -> None:
    PlanGenerationService(uow).generate(today=LATER)
    history = HistoryRepository(uow.session, uow.tenant_id)
    history.close(world.group.id)
    history.remove_retired_plans(world.group.id, limit=1000)
    history.remove_closed_runs(world.group.id)


def edit_expecting_another_version(uow: UnitOfWork, _: World) -> None:
    with pytest.raises(EditedMeanwhileError):
        GroupEditService(uow).change_settings(expected_version=7, name="이름")


def refused(method: Callable[..., Any], **fields: Any) -> Operation:
    """An edit that is refused for its values; fields may be computed from the world."""

    def call(uow: UnitOfWork, world: World) -> None:
        given = {name: value(world) if callable(value) else value for name, value in fields.items()}
        service = {kind.__name__: kind for kind in (GroupEditService, GroupTimeService)}
        with pytest.raises(InvalidInputError):
            method(service[method.__qualname__.partition(".")[0]](uow), **given)

    return call


# Edits that are found to be invalid after they were assigned.
REFUSED: dict[str, Operation] = {
    "settings": refused(
        GroupEditService.change_settings, expected_version=1, period_end=date(2024, 1, 1)
    ),
    "settings with day shifts": refused(
        GroupEditService.change_settings, expected_version=1, study_days=1, target_date=date.min
    ),
    "new content": refused(
        GroupEditService.add_content,
        type="book",
        title="책",
        allocation="strategy",
        first_unit=1,
        last_unit=2,
    ),
    "content": refused(
        GroupEditService.change_content,
        content_id=lambda world: world.unplanned.id,
        expected_version=1,
        first_unit=9,
        last_unit=2,
    ),
    "episodes": refused(
        GroupEditService.change_content,
        content_id=lambda world: world.unplanned.id,
        expected_version=1,
        episodes=[10],
    ),
    "new block": refused(
        GroupTimeService.add_block, weekday=1, start_minute=700, end_minute=600, kind="study"
    ),
    "block": refused(
        GroupTimeService.change_block,
        block_id=lambda world: world.block.id,
        expected_version=1,
        end_minute=1,
    ),
    "non-study block": refused(
        GroupTimeService.change_non_study_block,
        block_id=lambda world: world.lunch.id,
        expected_version=1,
        end_minute=1,
    ),
    "special day": refused(
        GroupTimeService.change_special_day,
        special_day_id=lambda world: world.special_day.id,
        expected_version=1,
        date=date(2026, 1, 1),
    ),
}
OTHERS: dict[str, Operation] = {
    "generate": generate,
    "reschedule": reschedule,
    "undo a reschedule": undo_a_reschedule,
    "remove history": remove_history,
    "edit expecting another version": edit_expecting_another_version,
    **{f"refused {name}": operation for name, operation in REFUSED.items()},
}


def operations() -> Iterator[Any]:
    for name in CALLS:
        yield pytest.param(name, lambda uow, world, name=name: CALLS[name](uow, world, 1), id=name)
    for name, operation in OTHERS.items():
        yield pytest.param(name, operation, id=name)


each_operation = pytest.mark.parametrize(("name", "operation"), list(operations()))


@each_operation
@pytest.mark.parametrize("reads_first", [True, False])
def test_objects_are_readable_after_the_commit(
    session_factory: Factory, world: World, name: str, operation: Operation, *, reads_first: bool
) -> None:
    """Whatever was loaded before the operation, or by it, and all columns that are not deferred."""
    with UnitOfWork(session_factory, lock=lock_for(name, world)) as uow:
        before = read_all(uow.session, world) if reads_first else []
        operation(uow, world)
        after = attributes(uow.session)
        uow.commit()
    for row, names in before + after:
        for attribute in names | columns_of(row):
            getattr(row, attribute)


@each_operation
@pytest.mark.parametrize("reads_first", [True, False])
def test_objects_are_read_as_they_are_stored(
    session_factory: Factory, world: World, name: str, operation: Operation, *, reads_first: bool
) -> None:
    """Not as they were loaded before the operation, which may write without the objects."""
    with UnitOfWork(session_factory, lock=lock_for(name, world)) as uow:
        before = read_all(uow.session, world) if reads_first else []
        operation(uow, world)
        found = contents_of(uow.session, world)
        uow.session.flush()
        with Session(uow.connection) as fresh:
            assert found == contents_of(fresh, world)
        assert bool(before) is reads_first
        uow.commit()


def lock_for(name: str, world: World) -> Any:
    return lock_of(name, world) if name in CALLS else world.lock


def columns_of(row: Base) -> set[str]:
    mapper: Any = sa.inspect(type(row))
    return {attribute.key for attribute in mapper.column_attrs if not attribute.deferred}
