"""Complete requests refuse a Session in use before they read, because reading would close it."""

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from domain import DomainError, PlanGroup, PlanGroupLock, UnitOfWork
from domain.errors import WrongSessionError
from domain.services import activate, activate_async, removal
from tests.integration.storing import enter, generate, ids_of, status_of, stored_group

Factory = sessionmaker[Session]


def lock_of(group: PlanGroup) -> PlanGroupLock:
    return PlanGroupLock(group.tenant_id, group.id)


Request = Callable[[Any, UUID, UUID], object]
REQUESTS: dict[str, Request] = {
    "activate": lambda factory, tenant_id, group_id: activate(
        factory, tenant_id=tenant_id, group_id=group_id
    ),
    "remove_history": lambda factory, tenant_id, _: removal.remove_history(
        factory, tenant_id=tenant_id, before=datetime.now(UTC)
    ),
    "remove_student": lambda factory, tenant_id, _: removal.remove_student(
        factory, tenant_id=tenant_id, student_id=uuid4()
    ),
    "remove_tenant": lambda factory, tenant_id, _: removal.remove_tenant(
        factory, tenant_id=tenant_id
    ),
}
each_request = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)


@each_request
def test_session_in_use_is_refused_and_keeps_its_uncommitted_changes(
    engine: sa.Engine, session_factory: Factory, request_: Request
) -> None:
    group = stored_group(session_factory)
    db = scoped_session(sessionmaker(engine))
    db.execute(sa.update(PlanGroup).where(PlanGroup.id == group.id).values(name="its own"))
    with pytest.raises(WrongSessionError, match="in use"):
        request_(db, group.tenant_id, group.id)
    db.commit()
    assert db.get_one(PlanGroup, (group.tenant_id, group.id)).name == "its own"
    db.remove()


@each_request
def test_session_of_a_registry_has_its_options_again_after_the_request(
    engine: sa.Engine, session_factory: Factory, request_: Request
) -> None:
    """The application goes on to use it, and relies on it to read again after its commits."""
    group = stored_group(session_factory)
    db: Any = scoped_session(sessionmaker(engine, execution_options={"yield_per": 7}))
    before = (db().expire_on_commit, db().execution_options, dict(db().info))
    request_(db, group.tenant_id, group.id)
    assert (db().expire_on_commit, db().execution_options, dict(db().info)) == before
    # Refused as busy, or as not found after a removal.
    with suppress(DomainError), UnitOfWork(session_factory, lock=lock_of(group)):
        contextvars.Context().run(enter, db, lock_of(group))
    assert (db().expire_on_commit, db().execution_options, dict(db().info)) == before
    db.remove()


def test_async_session_in_use_is_refused_and_keeps_its_uncommitted_changes(
    database_url: sa.URL, session_factory: Factory
) -> None:
    group = stored_group(session_factory)

    async def request() -> str:
        engine = create_async_engine(database_url)
        async with AsyncSession(engine) as db:
            await db.execute(
                sa.update(PlanGroup).where(PlanGroup.id == group.id).values(name="its own")
            )
            with pytest.raises(WrongSessionError, match="in use"):
                await activate_async(lambda: db, **ids_of(group))
            await db.commit()
            name = (await db.get_one(PlanGroup, (group.tenant_id, group.id))).name
        await engine.dispose()
        return name

    assert asyncio.run(request()) == "its own"


@each_request
def test_request_on_sessions_that_do_not_begin_by_themselves_is_carried_out(
    engine: sa.Engine, session_factory: Factory, request_: Request
) -> None:
    group = stored_group(session_factory)
    generate(session_factory, group)
    request_(sessionmaker(engine, autobegin=False), group.tenant_id, group.id)


def test_activation_on_async_sessions_that_do_not_begin_by_themselves_is_carried_out(
    database_url: sa.URL, session_factory: Factory
) -> None:
    group = stored_group(session_factory)

    async def request() -> None:
        engine = create_async_engine(database_url)
        await activate_async(async_sessionmaker(engine, autobegin=False), **ids_of(group))
        await engine.dispose()

    asyncio.run(request())
    assert status_of(session_factory, group) == "active"
