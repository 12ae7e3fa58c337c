"""Services refuse calls that overlap in one unit of work."""

from contextlib import nullcontext
from typing import Any, TypeVar

from domain.locking import guards
from domain.unit_of_work import UnitOfWork

T = TypeVar("T")


def one_call_at_a_time(cls: type[T]) -> type[T]:
    """Make each public method refuse to run while another thread uses its unit of work.

    It raises ``UnitOfWorkStateError`` then. The unit of work is the method's first argument;
    on a plain Session nothing changes.
    """
    return guards.in_turns(cls, _turn_of_call)


def _turn_of_call(_: object, *args: Any, **kwargs: Any) -> guards.Turn:
    uow = args[0] if args else kwargs.get("uow")
    return uow.turn() if isinstance(uow, UnitOfWork) else nullcontext()
