"""For the tests of those who build on the package: overlap, watched locks, faults.

``domain.testing.plugin`` has the same as pytest fixtures, for suites that name it in
``pytest_plugins``. It needs the extra ``testing``, which is pytest; nothing else imports pytest.
Nothing of this changes the package: faults come in by events of SQLAlchemy and by the driver's
cursor class.
"""

from domain.testing.commit_gate import CommitGate, wait_until_commit_ended
from domain.testing.contenders import Answers, Meeting, contend, contend_async
from domain.testing.faults import FaultAt
from domain.testing.proxy import CuttingProxy
from domain.testing.steps import Step
from domain.testing.watching import (
    PATIENCE,
    advisory_locks,
    assert_lock_free,
    assert_lock_held,
    cancel_backend,
    eventually,
    terminate_backend,
    wait_until_waiting,
)

__all__ = [
    "PATIENCE",
    "Answers",
    "CommitGate",
    "CuttingProxy",
    "FaultAt",
    "Meeting",
    "Step",
    "advisory_locks",
    "assert_lock_free",
    "assert_lock_held",
    "cancel_backend",
    "contend",
    "contend_async",
    "eventually",
    "terminate_backend",
    "wait_until_commit_ended",
    "wait_until_waiting",
]
