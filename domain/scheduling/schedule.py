"""What the scheduling core answers: one frozen schedule that says everything it has to say."""

import json
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from domain.scheduling.vocabulary import PlanKind, UnplacedReason
from domain.scheduling.warnings import PlanWarning


def clock(minute: int) -> str:
    """A minute of the day as ``HH:MM``; the last end is ``24:00``."""
    return f"{minute // 60:02}:{minute % 60:02}"


@dataclass(frozen=True, slots=True)
class ScheduledPlan:
    """One dated, timed row: units ``first_unit``–``last_unit`` of a content, ``[start, end)``.

    A row with ``parts > 1`` is piece ``part`` of one unit. ``wrap_up_minutes`` are the last
    ones of the row. ``cycle_day`` is ``None`` on a designated holiday. ``sequence`` counts
    the rows of the schedule from 1 in order of time.
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
        """The row's length, wrap-up included."""
        return self.end_minute - self.start_minute

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON has it: ISO date, ``HH:MM``, words; ``content`` is its position."""
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
    """A range of a content that found no place, and why."""

    content: int
    first_unit: int
    last_unit: int
    minutes: int
    reason: UnplacedReason


@dataclass(frozen=True, slots=True)
class Quality:
    """How even the result is, in minutes of study a study day from today on (new and kept).

    ``least_peak`` is a lower bound of the peak of any plan of the same units; wrap-up is
    left out of it. ``reserve`` is the study placed outside study time.
    """

    peak: int
    least_peak: int
    spread: int
    reserve: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The answer to a request: plans by time, the unplaced by position, warnings, quality."""

    plans: tuple[ScheduledPlan, ...]
    unplaced: tuple[Unplaced, ...]
    warnings: tuple[PlanWarning, ...]
    quality: Quality

    def canonical_json(self) -> str:
        """The one spelling of this schedule: sorted keys, no spaces, ISO dates."""
        return json.dumps(
            asdict(self),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            default=date.isoformat,
        )
