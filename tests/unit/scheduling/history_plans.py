"""A stored plan in the model of a group's history, and what two plans have in common."""

from dataclasses import dataclass, fields
from datetime import date
from uuid import UUID

from domain.models import PlanState
from domain.models.plan import RetiredAs
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import Busy, PlanKind

NOT_PLACE = {"sequence", "week", "cycle", "cycle_day"}
PLACE = [item.name for item in fields(ScheduledPlan) if item.name not in NOT_PLACE]
DONE = {PlanState.DONE, PlanState.PART_DONE}
Place = tuple[object, ...]


def place(plan: ScheduledPlan) -> Place:
    return tuple(getattr(plan, name) for name in PLACE)


@dataclass(frozen=True)
class Plan:
    """A stored plan."""

    id: UUID
    lineage: UUID
    plan: ScheduledPlan
    made_in: int
    sequence: int | None
    version: int = 1
    state: PlanState = PlanState.PLANNED
    done_through: int | None = None
    pinned: bool = False
    live: bool = True
    retired_as: RetiredAs | None = None
    retired_in: int | None = None

    @property
    def last_kept_unit(self) -> int:
        return self.done_through or self.plan.last_unit

    def is_kept(self, today: date) -> bool:
        begun = self.pinned or self.state is PlanState.STARTED
        return self.state in DONE or (begun and self.plan.date >= today)

    def has_time_of(self, other: "Plan") -> bool:
        return has_time_of(self.plan, other.plan)

    def has_units_of(self, other: "Plan") -> bool:
        """Whether both study a unit of one content, as whole units."""
        both = (self, other)
        if self.plan.content != other.plan.content or any(
            p.plan.kind is not PlanKind.STUDY or p.plan.parts > 1 for p in both
        ):
            return False
        return bool(
            set.intersection(*(units_of(p.plan.first_unit, p.last_kept_unit) for p in both))
        )

    def has_piece_of(self, other: "Plan") -> bool:
        """Whether both study the same piece of a unit, or one the unit and the other a piece."""
        one, two = self.plan, other.plan
        if one.content != two.content or {one.kind, two.kind} != {PlanKind.STUDY}:
            return False
        if one.parts == two.parts == 1 or (
            one.part != two.part and 1 not in {one.parts, two.parts}
        ):
            return False
        return bool(
            units_of(one.first_unit, self.last_kept_unit)
            & units_of(two.first_unit, other.last_kept_unit)
        )


def has_time_of(one: ScheduledPlan | Busy, other: ScheduledPlan | Busy) -> bool:
    minutes = (range(plan.start_minute, plan.end_minute) for plan in (one, other))
    return one.date == other.date and bool(set.intersection(*map(set, minutes)))


def units_of(first: int, last: int) -> set[int]:
    return set(range(first, last + 1))
