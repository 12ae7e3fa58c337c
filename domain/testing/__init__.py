"""Tools for the tests of applications: simultaneous requests, lock assertions, injected faults.

``domain.testing.plugin`` has the same tools as pytest fixtures, for test suites that list it in
``pytest_plugins``. It needs the extra ``pytest``; no other module imports pytest.
``domain.testing.contention`` and ``domain.testing.faults`` have additional functions. The package
itself is not modified: faults are injected through SQLAlchemy's events and the cursor class of
the driver.
"""

from domain.testing.contention import assert_lock_free, assert_lock_held, contend, contend_async
from domain.testing.faults import FaultAt, Step
from domain.testing.proxy import CuttingProxy

__all__ = [
    "CuttingProxy",
    "FaultAt",
    "Step",
    "assert_lock_free",
    "assert_lock_held",
    "contend",
    "contend_async",
]
