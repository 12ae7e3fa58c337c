"""The enumerated values and limits of planning.

Tables, documents and messages contain these values as text. A CHECK constraint in the schema
repeats each list, so a new value needs a revision.
"""

from enum import StrEnum

MINUTES_PER_DAY = 24 * 60
"""``24:00``, the latest valid end of a span."""

MAX_UNITS = 20_000
"""The maximum number of units of a content."""

LAST_UNIT = 2**31 - 1
"""The highest number of a unit: the maximum of PostgreSQL's ``integer``."""


class Allocation(StrEnum):
    """How often a subject is studied: 취약 on every study day, 전략 on some days of each cycle."""

    WEAKNESS = "weakness"
    STRATEGY = "strategy"


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


class UnplacedReason(StrEnum):
    """Why the last units of a content could not be placed."""

    NO_DAY = "no_day"
    """None of the remaining days belongs to the content."""
    NO_ROOM = "no_room"
    """The content's days are full."""
    DAY_TOO_SHORT = "day_too_short"
    """The next unit is longer than any of the content's days, and cannot be split over them."""
