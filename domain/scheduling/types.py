"""The request to the scheduling core, which is frozen and contains everything that is needed.

Dates are civil dates, times are minutes of the local day, spans are half-open
``[start, end)`` and unit ranges are inclusive. Weekdays are 0 = Sunday … 6 = Saturday.
A content is identified by its ``position``, which is unique in the group. The order of rows in a
tuple has no meaning.

Tables, documents and messages contain the values of the enums as text. A CHECK constraint in the
schema repeats each list, so a new value needs a revision.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from domain.scheduling.spans import Span

MINUTES_PER_DAY = 24 * 60
"""``24:00``, the latest valid end of a span."""

MAX_UNITS = 20_000
"""The maximum number of units of a content, and of all contents of a group together."""

LAST_UNIT = 2**31 - 1
"""The highest number of a unit: the maximum of PostgreSQL's ``integer``."""


class Allocation(StrEnum):
    """How often a subject is studied: 취약 on every study day, 전략 on some days of each cycle."""

    WEAKNESS = "weakness"
    STRATEGY = "strategy"


class Balance(StrEnum):
    """What is equal on all days under the strategy ``balanced``."""

    ROOM = "room"
    """The share of the study time that is used: for blocks in which the student means to study."""
    MINUTES = "minutes"
    """The minutes of study: for blocks in which the student could study."""


class BlockKind(StrEnum):
    """학습시간, or 자율학습, whose time is the *reserve*."""

    STUDY = "study"
    SELF_STUDY = "self_study"


class ContentType(StrEnum):
    """The type of a content: 교재 with pages, 강의 with episodes, or 커스텀 with other units."""

    BOOK = "book"
    LECTURE = "lecture"
    CUSTOM = "custom"


class Difficulty(StrEnum):
    """The difficulty of a book: 기초, 기본, 심화, 최상 (개념 is a synonym of 기초)."""

    FOUNDATION = "foundation"
    STANDARD = "standard"
    ADVANCED = "advanced"
    TOP = "top"


class ExclusionType(StrEnum):
    """휴가, 개인사정, 기타 and 휴일지정; the reserve of the last one may remain usable."""

    VACATION = "vacation"
    PERSONAL = "personal"
    OTHER = "other"
    DESIGNATED_HOLIDAY = "designated_holiday"


class Level(StrEnum):
    """The student's level in this group."""

    HIGH = "high"
    MIDDLE = "middle"
    LOW = "low"


class PlanKind(StrEnum):
    """학습 or 복습."""

    STUDY = "study"
    REVIEW = "review"


class Strategy(StrEnum):
    """How the units of a group are distributed over days, and how its days are laid out."""

    EVEN = "even"
    """Every content is spread evenly over its own days."""
    BALANCED = "balanced"
    """All days are filled alike, with sessions of a reasonable length and pauses."""


class UnplacedReason(StrEnum):
    """Why the last units of a content could not be placed."""

    NO_DAY = "no_day"
    """None of the remaining days belongs to the content."""
    NO_ROOM = "no_room"
    """The content's days are full."""
    DAY_TOO_SHORT = "day_too_short"
    """The next unit is longer than each free span of its days, and too short to be cut."""


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
class SpecialDay:
    """A date whose spans replace those of the weekly blocks; both may be empty.

    Non-study blocks, classes and exclusions still apply.
    """

    date: date
    study: tuple[Span, ...] = ()
    self_study: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """An inclusive range of units to study.

    A book has ``minutes_per_unit``, ``difficulty`` or neither; a lecture has one entry of
    ``episode_minutes`` per unit (``None``: unknown); a custom content has ``minutes_per_unit``.
    Only a strategy content has ``weekly_days``: 2, 3 or 4. No study is on or after its
    ``deadline``; one after the period's end has no effect. Under the strategy ``balanced``, the
    days of a strategy content are turned by ``day_shift`` study days in each cycle; ``None`` means
    that a schedule chooses it.
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
    deadline: date | None = None
    day_shift: int | None = None


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
    """Everything on which a schedule depends; equal requests give equal schedules.

    A ``target_date`` within the period is the deadline of every content without an earlier one.

    The settings from ``balance`` to ``buffer_days`` are those of the strategy ``balanced``. A
    session is what a content gets on one day. It should have at least ``shortest_session`` minutes,
    and after ``longest_sitting`` minutes of study there should be a pause of ``pause_minutes``;
    both give way where a day has no room. The last ``buffer_days`` study days have no new study if
    everything fits without them.
    """

    period_start: date
    period_end: date
    today: date
    contents: tuple[Content, ...]
    blocks: tuple[Block, ...]
    study_days: int = 6
    review_days: int = 1
    factors: Factors = field(default_factory=Factors)
    self_study_on_holidays: bool = False
    target_date: date | None = None
    strategy: Strategy = Strategy.BALANCED
    balance: Balance = Balance.ROOM
    shortest_session: int = 15
    longest_sitting: int = 100
    pause_minutes: int = 10
    buffer_days: int = 0
    non_study_blocks: tuple[NonStudyBlock, ...] = ()
    academy_schedules: tuple[AcademySchedule, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    special_days: tuple[SpecialDay, ...] = ()
    busy: tuple[Busy, ...] = ()
    kept: tuple[KeptPlan, ...] = ()

    def with_day_shifts(self, shifts: Mapping[int, int]) -> "Request":
        """Return the request with the day shifts, by position, that a generation has chosen."""
        contents = (
            replace(content, day_shift=shifts.get(content.position, content.day_shift))
            for content in self.contents
        )
        return replace(self, contents=tuple(contents))


def fingerprint(request: Request) -> str:
    """Return the SHA-256 hash of the request's canonical JSON, in hexadecimal."""
    document = json.dumps(_plain(request), separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


def _plain(record: Any) -> dict[str, Any]:
    """Return a record as JSON values. Rows are sorted; episodes, whose order matters, are not."""
    values = {}
    for attribute in fields(record):
        value = getattr(record, attribute.name)
        if isinstance(value, tuple) and attribute.name != "episode_minutes":
            value = sorted(
                ([_text(getattr(row, part.name)) for part in fields(row)] for row in value),
                key=json.dumps,
            )
        elif hasattr(value, "__dataclass_fields__"):
            value = _plain(value)
        values[attribute.name] = _text(value)
    return values


def _text(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value.normalize())
    if isinstance(value, tuple) and all(isinstance(part, tuple) for part in value):
        return sorted(value)  # the spans of a special day
    return value
