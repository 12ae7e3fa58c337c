"""The request to the scheduling core. It is frozen and contains everything that is needed.

Dates are civil dates, times are minutes of the local day, spans are half-open
``[start, end)`` and unit ranges are inclusive. Weekdays are 0 = Sunday … 6 = Saturday.
A content is identified by its ``position``, which is unique in the group. The order of rows in a
tuple has no meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from types import MappingProxyType

from domain.scheduling.vocabulary import (
    Allocation,
    BlockKind,
    ContentType,
    Difficulty,
    ExclusionType,
    Level,
    PlanKind,
)

LEVEL_FACTORS: Mapping[Level, Decimal] = MappingProxyType(
    {Level.HIGH: Decimal("0.85"), Level.MIDDLE: Decimal("1.0"), Level.LOW: Decimal("1.2")}
)


@dataclass(frozen=True, slots=True)
class Factors:
    """Exact multipliers of study time.

    The minutes of a unit are multiplied by ``level`` and by ``weakness`` or ``strategy``. The
    minutes of a review are the study time multiplied by ``review``.
    """

    level: Decimal = LEVEL_FACTORS[Level.MIDDLE]
    weakness: Decimal = Decimal("1.2")
    strategy: Decimal = Decimal("1.0")
    review: Decimal = Decimal("0.4")


@dataclass(frozen=True, slots=True)
class Block:
    """A weekly span of study time, or of self-study time (the reserve)."""

    kind: BlockKind
    weekday: int
    start_minute: int
    end_minute: int


@dataclass(frozen=True, slots=True)
class NonStudyBlock:
    """A weekly span that is never planned, such as lunch."""

    weekday: int
    start_minute: int
    end_minute: int


@dataclass(frozen=True, slots=True)
class AcademySchedule:
    """A weekly class, with the minutes of travel before and after it."""

    weekday: int
    start_minute: int
    end_minute: int
    travel_minutes: int = 0


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A date without study. Dates outside the period are ignored, duplicates count once."""

    date: date
    type: ExclusionType


@dataclass(frozen=True, slots=True)
class Content:
    """An inclusive range of units to study.

    A book has ``minutes_per_unit``, ``difficulty`` or neither; a lecture has one entry of
    ``episode_minutes`` per unit (``None``: unknown); a custom content has ``minutes_per_unit``.
    Only a strategy content has ``weekly_days``: 2, 3 or 4.
    """

    position: int
    type: ContentType
    allocation: Allocation
    first_unit: int
    last_unit: int
    weekly_days: int | None = None
    minutes_per_unit: int | None = None
    difficulty: Difficulty | None = None
    episode_minutes: tuple[int | None, ...] = ()
    wrap_up_minutes: int = 0


@dataclass(frozen=True, slots=True)
class Busy:
    """Time that a live plan of the student in another group occupies."""

    date: date
    start_minute: int
    end_minute: int


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """A plan of this group that a generation keeps: done, started, pinned or partially done.

    Its time stays occupied. Only a partially done plan has ``done_through``: its units up to that
    one are kept, and the others are planned again.
    """

    content: int
    kind: PlanKind
    date: date
    start_minute: int
    end_minute: int
    first_unit: int
    last_unit: int
    done_through: int | None = None
    part: int = 1
    parts: int = 1
    wrap_up_minutes: int = 0
    reserve: bool = False

    @property
    def last_kept_unit(self) -> int:
        """The last unit of the range that is not planned again."""
        return self.last_unit if self.done_through is None else self.done_through


@dataclass(frozen=True, slots=True)
class Request:
    """Everything on which a schedule depends; equal requests give equal schedules."""

    period_start: date
    period_end: date
    today: date
    contents: tuple[Content, ...]
    blocks: tuple[Block, ...]
    study_days: int = 6
    review_days: int = 1
    factors: Factors = field(default_factory=Factors)
    self_study_on_holidays: bool = False
    non_study_blocks: tuple[NonStudyBlock, ...] = ()
    academy_schedules: tuple[AcademySchedule, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    busy: tuple[Busy, ...] = ()
    kept: tuple[KeptPlan, ...] = ()
