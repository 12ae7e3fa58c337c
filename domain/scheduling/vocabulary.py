"""The words of planning, each spelled once.

Tables, documents and messages store the values below as text; a CHECK constraint in
the schema repeats each list, so a new word needs a revision.
"""

from enum import StrEnum

MINUTES_PER_DAY = 24 * 60
"""``24:00``, the last legal end of a span."""

MAX_UNITS = 100_000
"""The most units that a content may have."""

LAST_UNIT = 2**31 - 1
"""The highest number of a unit; tables hold no higher."""


class Allocation(StrEnum):
    """How often a subject is studied: 취약 every study day, 전략 on some of each cycle."""

    WEAKNESS = "weakness"
    STRATEGY = "strategy"


class BlockKind(StrEnum):
    """학습시간, or 자율학습 whose time is the *reserve*."""

    STUDY = "study"
    SELF_STUDY = "self_study"


class ContentType(StrEnum):
    """교재 counts pages, 강의 counts episodes, 커스텀 counts units of its own."""

    BOOK = "book"
    LECTURE = "lecture"
    CUSTOM = "custom"


class Difficulty(StrEnum):
    """A book's difficulty: 기초, 기본, 심화, 최상 (개념 means 기초)."""

    FOUNDATION = "foundation"
    STANDARD = "standard"
    ADVANCED = "advanced"
    TOP = "top"


class ExclusionType(StrEnum):
    """휴가, 개인사정, 기타 and 휴일지정; the last may keep its reserve open."""

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


class UnplacedReason(StrEnum):
    """Why the tail of a content found no place."""

    NO_DAY = "no_day"
    """None of the days that are left belongs to the content."""
    NO_ROOM = "no_room"
    """Its days are full."""
    DAY_TOO_SHORT = "day_too_short"
    """The next unit is longer than any of its days, and no two days could share it."""
