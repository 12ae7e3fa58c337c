"""The pytest plugin. A test suite enables it in its top-level ``conftest.py``::

    pytest_plugins = ["domain.testing.plugin"]

or on the command line with ``-p domain.testing.plugin``. Otherwise the package does not affect
pytest. The plugin only has fixtures: no hooks, and no fixture with ``autouse``. Whatever a fixture
starts is stopped at the end of the test, even if the test fails.
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
    """The engine of the database under test. The application must override this fixture."""
    pytest.fail("Define a fixture studyplan_engine: an engine on the database under test.")


@pytest.fixture
def assert_lock_held(studyplan_engine: sa.Engine) -> Callable[..., None]:
    """``assert_lock_held(group)`` asserts that a transaction holds the lock.

    With ``by=uow`` it must be the transaction of that unit of work.
    """
    return partial(testing.assert_lock_held, studyplan_engine)


@pytest.fixture
def assert_lock_free(studyplan_engine: sa.Engine) -> Callable[..., None]:
    """``assert_lock_free(group)`` asserts that no transaction holds the lock.

    With ``seconds=…`` it waits that long for the release.
    """
    return partial(testing.assert_lock_free, studyplan_engine)


@pytest.fixture
def contend() -> Callable[..., Outcomes[Any]]:
    """``contend(8, request)`` runs eight calls of ``request(hold)`` that are certain to overlap."""
    return testing.contend


@pytest.fixture
def fault_at() -> Iterator[Callable[..., FaultAt]]:
    """``fault_at(…)``, with the arguments of ``FaultAt``, injects a fault for the rest of the test.

    The test fails if no generation reaches the step.
    """
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(FaultAt(*arguments, **options))


@pytest.fixture
def cutting_proxy() -> Iterator[Callable[[str, int], CuttingProxy]]:
    """``cutting_proxy(host, port)`` returns a ``CuttingProxy`` that runs until the test ends."""
    with ExitStack() as stack:
        yield lambda host, port: stack.enter_context(CuttingProxy(host, port))
