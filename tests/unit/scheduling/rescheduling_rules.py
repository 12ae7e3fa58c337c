"""The steps of a state machine over histories of a group that is also rescheduled.

The pure core computes each reschedule from what the model knows; the backend must write the same.
"""

from collections.abc import Collection, Iterable, Sequence
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
from domain.scheduling.result import Schedule, ScheduledPlan
from domain.scheduling.types import Busy, Content, SpecialDay
from tests.unit.scheduling.build import book
from tests.unit.scheduling.history_plans import DONE, has_time_of
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
    def change_deadlines(self, target: date | None, deadlines: Sequence[date | None]) -> None: ...
    def change_busy(self, busy: Collection[Busy]) -> None: ...


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
    @rule(
        units=st.integers(1, 9),
        minutes=st.sampled_from([8, 8, 60]),
        weekly=st.sampled_from([None, 2]),
        then=st.booleans(),
    )
    def add_a_content(self, units: int, minutes: int, weekly: int | None, *, then: bool) -> None:
        contents = self.model.settings.contents
        more = {} if weekly is None else {"weekly": weekly}
        content = book(1, units, minutes, position=len(contents), **more)
        self.backend.add_content(content)
        self.change_settings(contents=(*contents, content))
        if then:
            self.reschedule(0, None, CatchUp.SOONEST)

    @rule(position=st.integers(0, 1), units=st.sampled_from([-4, -1, 1, 3]))
    def change_range_and_reschedule(self, position: int, units: int) -> None:
        self.change_range(position, units)
        self.reschedule(0, None, CatchUp.SOONEST)

    @rule(position=st.integers(0, 1), day=st.sampled_from([None, *range(2, DAYS + 1)]))
    def change_a_deadline(self, position: int, day: int | None) -> None:
        contents = self.model.settings.contents
        changed = (
            replace(content, deadline=_date(day)) if content.position == position else content
            for content in contents
        )
        self.change_settings(contents=tuple(changed))
        self._change_deadlines()

    @rule(day=st.sampled_from([None, *range(2, DAYS + 2)]), then=st.booleans())
    def change_the_target_date(self, day: int | None, *, then: bool) -> None:
        self.change_settings(target_date=_date(day))
        self._change_deadlines()
        if then:
            self.reschedule(0, None, CatchUp.SOONEST)

    def _change_deadlines(self) -> None:
        settings = self.model.settings
        deadlines = [content.deadline for content in settings.contents]
        self.backend.change_deadlines(settings.target_date, deadlines)

    @rule(
        day=st.integers(0, DAYS - 1),
        start=st.sampled_from([8 * 60, 9 * 60, 9 * 60 + 20, 10 * 60, 19 * 60]),
        minutes=st.sampled_from([15, 30, 60]),
    )
    def plan_another_group(self, day: int, start: int, minutes: int) -> None:
        """Plan something in another group of the student, if the time is free."""
        added = Busy(START + timedelta(day), start, start + minutes)
        others = self.model.settings.busy
        taken: list[ScheduledPlan | Busy] = [*others, *self.model.live_plans]
        if not any(has_time_of(added, one) for one in taken):
            self._change_busy((*others, added))

    @precondition(lambda self: bool(self.model.settings.busy))
    @rule(index=indexes)
    def drop_a_plan_of_another_group(self, index: int) -> None:
        busy = list(self.model.settings.busy)
        busy.pop(index % len(busy))
        self._change_busy(busy)

    def _change_busy(self, busy: Iterable[Busy]) -> None:
        self.change_settings(busy=tuple(sorted(busy, key=lambda one: (one.date, one.start_minute))))
        self.backend.change_busy(self.model.settings.busy)

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


def _date(day: int | None) -> date | None:
    return None if day is None else START + timedelta(day)
