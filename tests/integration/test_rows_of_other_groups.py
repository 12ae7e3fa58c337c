"""A unit of work writes rows of the groups and students whose locks it holds, and no others."""

from collections.abc import Callable
from datetime import date

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import Content, Exclusion, PlanGroup, PlanGroupLock, StudentLock, UnitOfWork
from domain.errors import LockNotHeldError
from tests.factories import BlockFactory, ExclusionFactory, PlanGroupFactory

Factory = sessionmaker[Session]
Change = Callable[[Session, PlanGroup, PlanGroup], None]


def rename(_: Session, __: PlanGroup, other: PlanGroup) -> None:
    other.name = "changed"


def change_content(_: Session, __: PlanGroup, other: PlanGroup) -> None:
    other.contents[0].last_unit = 50


def append_block(_: Session, __: PlanGroup, other: PlanGroup) -> None:
    other.blocks.append(BlockFactory.build(weekday=6, start_minute=60, end_minute=120))


def remove_block(_: Session, __: PlanGroup, other: PlanGroup) -> None:
    del other.blocks[0]


def delete_content(session: Session, _: PlanGroup, other: PlanGroup) -> None:
    session.delete(other.contents[0])


def delete_group(session: Session, _: PlanGroup, other: PlanGroup) -> None:
    session.delete(other)


def add_group(session: Session, _: PlanGroup, other: PlanGroup) -> None:
    session.add(PlanGroupFactory.build(tenant_id=other.tenant_id))


def take_block(_: Session, own: PlanGroup, other: PlanGroup) -> None:
    other.blocks[0].group_id = own.id


def exclude_in_group(session: Session, _: PlanGroup, other: PlanGroup) -> None:
    session.add(
        ExclusionFactory.build(
            tenant_id=other.tenant_id, student_id=other.student_id, group_id=other.id
        )
    )


def exclude_for_student(session: Session, own: PlanGroup, _: PlanGroup) -> None:
    session.add(ExclusionFactory.build(tenant_id=own.tenant_id, student_id=own.student_id))


OF_A_GROUP: list[Change] = [
    rename,
    change_content,
    append_block,
    remove_block,
    delete_content,
    delete_group,
    add_group,
    take_block,
    exclude_in_group,
]


@pytest.fixture
def other(session_factory: Factory, group: PlanGroup) -> PlanGroup:
    """Another group of the same student."""
    other = PlanGroupFactory.build(tenant_id=group.tenant_id, student_id=group.student_id)
    with session_factory(expire_on_commit=False) as session, session.begin():
        session.add(other)
    return other


def apply(change: Change, uow: UnitOfWork, group: PlanGroup, other: PlanGroup) -> None:
    read = (uow.session.get_one(PlanGroup, (one.tenant_id, one.id)) for one in (group, other))
    change(uow.session, *read)


LOCKS: dict[str, Callable[[PlanGroup], PlanGroupLock | StudentLock]] = {
    "another group": lambda group: PlanGroupLock(group.tenant_id, group.id),
    "the student": lambda group: StudentLock(group.tenant_id, group.student_id),
}


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("change", OF_A_GROUP)
def test_row_of_a_group_is_refused_under_another_lock(
    session_factory: Factory, group: PlanGroup, other: PlanGroup, change: Change, lock: str
) -> None:
    with UnitOfWork(session_factory, lock=LOCKS[lock](group)) as uow:
        apply(change, uow, group, other)
        with pytest.raises(LockNotHeldError, match="does not hold the lock of this group"):
            uow.commit()


@pytest.mark.parametrize("change", [one for one in OF_A_GROUP if one is not add_group])
def test_row_of_each_locked_group_is_written(
    session_factory: Factory, group: PlanGroup, other: PlanGroup, change: Change
) -> None:
    lock = PlanGroupLock.of(group.tenant_id, [group.id, other.id])
    with UnitOfWork(session_factory, lock=lock) as uow:
        apply(change, uow, group, other)
        uow.commit()


def test_row_of_a_student_needs_the_lock_of_the_student(
    session_factory: Factory, group: PlanGroup, other: PlanGroup
) -> None:
    lock = PlanGroupLock(group.tenant_id, group.id)
    with UnitOfWork(session_factory, lock=lock) as uow:
        apply(exclude_for_student, uow, group, other)
        with pytest.raises(LockNotHeldError, match="does not hold the lock of this student"):
            uow.commit()
    with UnitOfWork(session_factory, lock=lock) as uow:
        uow.lock_student(group.id)
        apply(exclude_for_student, uow, group, other)
        uow.commit()
    with session_factory() as session:
        dates = sa.select(Exclusion.date).where(Exclusion.student_id == group.student_id)
        assert session.scalars(dates).all() == [date(2025, 1, 8)]


def test_row_that_another_request_reads_stays_as_it_was(
    session_factory: Factory, group: PlanGroup, other: PlanGroup
) -> None:
    lock = PlanGroupLock(group.tenant_id, group.id)
    with UnitOfWork(session_factory, lock=lock) as uow:
        apply(change_content, uow, group, other)
        with pytest.raises(LockNotHeldError):
            uow.session.flush()
        uow.rollback()
    with session_factory() as session:
        ranges = sa.select(Content.last_unit).where(Content.group_id == other.id)
        assert session.scalars(ranges).all() == [100]
