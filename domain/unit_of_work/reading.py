"""Reads before a unit of work, without a lock, which find out what to lock."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from domain.database_errors import During, translated
from domain.unit_of_work import sessions

if TYPE_CHECKING:  # needs greenlet, which only asyncio applications have to install
    from sqlalchemy.ext.asyncio import AsyncSession

T = TypeVar("T")


def read(session_factory: Callable[[], Session], query: Callable[[Session], T]) -> T:
    """Return the result of ``query`` on a new Session, which is closed afterwards.

    A Session in use would lose its work by that. Raises ``WrongSessionError``,
    ``WrongTransactionError`` and ``DatabaseBusyError`` like a unit of work.
    """
    session, bind = sessions.new_session(session_factory)
    try:
        with session:
            return _begin_and_call(session, bind, query)
    finally:
        sessions.restore(session)


async def read_async(
    async_session_factory: "Callable[[], AsyncSession]", query: Callable[[Session], T]
) -> T:
    """Return the result of ``query`` like ``read``, with asyncio."""
    made, session = sessions.made_async_session(async_session_factory)
    _, bind = sessions.new_session(lambda: session)
    try:
        async with made:
            result: T = await made.run_sync(_begin_and_call, bind, query)
            return result
    finally:
        sessions.restore(session)


def _begin_and_call(
    session: Session, bind: Engine | Connection, query: Callable[[Session], T]
) -> T:
    with translated(during=During.CHECKOUT):
        sessions.begin(session, bind)
    return query(session)
