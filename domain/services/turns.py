"""Services refuse calls that overlap in one unit of work."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from inspect import isfunction
from typing import Any, TypeVar

from domain.unit_of_work import UnitOfWork

T = TypeVar("T")


def one_call_at_a_time(cls: type[T]) -> type[T]:
    """Make each public method refuse to run while another thread uses its unit of work.

    It raises ``UnitOfWorkStateError`` then. The unit of work is the method's first argument;
    on a plain Session nothing changes.
    """
    for name, method in list(vars(cls).items()):
        if isfunction(method) and not name.startswith("_"):
            setattr(cls, name, _in_turn(method))
    return cls


def _in_turn(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        uow = args[0] if args else kwargs.get("uow")
        with uow.turn() if isinstance(uow, UnitOfWork) else nullcontext():
            return method(self, *args, **kwargs)

    return call
