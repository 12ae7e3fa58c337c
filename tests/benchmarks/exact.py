"""Compares ``balanced`` with the best that whole units allow, which a solver searches for.

The least of section 4b divides minutes freely; whole units, sessions of at least
``shortest_session``, the minimums of weaknesses and wrap-ups make the best possible day fuller.
The solver (CP-SAT of OR-Tools; ``pip install ortools``) gets the days that ``balanced`` has chosen,
every span as a bin, and no more of the reserve, and of that of days without study time, than
``balanced`` uses. Cut units are not modelled, so groups that have any are left out. A group counts
if the solver proves its result in time.
"""

import argparse
import importlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from statistics import median
from typing import Any, Final, NamedTuple

from domain.scheduling.demand import Demand, Problem, problem_of
from domain.scheduling.distribution.goals import Goals, Minimum, goals_of
from domain.scheduling.distribution.strategies import distribute
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request
from tests.benchmarks.balance_figures import Figures, everything_fits
from tests.benchmarks.balanced import percentile
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.corpus import balanced, corpus

_LEVEL: Final = 10_000
"""Levels are integers in these parts of 1."""


class Bin(NamedTuple):
    """A span of a day; ``minutes`` is its length."""

    day: int
    start: int
    minutes: int
    is_reserve: bool


@dataclass
class Model:
    """The whole units of all contents in bins; a level is a day's minutes / its weight."""

    problem: Problem
    goals: Goals
    reserve: Mapping[int, int]
    """The minutes of the reserve by day that a known schedule uses."""
    solver: Any
    model: Any = field(init=False)
    bins: list[Bin] = field(init=False)
    loads: dict[Bin, list[Any]] = field(default_factory=lambda: defaultdict(list))
    minutes: dict[int, list[Any]] = field(default_factory=lambda: defaultdict(list))
    """What fills each day: sessions with their wrap-ups."""

    def __post_init__(self) -> None:
        self.model = self.solver.CpModel()
        self.bins = sorted(_bins(self.problem, with_reserve=bool(self.reserve)))
        for demand, minimum in zip(self.goals.demands, self.goals.minimums, strict=True):
            if demand.units:
                self._add_content(demand, minimum)
        for one, loads in self.loads.items():
            self.model.add(sum(loads) <= one.minutes)
        spare = {day for demand in self.goals.demands for day in demand.spare_days}
        for days in (self.problem.rooms.keys(), spare):
            loads = [
                load
                for one, found in self.loads.items()
                if one.is_reserve and one.day in days
                for load in found
            ]
            self.model.add(sum(loads) <= sum(self.reserve.get(day, 0) for day in days))

    def _add_content(self, demand: Demand, minimum: Minimum) -> None:
        """Let a content have its units in order of time, in sessions that are long enough."""
        days = {*demand.own, *(demand.spare_days if self.reserve else ())}
        bins = [one for one in self.bins if one.day in days]
        counts = [self.model.new_int_var(0, len(demand.units), "") for _ in bins]
        ends = [self._minutes(demand, count) for count in counts]
        for before, after in pairwise(counts):
            self.model.add(before <= after)
        self.model.add(counts[-1] == len(demand.units))
        numbered = groupby(range(len(bins)), key=lambda index: bins[index].day)
        used = []
        for day, indexes in ((day, list(found)) for day, found in numbered):
            for index in indexes:
                self.loads[bins[index]].append(ends[index] - (ends[index - 1] if index else 0))
            first = indexes[0] - 1
            units = counts[indexes[-1]] - (counts[first] if first >= 0 else 0)
            session = ends[indexes[-1]] - (ends[first] if first >= 0 else 0)
            used.append(self._add_session(demand, minimum, day, units, session))
        self.model.add(sum(used) >= min(minimum.sessions, len(used)))

    def _add_session(
        self, demand: Demand, minimum: Minimum, day: int, units: Any, session: Any
    ) -> Any:
        is_used = self.model.new_bool_var("")
        shortest = min(self.goals.shortest, demand.prefix[-1])
        self.model.add(session >= shortest).only_enforce_if(is_used)
        self.model.add(units == 0).only_enforce_if(~is_used)
        if day in minimum.days:
            self.model.add(units >= minimum.units)
        self.minutes[day].append(session + demand.content.wrap_up_minutes * is_used)
        return is_used

    def _minutes(self, demand: Demand, count: Any) -> Any:
        """Return the minutes of the first units of a content."""
        prefix = demand.prefix
        if demand.longest * len(demand.units) == prefix[-1]:
            return demand.longest * count
        found = self.model.new_int_var(0, prefix[-1], "")
        self.model.add_element(count, prefix, found)
        return found

    def least_level(self, seconds: float) -> float | None:
        """Return the least possible highest level, ``None`` if it is not proved in time."""
        level = self.model.new_int_var(0, _LEVEL * 24 * 60, "")
        for day, weight in self.goals.weights.items():
            minutes = sum(self.minutes[day]) + self.goals.base[day]
            self.model.add(_LEVEL * minutes <= level * weight)
        self.model.minimize(level)
        solver = self.solver.CpSolver()
        solver.parameters.max_time_in_seconds = seconds
        solver.parameters.num_workers = 4
        status = solver.status_name(solver.solve(self.model))
        return solver.objective_value / _LEVEL if status == "OPTIMAL" else None


def _bins(problem: Problem, *, with_reserve: bool) -> Iterator[Bin]:
    for day, room in problem.rooms.items():
        yield from (Bin(day, start, stop - start, is_reserve=False) for start, stop in room.study)
        if with_reserve:
            yield from (
                Bin(day, start, stop - start, is_reserve=True) for start, stop in room.reserve
            )


class Compared(NamedTuple):
    """The highest level of ``balanced`` and the exact one, both divided by the least in minutes."""

    kind: str
    found: float
    exact: float


def compare(request: Request, seconds: float, solver: Any) -> tuple[str, Compared | None]:
    """Return the kind of a group and, if the solver proves it in time, the comparison."""
    result = schedule(request)
    figures = Figures(Case(request, result))
    if any(row.parts > 1 for row in figures.case.study) or not figures.least:
        return "cut units", None
    reserve: Counter[int] = Counter()
    for row in figures.case.study:
        if row.reserve:
            day = (row.date - request.period_start).days
            reserve[day] += row.minutes - row.wrap_up_minutes
    has_wrap_ups = any(content.wrap_up_minutes for content in request.contents)
    kind = "reserve" if reserve else "wrap-ups" if has_wrap_ups else "plain"
    problem = distribute(problem_of(request)).problem
    goals = goals_of(problem, problem.demands)
    exact = Model(problem, goals, reserve, solver).least_level(seconds)
    if not exact:
        return kind, None
    least = float(figures.least)
    return kind, Compared(kind, float(max(figures.levels.values())) / least, exact / least)


def _print(kind: str, tried: int, compared: Sequence[Compared]) -> None:
    ratios = {
        "exact / least": [one.exact for one in compared],
        "balanced / least": [one.found for one in compared],
        "balanced / exact": [one.found / one.exact for one in compared],
    }
    print(f"  {kind}: proved in {len(compared)} of {tried} groups")
    for name, values in ratios.items():
        if values:
            print(f"    {name:<20}{median(values):>8.3f} ({percentile(values, 90):.2f})")


def main(arguments: Sequence[str]) -> None:
    """Print the medians (90 %) of the ratios for each kind of group."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks exact", description=__doc__)
    parser.add_argument("--groups", type=int, default=120, help="number of groups (120)")
    parser.add_argument("--seed", type=int, default=13, help="seed of the corpus (13)")
    parser.add_argument("--seconds", type=float, default=10, help="time for each group (10)")
    options = parser.parse_args(arguments)
    solver = importlib.import_module("ortools.sat.python.cp_model")
    tried: Counter[str] = Counter()
    compared: Mapping[str, list[Compared]] = defaultdict(list)
    for request in corpus(options.groups, options.seed):
        if everything_fits(request):
            kind, found = compare(balanced(request), options.seconds, solver)
            tried[kind] += 1
            compared[kind].extend([found] if found else ())
    for kind, count in sorted(tried.items()):
        _print(kind, count, compared[kind])
