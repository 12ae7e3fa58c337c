"""The locks of plan groups and students: which, how to take them, and who holds them."""

from domain.locking.acquiring import Acquired, acquire, acquire_students
from domain.locking.policy import (
    LONGEST_WAIT,
    MOST_GROUPS,
    SHARED_HOLDERS_WAIT,
    SHARED_WAIT,
    Limits,
    PlanGroupLock,
    StudentLock,
    plan_group_lock_key,
    student_lock_key,
)
from domain.locking.statements import IDENTITY
from domain.locking.status import (
    FUNCTIONS_VERSION,
    LockStatus,
    functions_version,
    is_held,
    keys_in_sql,
    lock_status,
)

__all__ = [
    "FUNCTIONS_VERSION",
    "IDENTITY",
    "LONGEST_WAIT",
    "MOST_GROUPS",
    "SHARED_HOLDERS_WAIT",
    "SHARED_WAIT",
    "Acquired",
    "Limits",
    "LockStatus",
    "PlanGroupLock",
    "StudentLock",
    "acquire",
    "acquire_students",
    "functions_version",
    "is_held",
    "keys_in_sql",
    "lock_status",
    "plan_group_lock_key",
    "student_lock_key",
]
