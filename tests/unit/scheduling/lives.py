"""Simulated lives of a group: what a student does with the plans of each day."""

import random
from collections.abc import Hashable, Iterable, Iterator
from copy import copy
from datetime import date, timedelta
from itertools import pairwise

from domain.cli import simulation
from domain.cli.simulation import can_be_part_done
from domain.scheduling.difference import place_of
from domain.scheduling.minutes import unit_minutes
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import Busy, Content, KeptPlan, PlanKind
from tests.unit.scheduling.checking.amounts import Amounts


class Life(simulation.Life):
    """A group whose plans were generated once, and what became of them."""

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
        self.done += [plan.as_kept() for plan in self.planned if plan.date < until]
        self.planned = [plan for plan in self.planned if plan.date >= until]

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


def places(plans: Iterable[ScheduledPlan]) -> set[Hashable]:
    return {place_of(plan) for plan in plans}


def violations(life: Life, today: date) -> Iterator[str]:
    """Yield what is wrong with the live plans of a group, and with what is reported."""
    yield from _overlaps(life, today)
    for content in life.request.contents:
        count: dict[int, float] = dict.fromkeys(
            range(content.first_unit, content.last_unit + 1), 0.0
        )
        amounts = Amounts(content, life.request)
        ranges: list[tuple[int, int, ScheduledPlan | KeptPlan]] = [
            *((p.first_unit, p.last_unit, p) for p in _planned(life, content.position)),
            *((k.first_unit, k.last_kept_unit, k) for k in _done(life, content.position)),
        ]
        for first, last, row in ranges:
            for unit in count.keys() & {*range(first, last + 1)}:
                # The rest of a unit may be cut again after a piece of it is done.
                net = row.end_minute - row.start_minute - row.wrap_up_minutes
                count[unit] += 1 if row.parts == 1 else net / amounts.cost({unit})
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
