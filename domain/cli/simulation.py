"""A simulated life: what a student does with the plans of a group, week by week.

Every day of the life is drawn by a seed: on one day of twenty nothing is done, and on the others
most plans are done, some in part, and a few not at all. At the end of each week the group is
rescheduled, and what a generation would have moved is computed for comparison.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from domain.errors import DomainError
from domain.scheduling.difference import place_of
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.rescheduling.reschedule import CatchUp, reschedule
from domain.scheduling.result import Rescheduled, Schedule, ScheduledPlan
from domain.scheduling.schedule import schedule
from domain.scheduling.types import KeptPlan, PlanKind, Request

DAY_MISSED: Final = 0.05
"""The probability that nothing is done on a day."""
PART_DONE: Final = 0.10
NOT_DONE: Final = 0.05
"""The probabilities that a plan of another day is done in part, and not at all."""


class Outcome(StrEnum):
    """What became of a plan."""

    DONE = "done"
    PART_DONE = "part_done"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class LivedPlan:
    """A plan of a week, and whether the run before that week put it at another place."""

    outcome: Outcome
    is_moved: bool


@dataclass(frozen=True, slots=True)
class LivedWeek:
    """A week of a life, and the run before it.

    ``days`` has the plans of each date in order of time. ``future`` is the number of plans that
    stood from its first day on, of which the reschedule moved or dropped ``moved``, and a
    generation would have moved or dropped ``moved_by_generation``. ``generated`` has a value per
    plan that this generation would have had on each date: whether it would have been moved.
    """

    number: int
    days: Sequence[Sequence[LivedPlan]]
    future: int
    moved: int
    generated: Sequence[Sequence[bool]]
    moved_by_generation: int


@dataclass
class Life:
    """A group whose plans were generated once, and what became of them.

    ``planned`` are the live plans that are not done, and ``done`` those that are done or part done.
    Raises the errors of ``schedule`` for a request that cannot be generated.
    """

    request: Request
    planned: list[ScheduledPlan] = field(default_factory=list)
    done: list[KeptPlan] = field(default_factory=list)

    def __post_init__(self) -> None:
        first = schedule(self.request)
        self.request = self.request.with_day_shifts(first.day_shifts)
        self.planned = list(first.plans)
        self.done = list(self.request.kept)
        self.baseline = _reported(Baseline.of(self.request, first.plans), first)

    def live_through(self, day: date, chance: random.Random) -> dict[ScheduledPlan, Outcome]:
        """Do the plans of a day, and return what became of each."""
        plans = [plan for plan in self.planned if plan.date == day]
        if chance.random() < DAY_MISSED:
            return dict.fromkeys(plans, Outcome.MISSED)
        return {plan: self._do(plan, chance) for plan in plans}

    def reschedule(
        self,
        today: date,
        *,
        request: Request | None = None,
        frozen_until: date | None = None,
        how: CatchUp = CatchUp.SOONEST,
    ) -> Rescheduled:
        """Reschedule, as if the result were stored; ``request`` has the data after an edit."""
        self.request = self.request if request is None else request
        found = reschedule(
            self.request_on(today), self.planned, self.baseline, frozen_until=frozen_until, how=how
        )
        self.planned = list(found.plans)
        self.baseline = _reported(self.baseline, found)
        return found

    def request_on(self, today: date) -> Request:
        """Return the request of a run on a day."""
        first = max(today, self.request.period_start)
        return replace(self.request, today=first, kept=tuple(self.done))

    def mark(self, plan: ScheduledPlan, done_through: int | None = None) -> None:
        """Mark a plan as done, or as done through a unit."""
        self.done.append(plan.as_kept(done_through))
        self.planned.remove(plan)

    def _do(self, plan: ScheduledPlan, chance: random.Random) -> Outcome:
        lot = chance.random()
        if lot < PART_DONE and can_be_part_done(plan):
            self.mark(plan, chance.randrange(plan.first_unit, plan.last_unit))
            return Outcome.PART_DONE
        if lot >= 1 - NOT_DONE:
            return Outcome.MISSED
        self.mark(plan)
        return Outcome.DONE


def weeks(life: Life, chance: random.Random) -> Iterator[LivedWeek]:
    """Live through the period, and reschedule in the morning of the first day of each week.

    After the last week, a last reschedule reports what can no longer be planned.
    """
    start, end = life.request.period_start, life.request.period_end
    dates = [start + timedelta(days=day) for day in range((end - start).days + 1)]
    for number, first in enumerate(range(0, len(dates), 7), 1):
        yield _week(life, number, dates[first : first + 7], chance)
    life.reschedule(end + timedelta(days=1))


def _week(life: Life, number: int, dates: Sequence[date], chance: random.Random) -> LivedWeek:
    standing = [plan for plan in life.planned if plan.date >= dates[0]]
    before = set(map(place_of, standing))
    generated = _generated(life, dates[0]) if number > 1 else standing
    life.reschedule(dates[0])
    after, by_generation = set(map(place_of, life.planned)), set(map(place_of, generated))
    return LivedWeek(
        number=number,
        days=[
            [
                LivedPlan(outcome, place_of(plan) not in before)
                for plan, outcome in _in_order(life.live_through(day, chance))
            ]
            for day in dates
        ],
        future=len(standing),
        moved=len(before - after),
        generated=[
            [place_of(plan) not in before for plan in generated if plan.date == day]
            for day in dates
        ],
        moved_by_generation=len(before - by_generation),
    )


def can_be_part_done(plan: ScheduledPlan) -> bool:
    """Return whether a plan has several units, and no piece of one."""
    return plan.parts == 1 and plan.last_unit > plan.first_unit


def units_done(life: Life) -> int:
    """Return the number of units that are done, counting a unit when all its pieces are."""
    return len({unit for plan in life.done for unit in _studied(plan)})


def _generated(life: Life, today: date) -> Sequence[ScheduledPlan]:
    """Return the plans after a generation; those that stand if it is refused."""
    try:
        return schedule(life.request_on(today)).plans
    except DomainError:
        return [plan for plan in life.planned if plan.date >= today]


def _in_order(outcomes: Mapping[ScheduledPlan, Outcome]) -> Sequence[tuple[ScheduledPlan, Outcome]]:
    return sorted(outcomes.items(), key=lambda item: item[0].start_minute)


def _studied(plan: KeptPlan) -> Iterator[tuple[int, int]]:
    if plan.kind is PlanKind.STUDY and plan.part == plan.parts:
        for unit in range(plan.first_unit, plan.last_kept_unit + 1):
            yield plan.content, unit


def _reported(baseline: Baseline, run: Schedule) -> Baseline:
    """Return the baseline with what the last run could not place."""
    return replace(
        baseline, unplaced=run.unplaced, certificate=run.certificate, repairs=run.repairs
    )
