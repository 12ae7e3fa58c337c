"""``contend`` makes requests overlap, each on a separate connection, and returns every answer."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.testing import assert_lock_free, assert_lock_held, contend, contend_async
from tests.faults.stage import DeliberateError

Hold = Callable[[], None]
AsyncHold = Callable[[], Awaitable[None]]


def test_contend_holds_every_request_until_all_have_entered(engine: sa.Engine) -> None:
    backends: set[int] = set()

    def request(hold: Hold) -> int:
        with engine.connect() as connection:
            backends.add(connection.scalar(sa.select(sa.func.pg_backend_pid())) or 0)
            hold()
            return len(backends)

    assert contend(5, request).results == [5] * 5


def test_contend_holds_the_winner_until_the_last_request_is_refused(
    engine: sa.Engine, session_factory: sessionmaker[Session], tenant_id: UUID, group_id: UUID
) -> None:
    lock = PlanGroupLock(tenant_id, group_id)
    refused: list[PlanGroupLockedError] = []

    def request(hold: Hold) -> int:
        try:
            with UnitOfWork(session_factory, lock=lock) as uow:
                hold()
                assert_lock_held(engine, lock.group_id, by=uow)
                return len(refused)
        except PlanGroupLockedError as refusal:
            refused.append(refusal)
            raise

    answers = contend(5, request)
    assert answers.results == [4]
    assert sorted(map(id, answers.refusals)) == sorted(map(id, refused))
    assert_lock_free(engine, lock.group_id)


@pytest.mark.parametrize("held", [False, True])
def test_contend_raises_other_errors_and_blocks_no_request(*, held: bool) -> None:
    def request(hold: Hold) -> None:
        if held:
            hold()
        raise DeliberateError

    with pytest.raises(DeliberateError):
        contend(3, request)


def test_contend_async_holds_the_winner_until_the_last_request_is_refused() -> None:
    inside = refused = 0

    async def request(hold: AsyncHold) -> int:
        nonlocal inside, refused
        if inside:
            refused += 1
            raise PlanGroupLockedError(group_id=uuid4())
        inside += 1
        await hold()
        return refused

    answers = asyncio.run(contend_async(7, request))
    assert answers.results == [6]
    assert [type(refusal) for refusal in answers.refusals] == [PlanGroupLockedError] * 6


def test_contend_async_holds_every_request_until_all_have_entered() -> None:
    inside = 0

    async def request(hold: AsyncHold) -> int:
        nonlocal inside
        await asyncio.sleep(0)
        inside += 1
        await hold()
        return inside

    assert asyncio.run(contend_async(4, request)).results == [4] * 4
