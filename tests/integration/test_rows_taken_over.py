"""A row of another group or student is not taken over, even if its owner was not loaded."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session, defer, sessionmaker

from domain import (
    AcademySchedule,
    Base,
    Block,
    Content,
    Exclusion,
    NonStudyBlock,
    PlanGroup,
    PlanGroupLock,
    StudentLock,
    StudentPlan,
    UnitOfWork,
)
from domain.errors import LockNotHeldError
from domain.models import LectureEpisode, SpecialDay
from tests.integration.editing import World, everything
from tests.integration.storing import stored_group

Factory = sessionmaker[Session]
Query = sa.Select[Any]
Load = Callable[[Session, Query, InstrumentedAttribute[Any]], Any]
OF_A_GROUP = [Content, LectureEpisode, Block, NonStudyBlock, SpecialDay, Exclusion, StudentPlan]


def loaded(session: Session, query: Query, _: InstrumentedAttribute[Any]) -> Any:
    return session.scalars(query.limit(1)).one()


def expired(session: Session, query: Query, owner: InstrumentedAttribute[Any]) -> Any:
    row = loaded(session, query, owner)
    session.expire(row)
    return row


def with_an_expired_owner(session: Session, query: Query, owner: InstrumentedAttribute[Any]) -> Any:
    row = loaded(session, query, owner)
    session.expire(row, [owner.key])
    return row


def without_its_owner(session: Session, query: Query, owner: InstrumentedAttribute[Any]) -> Any:
    return loaded(session, query.options(defer(owner)), owner)


each_load = pytest.mark.parametrize(
    "load", [loaded, expired, with_an_expired_owner, without_its_owner]
)


@pytest.fixture
def own(session_factory: Factory, world: World) -> PlanGroupLock:
    """The lock of another group of the same student."""
    ids = {"tenant_id": world.tenant_id, "student_id": world.group.student_id}
    return PlanGroupLock(world.tenant_id, stored_group(session_factory, **ids).id)


def refuse(  # noqa: PLR0917 - in the order of the request
    factory: Factory,
    lock: PlanGroupLock | StudentLock,
    load: Load,
    query: Query,
    owner: InstrumentedAttribute[Any],
    changed: object,
    reason: str,
) -> None:
    """Assert that a row cannot be given to an owner, and that nothing is written."""
    before = everything(factory)
    with UnitOfWork(factory, lock=lock) as uow:
        row = load(uow.session, query, owner)
        setattr(row, owner.key, changed)
        with pytest.raises(LockNotHeldError, match=reason):
            uow.commit()
    assert everything(factory) == before


@each_load
@pytest.mark.parametrize("kind", OF_A_GROUP)
def test_row_of_a_group_without_the_lock_is_not_taken_over(
    session_factory: Factory, world: World, own: PlanGroupLock, kind: Any, load: Load
) -> None:
    query = sa.select(kind).where(kind.group_id == world.group.id)
    reason = "does not hold the lock of this group"
    refuse(session_factory, own, load, query, kind.group_id, own.group_id, reason)


@each_load
@pytest.mark.parametrize("kind", [AcademySchedule, Exclusion])
def test_row_of_a_student_without_the_lock_is_not_taken_over(
    session_factory: Factory, world: World, kind: Any, load: Load
) -> None:
    row = world.lesson if kind is AcademySchedule else world.exclusion
    query, lock = sa.select(kind).where(kind.id == row.id), StudentLock(world.tenant_id, uuid4())
    reason = "does not hold the lock of this student"
    refuse(session_factory, lock, load, query, kind.student_id, lock.student_id, reason)


@each_load
@pytest.mark.parametrize("kind", [PlanGroup, Block, StudentPlan])
def test_row_of_another_tenant_is_not_taken_over(
    session_factory: Factory, world: World, kind: Any, load: Load
) -> None:
    lock = PlanGroupLock(uuid4(), world.group.id)
    query = sa.select(kind).where(kind.tenant_id == world.tenant_id)
    reason = "of another tenant"
    refuse(session_factory, lock, load, query, kind.tenant_id, lock.tenant_id, reason)


@each_load
def test_exclusion_of_all_groups_is_not_taken_over_by_one(
    session_factory: Factory, world: World, load: Load
) -> None:
    """The student's other groups would lose it, so the lock of the student is needed."""
    query = sa.select(Exclusion).where(Exclusion.id == world.exclusion.id)
    reason = "does not hold the lock of this student"
    owner, group_id = Exclusion.group_id, world.group.id
    refuse(session_factory, world.lock, load, query, owner, group_id, reason)


@each_load
def test_exclusion_of_a_group_is_not_extended_to_all_groups(
    session_factory: Factory, world: World, load: Load
) -> None:
    query = sa.select(Exclusion).where(Exclusion.id == world.own_exclusion.id)
    reason = "does not hold the lock of this student"
    refuse(session_factory, world.lock, load, query, Exclusion.group_id, None, reason)


def test_exclusion_changes_its_owner_under_both_locks(
    session_factory: Factory, world: World
) -> None:
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        uow.lock_student(world.group.id)
        ids = (world.tenant_id, world.exclusion.id), (world.tenant_id, world.own_exclusion.id)
        general, own = (uow.session.get_one(Exclusion, key) for key in ids)
        general.group_id, own.group_id = world.group.id, None
        uow.commit()
    assert (general.version, own.version) == (2, 2)


def test_owners_are_known_after_they_were_changed() -> None:
    """The row guard relies on the value that a row had before its change."""
    owners = [
        (mapper.class_, name)
        for mapper in Base.registry.mappers
        for name in ("tenant_id", "group_id", "student_id")
        if name in mapper.column_attrs
    ]
    assert len(owners) > len(OF_A_GROUP)
    for kind, name in owners:
        assert getattr(kind, name).impl.dispatch._active_history, (kind, name)
