"""Requests for locks: the keys, how long a request waits, and how many requests may wait."""

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import Final, Self
from uuid import UUID
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Engine, Pool, QueuePool

from domain.errors import InvalidInputError

MAX_WAIT: Final = timedelta(minutes=10)
MAX_GROUPS: Final = 100
SHARED_WAIT: Final = timedelta(seconds=1)
"""How long a request for a shared lock waits by default behind exclusive ones."""
WAIT_BEHIND_SHARED: Final = timedelta(milliseconds=300)
"""How long a request for an exclusive lock waits by default if all holders share the lock."""
MILLISECOND: Final = timedelta(milliseconds=1)
_MAX_LIMIT: Final = timedelta(days=24)  # the server stores milliseconds in 32 bits
# Weak references in place of a counter: a signal handler may raise between taking a slot and
# entering the block, or before returning it. The slot is then free when its object is collected.
_waiting: "WeakKeyDictionary[Pool, WeakSet[WaitingSlot]]" = WeakKeyDictionary()
_waiting_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of a transaction that holds a lock; the server enforces them.

    A limit that the session already has is kept. Raises ``InvalidInputError`` unless each is
    from 1 ms to 24 days.
    """

    idle: timedelta = timedelta(seconds=30)
    """How long it may be idle (``idle_in_transaction_session_timeout``)."""
    transaction: timedelta = timedelta(minutes=5)
    """How long it may last (``transaction_timeout``, PostgreSQL 17 and later)."""
    row_lock: timedelta = timedelta(seconds=5)
    """How long a statement may wait for a row that another transaction has locked
    (``lock_timeout``). Only a transaction that does not acquire the lock can cause such a wait. If
    it belongs to the same request, the request would otherwise wait for itself."""

    def __post_init__(self) -> None:
        # Callers without a type checker pass numbers for durations.
        limits: tuple[object, ...] = (self.idle, self.transaction, self.row_lock)
        for limit in limits:
            if not isinstance(limit, timedelta) or not MILLISECOND <= limit <= _MAX_LIMIT:
                raise InvalidInputError.of("limits", "must be timedeltas from 1 ms to 24 days")


@dataclass(frozen=True, slots=True)
class PlanGroupLock:
    """A request for the lock of one group, or with ``PlanGroupLock.of`` of several.

    The lock is exclusive, for generation and edits, or ``shared``, for marks of progress, which do
    not exclude each other. All groups belong to one tenant. Of several locks all are acquired or
    none, in key order, so that two requests never deadlock.

    Without ``wait`` a busy group is refused immediately, with two exceptions: an exclusive lock
    waits for ``WAIT_BEHIND_SHARED`` if all its holders share it, and a shared lock waits for
    ``SHARED_WAIT``. With ``wait`` the request queues on the server for at most that long, in order
    of arrival.

    Raises ``InvalidInputError`` for ids that are not UUIDs, for more than ``MAX_GROUPS``
    groups, and for a wait that is negative or longer than ``MAX_WAIT``.
    """

    tenant_id: UUID
    group_id: UUID
    _: KW_ONLY
    wait: timedelta | None = None
    limits: Limits = field(default_factory=Limits)
    shared: bool = False
    others: frozenset[UUID] = frozenset()

    def __post_init__(self) -> None:
        # On Citus a null tenant would acquire the lock on the client's own node, without an error.
        InvalidInputError.require_uuids(tenant_id=self.tenant_id, group_id=self.group_id)
        others: object = self.others
        if not isinstance(others, frozenset):
            raise InvalidInputError.of("others", "must be a frozenset of UUIDs")
        _require_group_ids(others)
        if len(self.group_ids) > MAX_GROUPS:
            raise InvalidInputError.of("group_id", f"at most {MAX_GROUPS} groups are allowed")
        if not isinstance(self.shared, bool):
            raise InvalidInputError.of("shared", "must be true or false")
        _check_policy(self.max_wait, self.limits)

    @classmethod
    def of(
        cls,
        tenant_id: UUID,
        group_ids: Iterable[UUID],
        *,
        wait: timedelta | None = None,
        limits: Limits | None = None,
        shared: bool = False,
    ) -> "PlanGroupLock":
        """Return a request for the locks of several groups; duplicate ids count once."""
        given: object = group_ids  # callers without a type checker pass the id of one group
        if not isinstance(given, Iterable):
            raise InvalidInputError.of("group_id", "must be the UUIDs of the groups")
        listed = list(given)
        _require_group_ids(listed)  # before a value that is not hashable is put into a set
        ids = frozenset(listed)
        if not ids:
            raise InvalidInputError.of("group_id", "at least one group is required")
        first = next(iter(ids))
        return cls(
            tenant_id,
            first,
            wait=wait,
            limits=Limits() if limits is None else limits,
            shared=shared,
            others=ids - {first},
        )

    @property
    def group_ids(self) -> frozenset[UUID]:
        """All the groups."""
        return self.others | {self.group_id}

    @property
    def keys(self) -> list[int]:
        """The groups' keys, ascending."""
        if not self.others:
            return [plan_group_lock_key(self.group_id)]
        return sorted(map(plan_group_lock_key, self.group_ids))

    @property
    def max_wait(self) -> timedelta:
        """How long to wait for the current holder of the lock."""
        if self.wait is not None:
            return self.wait
        return SHARED_WAIT if self.shared else timedelta(0)


@dataclass(frozen=True, slots=True)
class StudentLock:
    """A request for the lock of a student, for writes that affect all of the student's groups.

    A transaction that writes plans also acquires it, after the group's lock. Raises
    ``InvalidInputError`` like ``PlanGroupLock``.
    """

    tenant_id: UUID
    student_id: UUID
    _: KW_ONLY
    wait: timedelta = timedelta(0)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        InvalidInputError.require_uuids(tenant_id=self.tenant_id, student_id=self.student_id)
        _check_policy(self.wait, self.limits)

    @property
    def group_ids(self) -> frozenset[UUID]:
        """Always empty: the student's groups are not locked."""
        return frozenset()

    @property
    def keys(self) -> list[int]:
        """The student's key."""
        return [student_lock_key(self.tenant_id, self.student_id)]

    @property
    def shared(self) -> bool:
        """Always false: only groups have a shared lock."""
        return False

    @property
    def max_wait(self) -> timedelta:
        """How long to wait for the current holder of the lock."""
        return self.wait


def plan_group_lock_key(group_id: UUID) -> int:
    """Return the signed 64-bit key of a group, the same as the SQL function's.

    The key is the first 8 bytes, big-endian, of sha256 over a namespace and the id's 16 bytes. Two
    of 100,000 groups have the same key with a probability of 3e-10. The tenant is not part of the
    key, because clients of the SQL function pass only the group.
    """
    return _key(b"studyplan.plan_group:", group_id)


def student_lock_key(tenant_id: UUID, student_id: UUID) -> int:
    """Return the key of a tenant's student, in a separate namespace."""
    return _key(b"studyplan.student:", tenant_id, student_id)


class WaitingSlot:
    """A context that occupies one of the engine's waiting slots; ``taken`` is whether one was free.

    A waiting request occupies a connection: three of them on a pool of three would leave none for
    other requests. Therefore at most half of a pool may wait, and a request without a free slot
    is refused immediately.
    """

    def __init__(self, engine: Engine, *, wanted: bool) -> None:
        self._pool, self._wanted = engine.pool, wanted
        self.taken = False

    def __enter__(self) -> Self:
        if self._wanted:
            limit = max_waiters(self._pool)
            with _waiting_lock:
                slots = _waiting.setdefault(self._pool, WeakSet())
                if limit is None or len(slots) < limit:
                    slots.add(self)
                    self.taken = True
        return self

    def __exit__(self, *_: object) -> None:
        if self.taken:
            with _waiting_lock:
                _waiting[self._pool].discard(self)


def max_waiters(pool: Pool) -> int | None:
    """Return half of the pool's maximum size; ``None`` for a pool without a limit."""
    if not isinstance(pool, QueuePool) or pool._max_overflow < 0:  # noqa: SLF001 - no accessor
        return None
    return (pool.size() + pool._max_overflow) // 2  # noqa: SLF001 - SQLAlchemy has no accessor


def _require_group_ids(ids: Iterable[object]) -> None:
    for group_id in ids:
        InvalidInputError.require_uuids(group_id=group_id)


def _check_policy(wait: object, limits: object) -> None:
    # Callers without a type checker pass numbers for durations.
    if not isinstance(wait, timedelta) or not timedelta(0) <= wait <= MAX_WAIT:
        raise InvalidInputError.of("wait", f"must be a timedelta from 0 to {MAX_WAIT}")
    if not isinstance(limits, Limits):
        raise InvalidInputError.of("limits", "must be Limits")


def _key(namespace: bytes, *ids: UUID) -> int:
    digest = hashlib.sha256(namespace + b"".join(id_.bytes for id_ in ids)).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
