"""A plan group is stored completely or not at all, even if its creation is interrupted."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, PlanGroupService, UnitOfWork
from domain.errors import InvalidInputError, PlanGroupNotFoundError
from domain.testing import contend
from domain.testing.contention import advisory_locks, terminate_backend
from domain.unit_of_work import AsyncUnitOfWork
from tests.concurrency.tasks import (
    CancelledOnce,
    backends_waiting,
    each_cancellation,
    pooled,
    wait_until_backend_waits,
)
from tests.unit.documents.documents import EXAMPLE

Factory = sessionmaker[Session]
FIELDS: dict[str, Any] = json.loads(EXAMPLE)


def create(factory: Factory, lock: PlanGroupLock) -> PlanGroup:
    with UnitOfWork(factory, lock=lock) as uow:
        group = PlanGroupService(uow).create(FIELDS, student_id=lock.group_id)
        uow.commit()
    return group


def rows(engine: sa.Engine, group_id: UUID) -> int:
    with engine.connect() as connection:
        return sum(
            connection.scalar(
                sa.text(f"SELECT count(*) FROM studyplan.{table} WHERE {key} = :id"),  # noqa: S608 - names
                {"id": group_id},
            )
            or 0
            for table, key in (
                ("plan_groups", "id"),
                ("contents", "group_id"),
                ("lecture_episodes", "group_id"),
                ("blocks", "group_id"),
                ("exclusions", "group_id"),
                ("academy_schedules", "student_id"),
            )
        )


@contextmanager
def same_id_pending(engine: sa.Engine, lock: PlanGroupLock) -> Iterator[sa.Connection]:
    """Insert a group with the same id, without the lock, in a transaction that stays open."""
    with engine.connect() as connection:
        connection.execute(
            sa.insert(PlanGroup).values(
                tenant_id=lock.tenant_id, id=lock.group_id, student_id=uuid4(), name="x",
                period_start=sa.func.current_date(), period_end=sa.func.current_date(),
            )
        )  # fmt: skip
        yield connection
        connection.rollback()


@each_cancellation
def test_creation_cancelled_in_its_pipeline_stores_nothing(
    engine: sa.Engine,
    session_factory: Factory,
    database_url: sa.URL,
    request_type: type[CancelledOnce],
) -> None:
    lock = PlanGroupLock(uuid4(), uuid4())

    async def request(factory: Any) -> None:
        async with AsyncUnitOfWork(factory, lock=lock) as uow:
            await uow.run(lambda u: PlanGroupService(u).create(FIELDS, student_id=lock.group_id))
            await uow.commit()

    async def main() -> None:
        async with pooled(database_url) as factory:
            with same_id_pending(engine, lock):
                creation = request_type(request(factory))
                await wait_until_backend_waits(engine)
                creation.cancel()
                await creation.wait_cancelled()
                assert backends_waiting(engine) == 0
            assert advisory_locks(engine) == 0

    asyncio.run(main())
    assert rows(engine, lock.group_id) == 0
    assert create(session_factory, lock).id == lock.group_id


def test_creation_that_loses_its_connection_in_its_pipeline_stores_nothing(
    engine: sa.Engine, session_factory: Factory
) -> None:
    lock = PlanGroupLock(uuid4(), uuid4())

    def request() -> None:
        with UnitOfWork(session_factory, lock=lock) as uow:
            pids.append(uow.session.scalar(sa.text("SELECT pg_backend_pid()")))
            PlanGroupService(uow).create(FIELDS, student_id=lock.group_id)
            uow.commit()

    async def main() -> BaseException | None:
        running = asyncio.create_task(asyncio.to_thread(request))
        await wait_until_backend_waits(engine)
        terminate_backend(engine, pids[0])
        [outcome] = await asyncio.gather(running, return_exceptions=True)
        return outcome

    pids: list[Any] = []
    with same_id_pending(engine, lock):
        outcome = asyncio.run(main())
    assert isinstance(outcome, sa.exc.OperationalError)
    assert rows(engine, lock.group_id) == 0
    assert advisory_locks(engine) == 0
    assert create(session_factory, lock).id == lock.group_id


def test_creation_of_one_id_by_eight_requests_stores_one_group(
    engine: sa.Engine, session_factory: Factory
) -> None:
    lock = PlanGroupLock(uuid4(), uuid4())

    def request(hold: Any) -> PlanGroup:
        with UnitOfWork(session_factory, lock=lock) as uow:
            group = PlanGroupService(uow).create(FIELDS, student_id=lock.group_id)
            hold()
            uow.commit()
        return group

    answers = contend(8, request)
    assert len(answers.results) == 1
    # The group is not stored yet, so a refused lock does not reveal it.
    assert {type(refusal) for refusal in answers.refusals} == {PlanGroupNotFoundError}
    with pytest.raises(InvalidInputError, match="id"):
        create(session_factory, lock)
    assert rows(engine, lock.group_id) == rows(engine, create(session_factory, new_lock()).id)


def new_lock() -> PlanGroupLock:
    return PlanGroupLock(uuid4(), uuid4())
