"""The steps of a state machine over histories of a group, which are compared with the model.

Each step first asks the model what must happen, then does the same with the code under test, which
``Backend`` calls. A step that is refused must leave everything as it was.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Protocol
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.errors import NoStudyDaysError, NothingPlacedError
from domain.models import PlanState
from domain.models.plan import RetiredAs
from domain.scheduling.difference import PlanChanges
from domain.scheduling.result import Schedule, ScheduledPlan
from domain.scheduling.types import (
    AcademySchedule,
    ContentType,
    Exclusion,
    ExclusionType,
    Request,
    Strategy,
)
from tests.unit.scheduling.build import block, book, make_request, reserve
from tests.unit.scheduling.history_model import Model, ModelRun
from tests.unit.scheduling.history_plans import DONE, Plan

EXAMPLES = int(os.environ.get("HISTORIES", "0"))
"""The number of histories per machine; 0 means a number that takes seconds."""
START = date(2025, 1, 6)
DAYS = 12
CLASS = AcademySchedule(3, 540, 600, 0)
indexes = st.integers(0, 60)


def machine_settings(examples: int, steps: int) -> settings:
    return settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=steps,
        deadline=None,
        # Shrinking takes minutes; it is worth them only in a search for rare faults.
        phases=[phase for phase in Phase if phase is not Phase.shrink or EXAMPLES],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def first_request(
    strategy: Strategy, hours: float, minutes: int, *, second_is_strategy: bool
) -> Request:
    """Return a group of two contents that are short of time if the days have less than an hour.

    Units of the second one that are longer than a span of time are cut.
    """
    weekly = {"weekly": 2} if second_is_strategy else {}
    last = 2 + 144 // min(minutes, 48)
    request = make_request(
        book(1, 20, 6, position=0),
        book(3, last, minutes, position=1, type=ContentType.CUSTOM, wrap_up_minutes=5, **weekly),
        period=f"{START}..{START + timedelta(DAYS - 1)}",
        cycle=(3, 1),
        blocks=block(9, 9 + hours) + reserve(19, 19.5),
        non_study_blocks=(),
    )
    return replace(request, strategy=strategy)


class Backend(Protocol):
    """The code under test. Its methods return why a step was refused, or ``None``.

    ``take_back`` returns what was changed, unless it is not under test.
    """

    def start(self, request: Request) -> None: ...
    def generate(
        self, today: date
    ) -> tuple[Schedule, Sequence[UUID], Sequence[UUID], PlanChanges]: ...
    def take_back(self, *, redo: bool) -> str | PlanChanges | None: ...
    def mark(self, row: Plan, state: PlanState, through: int | None) -> str | None: ...
    def pin(self, row: Plan, *, pinned: bool) -> None: ...
    def miss(self, row: Plan) -> str | None: ...
    def move(self, row: Plan, today: date, day: date, start: int) -> UUID | str: ...
    def change_range(self, position: int, last: int) -> str | None: ...
    def change_time(self, request: Request) -> None: ...
    def compare(self, model: Model) -> None: ...
    def compare_as_of(self, run: ModelRun, model: Model) -> None: ...


class Histories(RuleBasedStateMachine):
    """Histories of one group; ``new_backend`` is set by the tests."""

    backend: Backend

    def new_backend(self) -> Backend:
        raise NotImplementedError

    @initialize(
        strategy=st.sampled_from(Strategy),
        hours=st.sampled_from([2, 0.75]),
        minutes=st.sampled_from([12, 12, 50, 100]),
        second_is_strategy=st.booleans(),
    )
    def start(
        self, strategy: Strategy, hours: float, minutes: int, *, second_is_strategy: bool
    ) -> None:
        request = first_request(strategy, hours, minutes, second_is_strategy=second_is_strategy)
        self.backend, self.model = self.new_backend(), Model(request)
        self.today = START
        self.backend.start(request)
        self.generate(0)

    def rows(self, index: int) -> list[Plan]:
        """Return the live plans, or mostly those whose change leaves the last run undoable."""
        live, run = self.model.live, self.model.last_run(redo=False)
        older = [row for row in live if run and row.id not in run.made]
        return older if index % 4 and older else live

    def row(self, index: int) -> Plan:
        rows = self.rows(index)
        return rows[index % len(rows)]

    has_plans = precondition(lambda self: bool(self.model.live))

    @rule(days=st.sampled_from([0, 0, 1, 1, 2]))
    def generate(self, days: int) -> None:
        self.today += timedelta(days)
        try:
            result, ids, lineages, changes = self.backend.generate(self.today)
        except (NoStudyDaysError, NothingPlacedError):
            return  # the comparison shows that nothing was written
        assert changes == self.model.generated(self.today, result, ids, lineages)
        self.backend.compare_as_of(self.model.runs[-1], self.model)
        self.agrees_with_the_model()

    @rule(times=st.integers(1, 3))
    def undo(self, times: int) -> None:
        for _ in range(times):
            self._take_back(redo=False)

    @rule(times=st.integers(1, 2))
    def redo(self, times: int) -> None:
        for _ in range(times):
            self._take_back(redo=True)

    @rule(day=st.integers(0, DAYS - 1), index=indexes, days=st.sampled_from([0, 0, 1]))
    def undo_a_run_and_redo_it_after_a_change(self, day: int, index: int, days: int) -> None:
        """A change of a plan that the run has moved makes the redo impossible."""
        self.exclude_or_include_a_day(day)
        self.generate(days)
        self.undo(1)
        if self.model.live and index % 2:
            self.pin_or_unpin(index)
        self.redo(1)

    def _take_back(self, *, redo: bool) -> None:
        run = self.model.last_run(redo=redo)
        refusal = self.model.refusal(run, redo=redo)
        outcome = self.backend.take_back(redo=redo)
        if refusal is not None or run is None:
            assert outcome == refusal
            return
        changes = self.model.take_back(run)
        assert outcome in {changes, None}
        self.backend.compare_as_of(self.model.runs[-1], self.model)
        self.agrees_with_the_model()

    @has_plans
    @rule(index=indexes)
    def do_the_next(self, index: int) -> None:
        """Finish one of the first plans that are not done, as students do."""
        left = [row for row in self.rows(index) if row.state not in DONE][:3]
        if left:
            self._mark(left[index % len(left)], PlanState.DONE, None)

    @has_plans
    @rule(index=indexes, offset=st.integers(0, 3), plan_the_rest=st.booleans())
    def do_a_part(self, index: int, offset: int, *, plan_the_rest: bool) -> None:
        row = self.row(index)
        first, last = row.plan.first_unit, row.plan.last_unit
        if first < last:
            self._mark(row, PlanState.PART_DONE, min(first + offset, last - 1))
            if plan_the_rest:
                self.generate(0)

    @has_plans
    @rule(index=indexes, state=st.sampled_from([PlanState.STARTED, PlanState.PLANNED]))
    def begin_or_take_back_a_mark(self, index: int, state: PlanState) -> None:
        """Set another state of a plan that is part done or done, if there is one."""
        marked = [row for row in self.model.live if row.done_through]
        marked = marked or [row for row in self.model.live if row.state in DONE]
        self._mark(marked[index % len(marked)] if marked else self.row(index), state, None)

    def _mark(self, row: Plan, state: PlanState, through: int | None) -> None:
        """Mark a plan, unless it has this state already."""
        if (row.state, row.done_through) == (state, through):
            return
        last = row.plan.last_unit if through is None else through
        refusal = "state" if self.model.has_units_elsewhere(row, last) else None
        assert self.backend.mark(row, state, through) == refusal
        if refusal is None:
            self.model.change(row, state=state, done_through=through)

    @has_plans
    @rule(index=indexes)
    def pin_or_unpin(self, index: int) -> None:
        row = self.row(index)
        self.backend.pin(row, pinned=not row.pinned)
        self.model.change(row, pinned=not row.pinned)

    @has_plans
    @rule(index=indexes)
    def miss(self, index: int) -> None:
        row = self.row(index)
        refusal = "plan_id" if row.state in DONE else None
        assert self.backend.miss(row) == refusal
        if refusal is None:
            self.model.retire(row, RetiredAs.MISSED)

    @has_plans
    @rule(index=indexes, day=st.integers(-1, DAYS), slot=st.integers(0, 30))
    def move(self, index: int, day: int, slot: int) -> None:
        row, to = self.row(index), START + timedelta(day)
        start = 9 * 60 + 5 * slot if slot < 24 else 19 * 60 + 5 * (slot - 24)
        moved: ScheduledPlan | None = None
        if row.state not in DONE:
            moved = self.model.moved(row, self.today, to, start)
        outcome = self.backend.move(row, self.today, to, start)
        assert isinstance(outcome, str) == (moved is None), outcome
        if moved is not None and isinstance(outcome, UUID):
            self.model.retire(row, RetiredAs.MOVED)
            self.model.plans[outcome] = replace(
                row, id=outcome, plan=moved, made_in=self.model.number, sequence=None,
                version=1, pinned=True,
            )  # fmt: skip

    @rule(position=st.integers(0, 1), units=st.sampled_from([-4, -1, 1, 3]))
    def change_range(self, position: int, units: int) -> None:
        content = next(c for c in self.model.settings.contents if c.position == position)
        last = content.last_unit + units
        too_short = last < max(self.model.last_fixed_unit(content), content.first_unit)
        assert self.backend.change_range(position, last) == ("range" if too_short else None)
        if not too_short:
            self.change_settings(
                contents=tuple(
                    replace(c, last_unit=last) if c.position == position else c
                    for c in self.model.settings.contents
                )
            )

    @rule(day=st.integers(0, DAYS - 1))
    def exclude_or_include_a_day(self, day: int) -> None:
        on = Exclusion(START + timedelta(day), ExclusionType.PERSONAL)
        exclusions = set(self.model.settings.exclusions) ^ {on}
        self.change_settings(exclusions=tuple(sorted(exclusions, key=lambda e: e.date)))
        self.backend.change_time(self.model.settings)

    @rule(day=st.integers(0, DAYS - 1))
    def exclude_or_include_a_day_and_generate(self, day: int) -> None:
        self.exclude_or_include_a_day(day)
        self.generate(0)

    @rule()
    def add_or_remove_a_class(self) -> None:
        classes = () if self.model.settings.academy_schedules else (CLASS,)
        self.change_settings(academy_schedules=classes)
        self.backend.change_time(self.model.settings)

    def change_settings(self, **changes: Any) -> None:
        self.model.settings = replace(self.model.settings, **changes)

    @invariant()
    def agrees_with_the_model(self) -> None:
        self.model.check()
        self.backend.compare(self.model)

    def teardown(self) -> None:
        """Compare all runs again: later steps have not changed what the history says of them."""
        if not hasattr(self, "model"):  # the first step has failed
            return
        for run in self.model.runs:
            self.backend.compare_as_of(run, self.model)
