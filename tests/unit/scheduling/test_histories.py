"""Histories of a group on the planning core, with plans that are stored in memory.

Generations and reschedules compute plans and compare them with the live ones; nothing else is
under test here but the move of a plan. The model checks each schedule, which plans stay, and what
is live.
"""

from collections.abc import Collection, Sequence
from datetime import date
from uuid import UUID

from hypothesis.stateful import run_state_machine_as_test

from domain.errors import InvalidInputError
from domain.models import PlanState
from domain.scheduling.difference import PlanChanges, StoredPlan, difference
from domain.scheduling.moving import move
from domain.scheduling.rescheduling.reschedule import CatchUp
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Busy, Content, Request
from tests.unit.scheduling.history_model import Model, ModelRun
from tests.unit.scheduling.history_plans import DONE, Plan
from tests.unit.scheduling.history_rules import machine_settings
from tests.unit.scheduling.rescheduling_rules import ReschedulingHistories


class Memory:
    """The planning core on the plans of the model; marks and undos are those of the model."""

    def __init__(self, machine: ReschedulingHistories) -> None:
        self._machine = machine
        self._ids = 0

    @property
    def model(self) -> Model:
        return self._machine.model

    def start(self, request: Request) -> None:
        """Do nothing: the model has the request."""

    def generate(self, today: date) -> tuple[Schedule, Sequence[UUID], Sequence[UUID], PlanChanges]:
        result = schedule(self.model.request(today))
        return result, *self._written(today, result)

    def _written(
        self, today: date, result: Schedule
    ) -> tuple[Sequence[UUID], Sequence[UUID], PlanChanges]:
        """Return the ids and lineages of the plans of a result, and what it changes."""
        replaceable = [row for row in self.model.live if not row.is_kept(today)]
        found = difference(
            (StoredPlan(row.id, row.lineage, 1, row.version, row.plan) for row in replaceable),
            result.plans,
        )
        ids = {new.sequence: (old.id, old.lineage) for old, new in found.kept}
        for old, new in found.moved:
            ids[new.sequence] = (self.new_id(), old.lineage)
        for new in found.new:
            id_ = self.new_id()
            ids[new.sequence] = (id_, id_)
        pairs = [ids[plan.sequence] for plan in result.plans]
        changes = found.changes(others=len(self.model.live) - len(replaceable))
        return [id_ for id_, _ in pairs], [lineage for _, lineage in pairs], changes

    def reschedule(
        self, today: date, frozen_until: date | None, how: CatchUp
    ) -> tuple[Schedule, Sequence[UUID], Sequence[UUID], PlanChanges]:
        result = self._machine.computed(frozen_until, how)
        return result, *self._written(today, result)

    def add_content(self, content: Content) -> None:
        """Do nothing: the model has the content."""

    def new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=self._ids)

    def move(self, row: Plan, today: date, day: date, start: int) -> UUID | str:
        if row.state in DONE:
            return "plan_id"
        taken = [
            Busy(other.plan.date, other.plan.start_minute, other.plan.end_minute)
            for other in self.model.live
            if other.id != row.id
        ]
        taken += self.model.settings.busy
        try:
            moved = move(self.model.request(today), row.plan, day, start, taken)
        except InvalidInputError as error:
            return str(error)
        assert moved == self.model.moved(row, today, day, start)
        return self.new_id()

    # What follows is refused or done as the model says.

    def take_back(self, *, redo: bool) -> str | None:
        return self.model.refusal(self.model.last_run(redo=redo), redo=redo)

    def mark(self, row: Plan, state: PlanState, through: int | None) -> str | None:
        last = row.plan.last_unit if through is None else through
        return "state" if self.model.has_units_elsewhere(row, last) else None

    def pin(self, row: Plan, *, pinned: bool) -> None:
        """Do nothing."""

    def miss(self, row: Plan) -> str | None:
        return "plan_id" if row.state in DONE else None

    def change_range(self, position: int, last: int) -> str | None:
        content = next(c for c in self.model.settings.contents if c.position == position)
        too_short = last < max(self.model.last_fixed_unit(content), content.first_unit)
        return "range" if too_short else None

    def change_time(self, request: Request) -> None:
        """Do nothing."""

    def change_deadlines(self, target: date | None, deadlines: Sequence[date | None]) -> None:
        """Do nothing."""

    def change_busy(self, busy: Collection[Busy]) -> None:
        """Do nothing."""

    def compare(self, model: Model) -> None:
        """Do nothing."""

    def compare_as_of(self, run: ModelRun, model: Model) -> None:
        """Do nothing."""


class MemoryHistories(ReschedulingHistories):
    def new_backend(self) -> Memory:
        return Memory(self)


def test_history_of_a_group_in_memory_agrees_with_the_model() -> None:
    run_state_machine_as_test(MemoryHistories, settings=machine_settings(60, 30))
