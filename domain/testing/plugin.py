"""The pytest plugin. A test suite opts in to it in its top ``conftest.py``::

    pytest_plugins = ["domain.testing.plugin"]

or on the command line with ``-p domain.testing.plugin``. Without that the package takes no part
in a test run. The plugin has fixtures only, no hooks and no automatic fixture. What a fixture
starts ends with the test, also when the test fails.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from domain import testing
from domain.testing import CuttingProxy, FaultAt
from domain.testing.contention import Outcomes


@pytest.fixture
def studyplan_engine() -> sa.Engine:
    """The engine on the database under test, which the host's own fixture replaces."""
    pytest.fail("Define a fixture studyplan_engine: an engine on the database under test.")


@pytest.fixture
def assert_lock_held(studyplan_engine: sa.Engine) -> Callable[..., None]:
    """``assert_lock_held(group)``: a transaction holds the lock; with ``by=uow``, this one does."""
    return partial(testing.assert_lock_held, studyplan_engine)


@pytest.fixture
def assert_lock_free(studyplan_engine: sa.Engine) -> Callable[..., None]:
    """``assert_lock_free(group)``: it is free; within ``seconds=…``, if given."""
    return partial(testing.assert_lock_free, studyplan_engine)


@pytest.fixture
def contend() -> Callable[..., Outcomes[Any]]:
    """``contend(8, request)``: eight calls of ``request(hold)`` that overlap for certain."""
    return testing.contend


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
