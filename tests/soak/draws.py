"""The operations of a worker, drawn in advance by a seeded random generator."""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from domain import Limits, PlanGroupLock
from tests.soak.faults import Fault
from tests.soak.history import RUNS, Kind, Operation

FIRST_DAY = date(2025, 1, 6)
DAYS_OF_TODAY = 6
KEY_PROBABILITY = 0.25
OPERATIONS_PER_KEY = 3
"""The number of consecutive operations of each worker that share an idempotency key."""
MAX_DWELL = 0.004
IDLE = Limits(idle=timedelta(milliseconds=150))

MIXED = {
    Kind.GENERATE: 28, Kind.RESCHEDULE: 14, Kind.ROLL_BACK: 4, Kind.UNDO: 12, Kind.REDO: 3,
    Kind.MARK: 9, Kind.MARK_ALL: 4, Kind.MISS: 3, Kind.MOVE: 5, Kind.EDIT: 4, Kind.STATE: 3,
    Kind.READ: 9,
}  # fmt: skip
REDO_PROBABILITY = 0.5
"""The probability that a worker's operation after an undo is the redo."""
SHARED = frozenset({Kind.MARK, Kind.MARK_ALL})
CONTENDING = {Kind.GENERATE: 85, Kind.ROLL_BACK: 5, Kind.EDIT: 5, Kind.READ: 5}
"""The weights for loads with a sabotaged lock, which consist mostly of generations."""
ALONE = {
    Kind.GENERATE: 16, Kind.RESCHEDULE: 20, Kind.UNDO: 18, Kind.MARK: 12, Kind.MARK_ALL: 6,
    Kind.MISS: 6, Kind.MOVE: 16, Kind.READ: 6,
}  # fmt: skip
"""The weights for the load of a single worker; each other undo is followed by a redo."""


@dataclass(frozen=True, slots=True)
class Target:
    """A group of the load."""

    tenant_id: UUID
    student_id: UUID
    group_id: UUID
    others: tuple[UUID, ...]
    """The student's other groups."""
    activates: bool
    """Whether changes of state activate and pause the group, or save it and make it a draft again.

    At most one group of a student is active. For students whose groups must all be generated, the
    groups are therefore saved instead of activated.
    """


@dataclass(frozen=True, slots=True)
class Draw:
    """The parameters of one operation."""

    kind: Kind
    target: Target
    number: int
    wait: timedelta | None
    fault: Fault
    today: date
    key: str
    selector: float
    """A random number in [0, 1) that selects one of several rows and one of several changes."""
    dwell: float
    patience: float | None
    """The seconds after which an asynchronous caller cancels the operation; None for never."""

    @property
    def lock(self) -> PlanGroupLock:
        """The lock of the group, or of all groups of the student if one may be paused for another.

        Marks of progress request it shared.
        """
        limits = IDLE if self.fault is Fault.IDLE else Limits()
        several = self.kind is Kind.STATE and self.target.activates
        ids = {self.target.group_id, *(self.target.others if several else ())}
        return PlanGroupLock.of(
            self.target.tenant_id, ids, wait=self.wait, limits=limits, shared=self.kind in SHARED
        )

    def operation(self, name: str) -> Operation:
        """Return a new record of the operation, which starts now."""
        return Operation(
            name,
            self.kind,
            sorted(map(str, self.lock.group_ids)),
            str(self.target.student_id),
            started=time.monotonic(),
            shared=self.lock.shared,
            key=self.key,
            fault=self.fault.value,
        )


def draws(
    seed: str,
    targets: tuple[Target, ...],
    numbers: Iterator[int],
    *,
    faults: float,
    weights: Mapping[Kind, int] = MIXED,
) -> Iterator[Draw]:
    """Yield one draw per number; ``faults`` is the probability of a fault."""
    rng = random.Random(seed)  # noqa: S311 - not for cryptography
    kind = Kind.READ
    target = targets[0]
    for number in numbers:
        if kind is Kind.UNDO and rng.random() < REDO_PROBABILITY:
            kind = Kind.REDO  # of the same group
        else:
            (kind,) = rng.choices(list(weights), weights=list(weights.values()))
            target = rng.choice(targets)
        yield _draw(rng, number, kind, target, faults)


def _draw(rng: random.Random, number: int, kind: Kind, target: Target, faults: float) -> Draw:
    locked = kind is not Kind.READ  # a Session without a unit of work is not safe to cancel
    faulty = rng.random() < faults and locked
    keyed = rng.random() < KEY_PROBABILITY and kind in RUNS
    key = number // OPERATIONS_PER_KEY
    patient = timedelta(milliseconds=rng.randint(20, 400))
    day = key if keyed else rng.randrange(DAYS_OF_TODAY)
    return Draw(
        kind=kind,
        target=target,
        number=number,
        wait=rng.choice((None, timedelta(0), patient, patient)),
        fault=rng.choice(list(Fault)[1:]) if faulty else Fault.NONE,
        today=FIRST_DAY + timedelta(days=day % DAYS_OF_TODAY),
        key=f"{target.group_id}/{kind.name}/{key}" if keyed else "",
        selector=rng.random(),
        dwell=rng.choice((0.0, rng.uniform(0, MAX_DWELL))),
        patience=rng.uniform(0.005, 0.1) if rng.random() < faults and locked else None,
    )
