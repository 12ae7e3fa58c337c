"""The result of the scheduling core: a frozen schedule."""

import json
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from domain.scheduling.vocabulary import PlanKind, UnplacedReason
from domain.scheduling.warnings import PlanWarning


def clock(minute: int) -> str:
    """Return a minute of the day as ``HH:MM``. The end of the day is ``24:00``."""
    return f"{minute // 60:02}:{minute % 60:02}"


@dataclass(frozen=True, slots=True)
class ScheduledPlan:
    """One row with a date and a time: units ``first_unit``–``last_unit`` of a content.

    The time is half-open: ``[start_minute, end_minute)``. A row with ``parts > 1`` is piece
    ``part`` of one unit. ``wrap_up_minutes`` are the last minutes of the row. ``cycle_day`` is
    ``None`` on a designated holiday. ``sequence`` is the number of the row in the schedule, from 1
    in order of time.
    """

    sequence: int
    date: date
    start_minute: int
    end_minute: int
    content: int
    kind: PlanKind
    first_unit: int
    last_unit: int
    part: int
    parts: int
    wrap_up_minutes: int
    reserve: bool
    week: int
    cycle: int
    cycle_day: int | None

    @property
    def minutes(self) -> int:
        """The length of the row, including its wrap-up."""
        return self.end_minute - self.start_minute

    def to_dict(self) -> dict[str, Any]:
        """Return the plan for JSON: the date in ISO format, times as ``HH:MM``, the kind as text.

        ``content`` is the position of the content.
        """
        return {
            "date": self.date.isoformat(),
            "from": clock(self.start_minute),
            "to": clock(self.end_minute),
            "content": self.content,
            "kind": self.kind.value,
            "first_unit": self.first_unit,
            "last_unit": self.last_unit,
            "part": self.part,
            "parts": self.parts,
            "minutes": self.minutes,
            "reserve": self.reserve,
            "week": self.week,
            "cycle": self.cycle,
            "cycle_day": self.cycle_day,
            "sequence": self.sequence,
        }


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A range of a content that could not be placed, and the reason."""

    content: int
    first_unit: int
    last_unit: int
    minutes: int
    reason: UnplacedReason


@dataclass(frozen=True, slots=True)
class Quality:
    """How even the schedule is: minutes per study day from today on, of new and kept study plans.

    ``peak`` is the highest number of minutes of a day, and ``spread`` its difference from the
    lowest. ``least_peak`` is a lower bound for the peak of any schedule of the same units, without
    wrap-ups. ``reserve`` has the minutes of study that are in the reserve.
    """

    peak: int
    least_peak: int
    spread: int
    reserve: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The result for a request: plans by time, unplaced ranges by position, warnings, quality."""

    plans: tuple[ScheduledPlan, ...]
    unplaced: tuple[Unplaced, ...]
    warnings: tuple[PlanWarning, ...]
    quality: Quality

    def canonical_json(self) -> str:
        """Return the schedule as canonical JSON: sorted keys, no spaces, ISO dates."""
        return json.dumps(
            asdict(self),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            default=date.isoformat,
        )
