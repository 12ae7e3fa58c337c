"""Chooses the days of each content: shifts of strategies, a buffer at the end, sparse sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from domain.scheduling.calendar import DayKind
from domain.scheduling.demand import Demand, Problem, own_days
from domain.scheduling.distribution.goals import Goals, goals_of
from domain.scheduling.distribution.sessions import Sessions
from domain.scheduling.distribution.shifts import Pattern, Shifts
from domain.scheduling.types import Allocation


@dataclass(frozen=True, slots=True)
class DayChoice:
    """A problem whose demands have the chosen days, and the day shifts by position."""

    problem: Problem
    day_shifts: dict[int, int]


def choose_days(problem: Problem, buffer_days: int) -> DayChoice:
    """Choose the day shifts of the strategy contents together.

    The last ``buffer_days`` study days before the end of each content are none of its days.
    """
    usable = [_usable(problem, demand, buffer_days) for demand in problem.demands]
    limited = [
        replace(demand, days=[day for day in demand.days if day in days])
        for demand, days in zip(problem.demands, usable, strict=True)
    ]
    goals = goals_of(problem, limited)
    patterns = [
        _patterns(problem, demand, days) for demand, days in zip(limited, usable, strict=True)
    ]
    both = {day: problem.rooms[day].minutes for day in goals.weights}
    chosen = Shifts(patterns, goals.needs, goals.times, both).best()
    picked = [own[index] for own, index in zip(patterns, chosen, strict=True)]
    demands = [
        replace(demand, days=list(pattern.days))
        for demand, pattern in zip(limited, picked, strict=True)
    ]
    shifts = {
        demand.content.position: pattern.shift
        for demand, pattern in zip(limited, picked, strict=True)
        if demand.content.allocation is Allocation.STRATEGY
    }
    last = max((days.stop for days in usable), default=0)
    end = max((demand.stop for demand in problem.demands), default=0)
    buffer = frozenset(day for day in _study_days(problem) if last <= day < end)
    return DayChoice(replace(problem, demands=demands, buffer=buffer), shifts)


def choose_sparse_days(
    goals: Goals, contents: Sequence[Sessions], wanted: Sequence[Mapping[int, float]]
) -> None:
    """Let each sparse content have one day of each of as many equal stretches as it has sessions.

    It is the day that is least full then, beside what the others want (``wanted``, by content and
    day): contents with longer sessions choose first.
    """
    load: dict[int, float] = {day: time.base for day, time in goals.times.items()}
    for one, own in zip(contents, wanted, strict=True):
        if not one.is_sparse:
            for day, minutes in own.items():
                load[day] += minutes

    def length(number: int) -> int:
        return -(-contents[number].prefix[-1] // goals.minimums[number].sessions)

    sparse = [number for number, one in enumerate(contents) if one.is_sparse]
    for number in sorted(sparse, key=length, reverse=True):
        one, minutes = contents[number], length(number)
        count = min(goals.minimums[number].sessions, len(one.days))
        bounds = [len(one.days) * i // count for i in range(count + 1)] if count else [0]
        one.days = [
            min(
                one.days[a:b],
                key=lambda day: (round((load[day] + minutes) / goals.weights[day], 9), day),
            )
            for a, b in pairwise(bounds)
        ]
        one.required = frozenset(one.days)
        for day in one.days:
            load[day] += minutes


def _study_days(problem: Problem) -> list[int]:
    return [day for day in problem.rooms if problem.days[day].kind is DayKind.STUDY]


def _usable(problem: Problem, demand: Demand, buffer_days: int) -> range:
    """Return the days of a demand from today on, without so many study days before its end."""
    own = [day for day in _study_days(problem) if day < demand.stop]
    if not buffer_days:
        return range(problem.first_day, demand.stop)
    return range(problem.first_day, own[-buffer_days] if buffer_days < len(own) else 0)


def _patterns(problem: Problem, demand: Demand, usable: range) -> list[Pattern]:
    """Return the different days that shifts lead to; only one if the shift is fixed."""
    content = demand.content
    if content.allocation is Allocation.WEAKNESS:
        return [Pattern(0, demand.days)]
    shifts = range(problem.request.study_days)
    if content.day_shift is not None:
        shifts = range(content.day_shift, content.day_shift + 1)
    found: dict[tuple[int, ...], int] = {}
    for shift in shifts:
        days = own_days(content, problem.days, shift)
        found.setdefault(tuple(day for day in days if day in usable), shift)
    return [Pattern(shift, days) for days, shift in found.items()]
