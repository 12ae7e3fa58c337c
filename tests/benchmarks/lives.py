"""Simulated lives: what a reschedule changes after a missed day, and over whole lives.

The groups are those of the corpus in which everything fits without the reserve, and of these the
ones with room: 28 days or longer, two to six contents that need 15 to 70 % of the study time of the
study days. ``python -m tests.benchmarks lives [--groups N] [--all]`` prints the table for N groups
of the corpus; one in nine has room. With ``--all`` it is that of all groups in which everything
fits, also the short, the small and the nearly full ones.
"""

import argparse
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from time import process_time

from domain.errors import DomainError
from domain.scheduling.calendar import DayKind
from domain.scheduling.demand import own_days, problem_of
from domain.scheduling.rescheduling.reschedule import CatchUp
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.schedule import schedule
from domain.scheduling.spans import total
from domain.scheduling.types import Content, PlanKind, Request, Strategy
from tests.benchmarks.timing import line
from tests.unit.scheduling.corpus import corpus
from tests.unit.scheduling.least_rows import least_changed_rows
from tests.unit.scheduling.lives import Life, next_day, places, violations

SHARES = 0.15, 0.7


@dataclass
class Figures:
    """What was measured, one value per group, content or Sunday."""

    changed: list[float] = field(default_factory=list)
    off_day: list[float] = field(default_factory=list)
    moved_units: list[float] = field(default_factory=list)
    days_until_back: list[float] = field(default_factory=list)
    sundays: list[float] = field(default_factory=list)
    quiet_sundays: list[float] = field(default_factory=list)
    regenerated: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)
    rows: int = 0
    """Study rows that were changed in the groups in which the least number is known."""
    least: int = 0
    again: int = 0
    unplaced: int = 0
    broken: int = 0


def main(arguments: Sequence[str]) -> None:
    """Print the figures of both strategies."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks lives")
    parser.add_argument("--groups", type=int, default=400)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args(arguments)
    for strategy in Strategy:
        figures, count = Figures(), 0
        for life in lives(options.groups, strategy, any_size=options.all):
            count += 1
            one_missed_day(life, figures)
            one_missed_day_spread(life, figures)
            whole_life(life, figures)
        report(strategy, count, figures)


def report(strategy: Strategy, count: int, figures: Figures) -> None:
    """Print the figures of a strategy; where there are two, the second is the 90 % quantile."""
    everything = figures.sundays + figures.quiet_sundays
    print(f"lives: {strategy.value}, {count} groups")
    line("a missed day: future plans changed", quantiles(figures.changed), "goal ≤ 8 % (33)")
    line("… off their day", quantiles(figures.off_day), "goal ≤ 0 % (7)")
    line("… units on another day", quantiles(figures.moved_units), "goal ≤ 0 % (7)")
    line("… own days until back on the old curve", quantiles(figures.days_until_back, percent=0),
         "goal ≤ 1 (3)")  # fmt: skip
    line("… study rows changed / the least possible, small groups",
         f"{figures.rows} / {figures.least}")  # fmt: skip
    line("… groups in which something stays unplaced", str(figures.unplaced))
    line("… plans that a second reschedule changes", str(figures.again), "goal 0")
    line("… plans that a generation would change", quantiles(figures.regenerated))
    line("… spread: minutes of a day / of the generation", quantiles(figures.spread, percent=2),
         "goal ≤ 1.25")  # fmt: skip
    line("whole lives: changed on Sundays with something undone", quantiles(figures.sundays),
         "goal ≤ 5 % (30)")  # fmt: skip
    line("… on all Sundays", quantiles(everything), "goal ≤ 1 % (18)")
    line("… on Sundays on which nothing had happened", quantiles(figures.quiet_sundays, high=1.0),
         "goal 0 (0)")  # fmt: skip
    line("computation / that of a generation, median (95 %)",
         quantiles(figures.ratios, percent=2, high=0.95), "goal ≤ 0.5 (2)")  # fmt: skip
    line("broken invariants", str(figures.broken), "goal 0")


def lives(count: int, strategy: Strategy, *, any_size: bool) -> Iterator[Life]:
    """Yield the groups in which everything fits without the reserve."""
    for given in corpus(count, 13):
        request = replace(given, strategy=strategy)
        if not any_size and not has_room(request):
            continue
        try:
            life = Life(request)
        except DomainError:
            continue
        if life.baseline.unplaced or any(plan.reserve for plan in life.planned):
            continue
        if len(life.study_dates) >= 4:
            yield life


def has_room(request: Request) -> bool:
    """Whether the group is of the usual size and has time left."""
    days = (request.period_end - request.period_start).days + 1
    if days < 28 or not 2 <= len(request.contents) <= 6:
        return False
    problem = problem_of(request)
    need = sum(demand.prefix[-1] for demand in problem.demands)
    held = sum(
        total(room.study)
        for day, room in problem.rooms.items()
        if problem.days[day].kind is DayKind.STUDY
    )
    return SHARES[0] * held <= need <= SHARES[1] * held


def one_missed_day(generated: Life, figures: Figures) -> None:
    """Miss the middle study day, and reschedule in the morning after it, twice."""
    life, today, future = after_a_missed_day(generated)
    if not future:
        return
    least = least_changed_rows(life, today)
    start = process_time()
    planned_again = schedule(life.request_on(today))
    middle = process_time()
    found = life.reschedule(today)
    figures.ratios.append((process_time() - middle) / (middle - start))
    figures.changed.append(changed(future, found.plans))
    figures.regenerated.append(changed(future, planned_again.plans))
    figures.off_day.append(off_day(future, found.plans))
    figures.moved_units.append(moved_units(future, found.plans))
    figures.days_until_back += days_until_back(life, generated.planned, today)
    if least is not None and not found.unplaced:
        study = [plan for plan in future if plan.kind is PlanKind.STUDY]
        figures.rows += len(places(study) - places(found.plans))
        figures.least += least
    figures.unplaced += bool(found.unplaced)
    again = life.reschedule(today)
    figures.again += len(places(found.plans) ^ places(again.plans))
    figures.broken += len(list(violations(life, today)))


def one_missed_day_spread(generated: Life, figures: Figures) -> None:
    """The same with ``spread``: what the fullest day gets, in relation to the generation."""
    life, today, future = after_a_missed_day(generated)
    if future:
        minutes = minutes_per_day(life.reschedule(today, how=CatchUp.SPREAD).plans)
        given = {day: life.baseline.given(day) for day in minutes}
        figures.spread.append(max((minutes[day] / given[day] for day in given if given[day]),
                                  default=0))  # fmt: skip


def after_a_missed_day(generated: Life) -> tuple[Life, date, list[ScheduledPlan]]:
    """Return the life after the middle study day was missed, its next day, and the plans then."""
    life = generated.copy()
    missed = life.study_dates[len(life.study_dates) // 2]
    life.do(missed)
    return life, next_day(missed), [plan for plan in life.planned if plan.date > missed]


def whole_life(generated: Life, figures: Figures) -> None:
    """Live through the period, and reschedule on Sundays.

    Of the days, 85 % are done, 10 % are done in part, and 5 % are missed.
    """
    life, day = generated.copy(), generated.request.period_start
    chance = random.Random(f"lives/{day}")  # noqa: S311 - repeatable
    while day <= life.request.period_end:
        life.live_through_as_a_whole(day, chance)
        day += timedelta(days=1)
        if day.isoweekday() == 7:
            is_undone = is_part_done(life) or any(plan.date < day for plan in life.planned)
            future = [plan for plan in life.planned if plan.date >= day]
            found = life.reschedule(day)
            if future:
                share = changed(future, found.plans)
                (figures.sundays if is_undone else figures.quiet_sundays).append(share)
            figures.broken += len(list(violations(life, day)))


def is_part_done(life: Life) -> bool:
    """Whether units of a part done plan are not planned."""
    planned = set(days_of_units(life.planned))
    return any(
        plan.done_through is not None
        and plan.kind is PlanKind.STUDY
        and not planned.issuperset(
            (plan.content, unit) for unit in range(plan.done_through + 1, plan.last_unit + 1)
        )
        for plan in life.done
    )


def changed(before: Sequence[ScheduledPlan], after: Sequence[ScheduledPlan]) -> float:
    """Return the share of plans that are not at the same place any more."""
    old = places(before)
    return len(old - places(after)) / len(old)


def off_day(before: Sequence[ScheduledPlan], after: Sequence[ScheduledPlan]) -> float:
    """Return the share of study rows of which a unit is on another day."""
    study, days = [plan for plan in before if plan.kind is PlanKind.STUDY], days_of_units(after)
    moved = sum(
        any(
            days.get((plan.content, unit)) != plan.date
            for unit in range(plan.first_unit, plan.last_unit + 1)
        )
        for plan in study
    )
    return moved / max(1, len(study))


def moved_units(before: Sequence[ScheduledPlan], after: Sequence[ScheduledPlan]) -> float:
    """Return the share of planned units that are on another day."""
    old, new = days_of_units(before), days_of_units(after)
    return sum(new.get(unit) != day for unit, day in old.items()) / max(1, len(old))


def days_of_units(plans: Iterable[ScheduledPlan]) -> dict[tuple[int, int], date]:
    return {
        (plan.content, unit): plan.date
        for plan in plans
        if plan.kind is PlanKind.STUDY
        for unit in range(plan.first_unit, plan.last_unit + 1)
    }


def days_until_back(life: Life, before: Sequence[ScheduledPlan], today: date) -> Iterator[int]:
    """Yield for each content with missed units the own days until its old curve is met again."""
    old, new = days_of_units(before), days_of_units(life.planned)
    for content in life.request.contents:
        units = [unit for unit in old if unit[0] == content.position and unit in new]
        if any(old[unit] < today for unit in units):
            late = [new[unit] for unit in units if new[unit] > old[unit]]
            yield sum(today <= day <= max(late) for day in dates(life, content))


def dates(life: Life, content: Content) -> list[date]:
    """Return the own days of a content."""
    request, days = life.request, life.baseline.days(life.request)
    shift = (content.day_shift or 0) if request.strategy is Strategy.BALANCED else 0
    return [days[day].date for day in own_days(content, days, shift)]


def minutes_per_day(plans: Iterable[ScheduledPlan]) -> dict[date, int]:
    minutes: dict[date, int] = {}
    for plan in plans:
        if plan.kind is PlanKind.STUDY:
            length = plan.end_minute - plan.start_minute
            minutes[plan.date] = minutes.get(plan.date, 0) + length
    return minutes


def quantiles(values: Sequence[float], *, percent: int | None = None, high: float = 0.9) -> str:
    """Return the median and a high quantile, in per cent or with a number of decimals."""
    if not values:
        return "–"
    ordered = sorted(values)
    median, upper = ordered[len(ordered) // 2], ordered[int((len(ordered) - 1) * high)]
    if percent is None:
        return f"{100 * median:.1f} % ({100 * upper:.0f})"
    return f"{median:.{percent}f} ({upper:.{percent}f})"
