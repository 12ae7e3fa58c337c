"""Units of work: one lock, one transaction and one commit, for threads and for asyncio.

``UnitOfWork`` implements all rules. ``AsyncUnitOfWork`` runs one in an asyncio task, and handles
cancellation and calls from other tasks in addition.
"""

from domain.unit_of_work.asynchronous import AsyncUnitOfWork
from domain.unit_of_work.unit import UnitOfWork

__all__ = ["AsyncUnitOfWork", "UnitOfWork"]
