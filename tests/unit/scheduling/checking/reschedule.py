"""A reschedule: what it was given, what came of it, and what the last generation decided."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.result import Schedule, ScheduledPlan
from domain.scheduling.types import Request
from tests.unit.scheduling.checking.world import World


@dataclass(frozen=True)
class Decided:
    """What the last generation has decided, and what the last run has reported."""

    baseline: Baseline
    calendar: World

    @classmethod
    def of(
        cls, request: Request, plans: Iterable[ScheduledPlan], shifts: Mapping[int, int]
    ) -> "Decided":
        stored = {content.position: content.day_shift or 0 for content in request.contents}
        undated = replace(request, target_date=None)  # the current one counts
        return cls(Baseline.of(request, plans), World(undated, {**stored, **shifts}))

    def reported(self, result: Schedule) -> "Decided":
        """Return the same with what a run could not place."""
        explained = {name: getattr(result, name) for name in ("unplaced", "certificate", "repairs")}
        return replace(self, baseline=replace(self.baseline, **explained))


@dataclass(frozen=True)
class Rescheduled:
    """A reschedule: what it was given, what came of it, and what the last generation decided."""

    request: Request
    """The current settings, with the kept plans."""
    before: Sequence[ScheduledPlan]
    """The live plans that are not kept."""
    result: Schedule
    decided: World
    """The calendar of the last generation, with the shifts of its contents."""
    frozen_until: date | None

    @property
    def first(self) -> date:
        """The first day on which anything may be planned."""
        return max(self.request.today, self.frozen_until or self.request.today)

    @property
    def made(self) -> list[ScheduledPlan]:
        """The rows that are not where they were."""
        old = {place_of(row) for row in self.before}
        return [row for row in self.result.plans if place_of(row) not in old]

    def warnings(self, code: str) -> Iterator[Mapping[str, object]]:
        """Return the data of each warning with a code."""
        return (warning.data for warning in self.result.warnings if warning.code == code)


def place_of(row: ScheduledPlan) -> tuple[object, ...]:
    """Return what two rows at the same place have in common."""
    return (row.content, row.kind, row.date, row.start_minute, row.end_minute, row.first_unit,
            row.last_unit, row.part, row.parts, row.wrap_up_minutes, row.reserve)  # fmt: skip
