"""Simulated lives: what a reschedule changes after a missed day, and over whole lives.

The groups are those of the corpus in which everything fits without the reserve and that use at most
80 % of their study time. ``python -m tests.benchmarks lives [--groups N]`` prints the table.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import perf_counter

from domain.errors import DomainError
from domain.scheduling.demand import problem_of
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.schedule import schedule
from domain.scheduling.spans import total
from domain.scheduling.types import PlanKind, Request, Strategy
from tests.benchmarks.timing import line
from tests.unit.scheduling.corpus import corpus
from tests.unit.scheduling.lives import Life, next_day, places, violations

MAX_SHARE = 0.8


@dataclass
class Figures:
    """What was measured, one value per group or per Sunday."""

    changed: list[float] = field(default_factory=list)
    off_day: list[float] = field(default_factory=list)
    sundays: list[float] = field(default_factory=list)
    regenerated: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    broken: int = 0


def main(arguments: Sequence[str]) -> None:
    """Print the figures of both strategies."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks lives")
    parser.add_argument("--groups", type=int, default=400)
    options = parser.parse_args(arguments)
    for strategy in Strategy:
        figures, count = Figures(), 0
        for request in requests(options.groups, strategy):
            count += 1
            one_missed_day(request, figures)
            whole_life(request, figures)
        print(f"lives: {strategy.value}, {count} groups")
        line("a missed day, rescheduled: future plans changed, median (90 %)",
             quantiles(figures.changed), "goal ≤ 7 % (30)")  # fmt: skip
        line("a missed day, rescheduled: units on another day",
             quantiles(figures.off_day), "goal ≤ 0 % (7)")  # fmt: skip
        line("the same, generated: future plans changed", quantiles(figures.regenerated))
        line("whole lives: future plans changed on Sundays with something undone",
             quantiles(figures.sundays), "goal ≤ 5 % (30)")  # fmt: skip
        line("computation of a reschedule / of a generation",
             quantiles(figures.ratios, percent=False, high=0.95), "goal ≤ 0.5 (2)")  # fmt: skip
        line("broken invariants", str(figures.broken), "goal 0")


def requests(count: int, strategy: Strategy) -> Iterator[Request]:
    """Yield the groups that have room."""
    for given in corpus(count, 13):
        request = replace(given, strategy=strategy)
        problem = problem_of(request)
        need = sum(demand.prefix[-1] for demand in problem.demands)
        if need > MAX_SHARE * sum(total(room.study) for room in problem.rooms.values()):
            continue
        try:
            life = Life(request)
        except DomainError:
            continue
        if life.baseline.unplaced or any(plan.reserve for plan in life.planned):
            continue
        if len(life.study_dates) >= 4:
            yield request


def one_missed_day(request: Request, figures: Figures) -> None:
    """Miss the middle study day, and reschedule in the morning after it."""
    life = Life(request)
    missed = life.study_dates[len(life.study_dates) // 2]
    life.do(missed)
    future = [plan for plan in life.planned if plan.date > missed]
    if not future:
        return
    today = next_day(missed)
    kept = tuple(life.done)
    start = perf_counter()
    generated = schedule(replace(request, today=today, kept=kept))
    middle = perf_counter()
    found = life.reschedule(today)
    figures.ratios.append((perf_counter() - middle) / (middle - start))
    figures.changed.append(changed(future, found.plans))
    figures.regenerated.append(changed(future, generated.plans))
    figures.off_day.append(off_day(future, found.plans))
    figures.broken += len(list(violations(life, today)))


def whole_life(request: Request, figures: Figures) -> None:
    """Live through the period, and reschedule on Sundays."""
    chance = random.Random(f"lives/{request.period_start}")  # noqa: S311 - repeatable
    life, day = Life(request), request.period_start
    while day <= request.period_end:
        life.live_through(day, chance)
        day += timedelta(days=1)
        if day.isoweekday() == 7:
            undone = any(plan.date < day for plan in life.planned)
            future = [plan for plan in life.planned if plan.date >= day]
            found = life.reschedule(day)
            if undone and future:
                figures.sundays.append(changed(future, found.plans))
            figures.broken += len(list(violations(life, day)))


def changed(before: Sequence[ScheduledPlan], after: Sequence[ScheduledPlan]) -> float:
    """Return the share of plans that are not at the same place any more."""
    old = places(before)
    return len(old - places(after)) / len(old)


def off_day(before: Sequence[ScheduledPlan], after: Sequence[ScheduledPlan]) -> float:
    """Return the share of planned units that are on another day."""
    old, new = _days(before), _days(after)
    return sum(new.get(unit) != day for unit, day in old.items()) / max(1, len(old))


def _days(plans: Sequence[ScheduledPlan]) -> dict[tuple[int, int], object]:
    return {
        (plan.content, unit): plan.date
        for plan in plans
        if plan.kind is PlanKind.STUDY
        for unit in range(plan.first_unit, plan.last_unit + 1)
    }


def quantiles(values: Sequence[float], *, percent: bool = True, high: float = 0.9) -> str:
    """Return the median and a high quantile."""
    if not values:
        return "–"
    ordered = sorted(values)
    median, upper = ordered[len(ordered) // 2], ordered[int(len(ordered) * high)]
    if percent:
        return f"{100 * median:.1f} % ({100 * upper:.0f})"
    return f"{median:.2f} ({upper:.1f})"
