"""The steps of a state machine over histories of a group that is also rescheduled.

The pure core computes each reschedule from what the model knows; the backend must write the same.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Protocol
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from domain.models import PlanState
from domain.scheduling.difference import PlanChanges
from domain.scheduling.rescheduling.reschedule import CatchUp, reschedule
from domain.scheduling.result import Schedule
from domain.scheduling.types import Content, SpecialDay
from tests.unit.scheduling.build import book
from tests.unit.scheduling.history_model import DONE
from tests.unit.scheduling.history_rules import DAYS, START, Backend, Histories, indexes

MAX_CONTENTS = 4
SPANS = [(), ((600, 630),), ((480, 570), (600, 660))]
"""The study time of special days."""


class ReschedulingBackend(Backend, Protocol):
    """The code under test, which also reschedules."""

    def reschedule(
        self, today: date, frozen_until: date | None, how: CatchUp
    ) -> tuple[Schedule, Sequence[UUID], Sequence[UUID], PlanChanges]: ...
    def add_content(self, content: Content) -> None: ...


class ReschedulingHistories(Histories):
    """Histories of one group that is generated and rescheduled."""

    backend: ReschedulingBackend

    def computed(self, frozen_until: date | None, how: CatchUp) -> Schedule:
        """Return what the pure core makes of the model's plans, in whatever order they are."""
        request, planned = self.model.request(self.today), self.model.planned(self.today)
        compute = partial(
            reschedule,
            baseline=self.model.decided(self.today).baseline,
            frozen_until=frozen_until,
            how=how,
        )
        found = compute(request, planned)
        assert compute(replace(request, kept=request.kept[::-1]), planned[::-1]) == found
        return found

    @rule(
        days=st.sampled_from([0, 0, 1, 1, 2]),
        frozen=st.sampled_from([None, None, None, 1, 3]),
        how=st.sampled_from(CatchUp),
    )
    def reschedule(self, days: int, frozen: int | None, how: CatchUp) -> None:
        self.today += timedelta(days)
        end = self.model.settings.period_end
        until = None if frozen is None else min(self.today + timedelta(frozen), end)
        if self.today > end:
            until = None
        before = [row for row in self.model.live if not row.is_kept(self.today)]
        has_happened = self.model.left != self.model.state
        result, ids, lineages, changes = self.backend.reschedule(self.today, until, how)
        expected = self.computed(until, how)
        assert (result.plans, result.unplaced) == (expected.plans, expected.unplaced)
        assert changes == self.model.rescheduled(self.today, until, result, ids, lineages)
        if not has_happened and all(row.plan.date >= self.today for row in before):
            assert {*ids} == {row.id for row in before}, "nothing has happened"
        self.backend.compare_as_of(self.model.runs[-1], self.model)
        self.agrees_with_the_model()

    @rule(how=st.sampled_from(CatchUp), days=st.sampled_from([0, 1]))
    def reschedule_twice(self, how: CatchUp, days: int) -> None:
        self.reschedule(days, None, how)
        self.reschedule(0, None, how)

    @rule(days=st.integers(1, 2), missed=st.integers(0, 5))
    def live_and_reschedule(self, days: int, missed: int) -> None:
        """Do all plans before the next day but one."""
        tomorrow = self.today + timedelta(days)
        for number, row in enumerate(self.model.live):
            if row.plan.date < tomorrow and row.state not in DONE and number != missed:
                self._mark(row, PlanState.DONE, None)
        self.reschedule(days, None, CatchUp.SOONEST)

    @rule(day=st.integers(0, DAYS - 1))
    def exclude_or_include_a_day_and_reschedule(self, day: int) -> None:
        self.exclude_or_include_a_day(day)
        self.reschedule(0, None, CatchUp.SOONEST)

    @rule(day=st.integers(0, DAYS - 1), spans=st.sampled_from(SPANS))
    def set_or_remove_a_special_day(self, day: int, spans: tuple[tuple[int, int], ...]) -> None:
        on = START + timedelta(day)
        others = [one for one in self.model.settings.special_days if one.date != on]
        if len(others) == len(self.model.settings.special_days):
            others.append(SpecialDay(on, spans))
        self.change_settings(special_days=tuple(sorted(others, key=lambda one: one.date)))
        self.backend.change_time(self.model.settings)

    @precondition(lambda self: len(self.model.settings.contents) < MAX_CONTENTS)
    @rule(units=st.integers(1, 9), weekly=st.sampled_from([None, 2]), then=st.booleans())
    def add_a_content(self, units: int, weekly: int | None, *, then: bool) -> None:
        contents = self.model.settings.contents
        more = {} if weekly is None else {"weekly": weekly}
        content = book(1, units, 8, position=len(contents), **more)
        self.backend.add_content(content)
        self.change_settings(contents=(*contents, content))
        if then:
            self.reschedule(0, None, CatchUp.SOONEST)

    @rule(position=st.integers(0, 1), units=st.sampled_from([-4, -1, 1, 3]))
    def change_range_and_reschedule(self, position: int, units: int) -> None:
        self.change_range(position, units)
        self.reschedule(0, None, CatchUp.SOONEST)

    @rule(day=st.integers(2, DAYS - 1))
    def undo_a_run_before_one_that_changes_nothing(self, day: int) -> None:
        self.exclude_or_include_a_day(day)
        self.generate(0)
        self.generate(0)
        self.undo(1)
        self.exclude_or_include_a_day(day)
        self.reschedule(0, None, CatchUp.SOONEST)

    @rule(index=indexes)
    def undo_a_reschedule(self, index: int) -> None:
        self.reschedule(1, None, CatchUp.SOONEST)
        self.undo(1)
        if index % 2:
            self.redo(1)
        self.reschedule(0, None, CatchUp.SOONEST)
