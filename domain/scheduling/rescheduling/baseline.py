"""What the last generation decided, which a reschedule keeps: the kind and cycle of each date.

A date that was closed since only loses its time, and one that was opened since gains none:
renumbering the days of all cycles would move most of the plans that nothing has hit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from domain.scheduling.calendar import Cycles, Day, DayKind, calendar
from domain.scheduling.result import Certificate, Repair, ScheduledPlan, Unplaced
from domain.scheduling.types import KeptPlan, PlanKind, Request

_CODES: Final[Mapping[DayKind, str]] = {
    DayKind.STUDY: "S",
    DayKind.REVIEW: "R",
    DayKind.HOLIDAY: "H",
    DayKind.EXCLUDED: "X",
    DayKind.NO_TIME: "N",
}
_KINDS: Final = {code: kind for kind, code in _CODES.items()}
_COUNTED: Final = frozenset({DayKind.STUDY, DayKind.REVIEW})


@dataclass(frozen=True, slots=True)
class Baseline:
    """The calendar of the last generation, and what it could not place.

    ``kinds`` has a letter per date from ``period_start`` on, and ``minutes`` the minutes of study
    that the generation gave to each date. ``unplaced``, ``certificate`` and ``repairs`` are those
    of the last run.
    """

    period_start: date
    study_days: int
    review_days: int
    kinds: str
    minutes: Sequence[int]
    unplaced: tuple[Unplaced, ...] = ()
    certificate: Certificate | None = None
    repairs: tuple[Repair, ...] = ()

    @classmethod
    def of(cls, request: Request, plans: Iterable[ScheduledPlan]) -> "Baseline":
        """Return the calendar of a request, with the minutes of its kept and its new plans."""
        days = calendar(request)
        minutes = [0] * len(days)
        both: Iterable[KeptPlan | ScheduledPlan] = (*request.kept, *plans)
        for plan in both:
            index = (plan.date - request.period_start).days
            if plan.kind is PlanKind.STUDY and 0 <= index < len(minutes):
                minutes[index] += plan.end_minute - plan.start_minute
        return cls(
            period_start=request.period_start,
            study_days=request.study_days,
            review_days=request.review_days,
            kinds=_kinds(days),
            minutes=minutes,
        )

    def calendar_json(self) -> dict[str, Any]:
        """Return the calendar and the minutes with values that JSON supports."""
        return {
            "period_start": self.period_start.isoformat(),
            "study_days": self.study_days,
            "review_days": self.review_days,
            "kinds": self.kinds,
            "minutes": list(self.minutes),
        }

    @classmethod
    def of_calendar_json(cls, stored: Mapping[str, Any]) -> "Baseline":
        """Return the baseline with a stored calendar."""
        start = date.fromisoformat(stored["period_start"])
        return cls(**{**stored, "period_start": start})

    def given(self, day: date) -> int:
        """Return the minutes of study that the generation gave to a date."""
        index = (day - self.period_start).days
        return self.minutes[index] if 0 <= index < len(self.minutes) else 0

    def days(self, request: Request) -> list[Day]:
        """Return the dates of the current period as the generation has counted them.

        They have the time that they have now, if they had time for that purpose then.
        """
        days = calendar(request)
        if self._counts_like(request) and self.kinds == _kinds(days):
            return days
        decided = self._decided()
        return [_as_decided(day, decided) for day in days]

    def _counts_like(self, request: Request) -> bool:
        """Whether the cycles of the request begin and end as they did then."""
        now = request.period_start, request.study_days, request.review_days
        return now == (self.period_start, self.study_days, self.review_days)

    def _decided(self) -> dict[date, tuple[DayKind, int, int | None]]:
        """Return the kind, the cycle and the day of the cycle of each date."""
        cycles = Cycles(self.study_days + self.review_days)
        found = {}
        for offset, code in enumerate(self.kinds):
            kind = _KINDS[code]
            cycle, cycle_day = cycles.place(is_counted=kind in _COUNTED)
            found[self.period_start + timedelta(days=offset)] = kind, cycle, cycle_day
        return found


def _kinds(days: Iterable[Day]) -> str:
    return "".join(_CODES[day.kind] for day in days)


def _as_decided(day: Day, decided: Mapping[date, tuple[DayKind, int, int | None]]) -> Day:
    if day.date not in decided:
        return day._replace(kind=DayKind.EXCLUDED, cycle_day=None, study=(), reserve=())
    kind, cycle, cycle_day = decided[day.date]
    is_open = day.kind not in {DayKind.EXCLUDED, DayKind.HOLIDAY}
    study = day.study if is_open and kind in _COUNTED else ()
    keeps_reserve = is_open if kind is not DayKind.HOLIDAY else day.kind is DayKind.HOLIDAY
    reserve = day.reserve if keeps_reserve and kind is not DayKind.EXCLUDED else ()
    now = day.kind, day.cycle, day.cycle_day, day.study, day.reserve
    if now == (kind, cycle, cycle_day, study, reserve):
        return day
    return day._replace(kind=kind, cycle=cycle, cycle_day=cycle_day, study=study, reserve=reserve)
