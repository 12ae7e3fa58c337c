"""What the operations of a worker are to do, drawn by a seeded generator beforehand."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from domain import Limits, PlanGroupLock
from tests.soak.faults import Fault
from tests.soak.history import Kind, Operation

FIRST_DAY = date(2025, 1, 6)
DAYS_OF_TODAY = 6
WITH_A_KEY = 0.25
OPERATIONS_A_KEY = 3
"""So many operations of a worker, and as many of each other worker, share a key."""
MAX_DWELL = 0.004
IDLE = Limits(idle=timedelta(milliseconds=150))

MIXED = {
    Kind.GENERATE: 58, Kind.ROLL_BACK: 6, Kind.MARK: 12, Kind.EDIT: 8, Kind.STATE: 6, Kind.READ: 10,
}  # fmt: skip
CONTENDING = {Kind.GENERATE: 85, Kind.ROLL_BACK: 5, Kind.EDIT: 5, Kind.READ: 5}
"""For loads whose lock is spoilt."""


@dataclass(frozen=True, slots=True)
class Target:
    """A group of the load."""

    tenant_id: UUID
    student_id: UUID
    group_id: UUID
    others: tuple[UUID, ...]
    """The student's other groups."""
    activates: bool
    """Whether it is activated and paused; at most one of a student's groups is active, so
    groups of a student that shall both be generated are saved and taken back instead."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What one operation is to do."""

    kind: Kind
    target: Target
    number: int
    wait: timedelta | None
    fault: Fault
    today: date
    key: str
    luck: float
    """Which of several rows, and which of several changes."""
    dwell: float
    patience: float | None
    """After how many seconds an asynchronous caller gives up."""

    @property
    def lock(self) -> PlanGroupLock:
        """Of the group, or of all of the student's if one may be paused for another.

        Marks of progress share it.
        """
        limits = IDLE if self.fault is Fault.IDLE else Limits()
        several = self.kind is Kind.STATE and self.target.activates
        ids = {self.target.group_id, *(self.target.others if several else ())}
        return PlanGroupLock.of(
            self.target.tenant_id, ids, wait=self.wait, limits=limits, shared=self.kind is Kind.MARK
        )

    def operation(self, name: str) -> Operation:
        """The record of it, begun now."""
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
    seed: str, targets: tuple[Target, ...], numbers: Iterator[int], *, faults: float, mixed: bool
) -> Iterator[Draw]:
    """One for each number; ``faults`` is which part of them comes to harm."""
    dice = random.Random(seed)  # noqa: S311 - drawn, not secret
    weights = MIXED if mixed else CONTENDING
    for number in numbers:
        (kind,) = dice.choices(list(weights), weights=list(weights.values()))
        yield _draw(dice, number, kind, dice.choice(targets), faults)


def _draw(dice: random.Random, number: int, kind: Kind, target: Target, faults: float) -> Draw:
    locked = kind is not Kind.READ  # a plain Session promises nothing when it is cancelled
    harmed = dice.random() < faults and locked
    keyed = dice.random() < WITH_A_KEY and kind is Kind.GENERATE
    key = number // OPERATIONS_A_KEY
    patient = timedelta(milliseconds=dice.randint(20, 400))
    day = key if keyed else dice.randrange(DAYS_OF_TODAY)
    return Draw(
        kind=kind,
        target=target,
        number=number,
        wait=dice.choice((None, timedelta(0), patient, patient)),
        fault=dice.choice(list(Fault)[1:]) if harmed else Fault.NONE,
        today=FIRST_DAY + timedelta(days=day % DAYS_OF_TODAY),
        key=f"{target.group_id}/{key}" if keyed else "",
        luck=dice.random(),
        dwell=dice.choice((0.0, dice.uniform(0, MAX_DWELL))),
        patience=dice.uniform(0.005, 0.1) if dice.random() < faults and locked else None,
    )
