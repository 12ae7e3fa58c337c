"""Units of work: one lock, one transaction, one commit; for threads and for asyncio.

``UnitOfWork`` has every rule. ``AsyncUnitOfWork`` drives one from a task and adds what only
tasks have: cancellation, and other tasks that run in between.
"""

from domain.unit_of_work.asynchronous import AsyncUnitOfWork
from domain.unit_of_work.unit import UnitOfWork

__all__ = ["AsyncUnitOfWork", "UnitOfWork"]
