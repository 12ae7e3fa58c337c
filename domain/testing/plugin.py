"""The pytest plugin: faults and proxies that end with the test, whatever becomes of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from domain.testing.faults import FaultAt
from domain.testing.proxy import CuttingProxy


@pytest.fixture
def fault_at() -> Iterator[Callable[..., FaultAt]]:
    """Called like ``FaultAt``: arms a fault for the rest of the test.

    A step that no generation came to fails the test.
    """
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(FaultAt(*arguments, **options))


@pytest.fixture
def cutting_proxy() -> Iterator[Callable[[str, int], CuttingProxy]]:
    """Called with a host and a port: a ``CuttingProxy`` to it, until the test's end."""
    with ExitStack() as stack:
        yield lambda host, port: stack.enter_context(CuttingProxy(host, port))
