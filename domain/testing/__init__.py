"""For the tests of applications that use the package: overlap, watched locks, faults.

``domain.testing.plugin`` has the same as pytest fixtures, for suites that name it in
``pytest_plugins``. It needs the extra ``pytest``; nothing else imports pytest.
``domain.testing.contention`` and ``domain.testing.faults`` have further names. Nothing of this
changes the package: faults come in by events of SQLAlchemy and by the driver's cursor class.
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
