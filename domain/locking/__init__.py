"""The locks of plan groups and students: requests for them, and their status."""

from domain.locking.policy import Limits, PlanGroupLock, StudentLock, plan_group_lock_key
from domain.locking.status import LockStatus, lock_status

__all__ = [
    "Limits",
    "LockStatus",
    "PlanGroupLock",
    "StudentLock",
    "lock_status",
    "plan_group_lock_key",
]
