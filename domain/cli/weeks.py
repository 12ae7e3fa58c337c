"""Weeks of seven dates, counted from the first day of the period as the ``week`` of rows is."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from domain.scheduling.calendar import Day
from domain.scheduling.schedule import ScheduledPlan


@dataclass(frozen=True, slots=True)
class DayColumn:
    """A date of a week with its plans by time; ``day`` is ``None`` after the period's end."""

    date: date
    day: Day | None
    plans: Sequence[ScheduledPlan] = ()

    @property
    def minutes(self) -> int:
        return sum(plan.minutes for plan in self.plans)


@dataclass(frozen=True, slots=True)
class Week:
    number: int
    columns: Sequence[DayColumn]
    last: date
    """The last date that belongs to the period."""


def weeks_of(days: Iterable[Day], plans: Iterable[ScheduledPlan]) -> Iterator[Week]:
    """The weeks of a calendar; the last one is filled up to seven dates."""
    rows = defaultdict(list)
    for plan in sorted(plans, key=lambda plan: (plan.date, plan.start_minute)):
        rows[plan.date].append(plan)
    for number, group in groupby(days, key=lambda day: day.week):
        columns = [DayColumn(day.date, day, rows[day.date]) for day in group]
        last = columns[-1].date
        missing = range(1, 8 - len(columns)) if last < date.max - timedelta(7) else ()
        columns += [DayColumn(last + timedelta(step), None) for step in missing]
        yield Week(number, columns, last)
