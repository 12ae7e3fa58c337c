"""Simulated lives of a group: what a student does with the plans of each day."""

import random
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import pairwise

from domain.scheduling.minutes import unit_minutes
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.rescheduling.reschedule import CatchUp, reschedule
from domain.scheduling.result import Schedule, ScheduledPlan
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Busy, Content, KeptPlan, PlanKind, Request


def kept(plan: ScheduledPlan, done_through: int | None = None) -> KeptPlan:
    """Return a plan that is done, or done through a unit."""
    return KeptPlan(
        content=plan.content,
        kind=plan.kind,
        date=plan.date,
        start_minute=plan.start_minute,
        end_minute=plan.end_minute,
        first_unit=plan.first_unit,
        last_unit=plan.last_unit,
        done_through=done_through,
        part=plan.part,
        parts=plan.parts,
        wrap_up_minutes=plan.wrap_up_minutes,
        reserve=plan.reserve,
    )


def can_be_part_done(plan: ScheduledPlan) -> bool:
    return plan.parts == 1 and plan.last_unit > plan.first_unit


@dataclass
class Life:
    """A group whose plans were generated once, and what became of them."""

    request: Request
    planned: list[ScheduledPlan] = field(default_factory=list)
    done: list[KeptPlan] = field(default_factory=list)

    def __post_init__(self) -> None:
        first = schedule(self.request)
        self.request = with_shifts(self.request, first.day_shifts)
        self.planned = list(first.plans)
        self.done = list(self.request.kept)
        self.baseline = replace(
            Baseline.of(self.request, first.plans),
            unplaced=first.unplaced,
            certificate=first.certificate,
            repairs=first.repairs,
        )

    def copy(self) -> "Life":
        """Return the same life, which can go on separately."""
        copied = copy(self)
        copied.planned, copied.done = list(self.planned), list(self.done)
        return copied

    @property
    def study_dates(self) -> list[date]:
        """The dates of the planned study, in order."""
        return sorted({plan.date for plan in self.planned if plan.kind is PlanKind.STUDY})

    def do(self, until: date) -> None:
        """Mark all plans before a date as done."""
        self.done += [kept(plan) for plan in self.planned if plan.date < until]
        self.planned = [plan for plan in self.planned if plan.date >= until]

    def live_through(self, day: date, chance: random.Random) -> None:
        """Do the plans of a day: 85 % done, 10 % in part, and on 5 % of the days nothing."""
        if chance.random() < 0.05:
            return
        for plan in [plan for plan in self.planned if plan.date == day]:
            lot = chance.random()
            if lot < 0.1 and can_be_part_done(plan):
                self.mark(plan, chance.randrange(plan.first_unit, plan.last_unit))
            elif lot < 0.95:
                self.mark(plan)

    def live_through_as_a_whole(self, day: date, chance: random.Random) -> None:
        """Do a day completely (85 %), until somewhere in one of its plans (10 %), or not at all."""
        lot = chance.random()
        plans = [plan for plan in self.planned if plan.date == day]
        if lot < 0.1 and plans:
            last = plans[chance.randrange(len(plans))]
            if can_be_part_done(last):
                self.mark(last, chance.randrange(last.first_unit, last.last_unit))
            plans = plans[: plans.index(last)]
        if lot < 0.95:
            for plan in plans:
                self.mark(plan)

    def mark(self, plan: ScheduledPlan, done_through: int | None = None) -> None:
        """Mark a plan as done, or as done through a unit."""
        self.done.append(kept(plan, done_through))
        self.planned.remove(plan)

    def asked(self, today: date) -> Request:
        """Return the request of a run on a day."""
        first = max(today, self.request.period_start)
        return replace(self.request, today=first, kept=tuple(self.done))

    def reschedule(
        self,
        today: date,
        *,
        request: Request | None = None,
        frozen_until: date | None = None,
        how: CatchUp = CatchUp.SOONEST,
    ) -> Schedule:
        """Reschedule, as if the result had been stored."""
        self.request = self.request if request is None else request
        found = reschedule(
            self.asked(today), self.planned, self.baseline, frozen_until=frozen_until, how=how
        )
        self.planned = list(found.plans)
        self.baseline = replace(
            self.baseline,
            unplaced=found.unplaced,
            certificate=found.certificate,
            repairs=found.repairs,
        )
        return found


def with_shifts(request: Request, shifts: Mapping[int, int]) -> Request:
    """Return the request with the shifts that a generation has chosen, which it stores."""
    return replace(
        request,
        contents=tuple(
            replace(content, day_shift=shifts.get(content.position, content.day_shift))
            for content in request.contents
        ),
    )


def place(plan: ScheduledPlan) -> tuple[object, ...]:
    """Return what identifies a plan, without its sequence and calendar."""
    return (
        *(plan.content, plan.kind, plan.date, plan.start_minute, plan.end_minute),
        *(plan.first_unit, plan.last_unit, plan.part, plan.parts, plan.wrap_up_minutes),
        plan.reserve,
    )


def places(plans: Iterable[ScheduledPlan]) -> set[tuple[object, ...]]:
    return {place(plan) for plan in plans}


def violations(life: Life, today: date) -> Iterator[str]:
    """Yield what is wrong with the live plans of a group, and with what is reported."""
    yield from _overlaps(life, today)
    for content in life.request.contents:
        count: dict[int, float] = dict.fromkeys(
            range(content.first_unit, content.last_unit + 1), 0.0
        )
        ranges = [
            *((p.first_unit, p.last_unit, p.parts) for p in _planned(life, content.position)),
            *((k.first_unit, k.last_kept_unit, k.parts) for k in _done(life, content.position)),
        ]
        for first, last, parts in ranges:
            for unit in range(first, last + 1):
                if unit in count:
                    count[unit] += 1 / parts
        for item in life.baseline.unplaced:
            if item.content == content.position:
                for unit in range(item.first_unit, item.last_unit + 1):
                    # Some pieces of a unit may be done whose last ones are reported.
                    count[unit] = 1.0 if count[unit] < 1 else 2.0
        for unit in _shortened(life, content):
            count[unit] = max(count[unit], 1.0)
        wrong = [unit for unit, share in count.items() if abs(share - 1) > 1e-6]
        if wrong:
            yield f"content {content.position}: units {wrong[:5]} are not covered exactly once"


def _shortened(life: Life, content: Content) -> Iterator[int]:
    """Yield units whose done pieces have all their minutes, because an edit made them shorter."""
    done: dict[int, int] = {}
    for plan in _done(life, content.position):
        if plan.parts > 1 and plan.last_kept_unit >= plan.first_unit:
            minutes = plan.end_minute - plan.start_minute - plan.wrap_up_minutes
            done[plan.first_unit] = done.get(plan.first_unit, 0) + minutes
    minutes_of = dict(enumerate(unit_minutes(content, life.request.factors), content.first_unit))
    return (unit for unit, minutes in done.items() if minutes_of.get(unit, minutes + 1) <= minutes)


def _planned(life: Life, content: int) -> list[ScheduledPlan]:
    return [p for p in life.planned if p.content == content and p.kind is PlanKind.STUDY]


def _done(life: Life, content: int) -> list[KeptPlan]:
    return [k for k in life.done if k.content == content and k.kind is PlanKind.STUDY]


def _overlaps(life: Life, today: date) -> Iterator[str]:
    by_day: dict[date, list[tuple[int, int]]] = {}
    occupied: list[ScheduledPlan | KeptPlan | Busy] = [*life.planned, *life.done]
    occupied += life.request.busy
    for plan in occupied:
        by_day.setdefault(plan.date, []).append((plan.start_minute, plan.end_minute))
    for day, spans in sorted(by_day.items()):
        spans.sort()
        for (_, stop), (start, _) in pairwise(spans):
            if start < stop and day >= today:
                yield f"{day}: plans overlap at minute {start}"


def next_day(day: date) -> date:
    return day + timedelta(days=1)
