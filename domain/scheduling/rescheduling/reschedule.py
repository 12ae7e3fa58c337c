"""The computation of a reschedule: what stands, what is missing, and where there is room for it.

The steps are: what stands of the plans (here), what remains of each content (``remaining``), on
which days it is caught up (``catching_up``), in which order the contents are (``contents``), and
the reviews that follow (``reviews``).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import Final

from domain.scheduling.demand import Placed, Problem, free_time, problem_of, wrapped_up
from domain.scheduling.explanation import certificate, repairs, unplaced_ranges
from domain.scheduling.layout.study import ShrunkWrapUp
from domain.scheduling.quality import Measure
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.rescheduling.catching_up import CaughtUp
from domain.scheduling.rescheduling.contents import catch_up_all
from domain.scheduling.rescheduling.contradictions import OpenTime, contradiction
from domain.scheduling.rescheduling.remaining import remaining_contents
from domain.scheduling.rescheduling.reviews import Follow
from domain.scheduling.rescheduling.standing import (
    kept_minutes,
    renumbered,
    undone_units,
    with_study_days,
)
from domain.scheduling.rescheduling.timetable import Timetable, study_by_content
from domain.scheduling.result import (
    PlanWarning,
    Quality,
    Repair,
    Rescheduled,
    ScheduledPlan,
    Unplaced,
)
from domain.scheduling.rows import Row, row_of
from domain.scheduling.types import PlanKind, Request


class CatchUp(StrEnum):
    """How undone work is caught up: as soon as possible, or spread over more days."""

    SOONEST = "soonest"
    SPREAD = "spread"


def reschedule(
    request: Request,
    planned: Sequence[ScheduledPlan],
    baseline: Baseline,
    *,
    frozen_until: date | None = None,
    how: CatchUp = CatchUp.SOONEST,
) -> Rescheduled:
    """Plan what is not done, from today on, with the least change of the planned rows.

    ``request.kept`` are the plans that are done or part done, and from today on started or pinned.
    ``planned`` are the other live plans, of contents of the request; those before today are missed.
    Plans before ``frozen_until`` stay, and nothing is planned there. If nothing was missed, hit,
    added or moved behind its review, the planned rows are returned as they are.

    The function is pure and deterministic. The plans of the result are those that are not kept.
    """
    planned = sorted(planned, key=_BY_TIME)  # no two of them begin at the same time
    first = max(request.today, frozen_until or request.today)
    frozen = [plan for plan in planned if request.today <= plan.date < first]
    if frozen:
        request = replace(request, kept=(*request.kept, *(plan.as_kept() for plan in frozen)))
    problem = problem_of(request, baseline.days(request), first)
    others = [plan for plan in planned if not request.today <= plan.date < first]
    stand = _Stand(problem, others, baseline, how)
    problem = stand.problem
    if not stand.is_disturbed and not stand.has_room_for_rests:
        return _unchanged(stand, planned, baseline)
    before = stand.standing_quality()
    caught = stand.caught_up()
    warnings = [*stand.shrunk_wrap_ups(caught), *stand.follow_with_reviews(caught)]
    placed = stand.placed(caught)
    unplaced = unplaced_ranges(problem, placed)
    generated = problem_of(request, first_date=first) if unplaced else problem
    return Rescheduled(
        plans=(*_numbered(frozen), *stand.plans(len(frozen) + 1)),
        unplaced=unplaced,
        certificate=certificate(with_study_days(problem)) if unplaced else None,
        repairs=stand.repairs(unplaced, generated) if unplaced else (),
        warnings=tuple(warnings),
        quality=stand.measure.quality(placed, [row for one in caught.values() for row in one.rows]),
        quality_before=before,
    )


_BY_TIME: Final = attrgetter("date", "start_minute")


def _unchanged(
    stand: "_Stand", planned: Sequence[ScheduledPlan], baseline: Baseline
) -> Rescheduled:
    """Return the planned rows as they are, with what was reported as unplaced before."""
    plans = (plan for plan in planned if plan.date >= stand.problem.request.today)
    found = stand.standing_quality()
    return Rescheduled(
        plans=_numbered(plans),
        unplaced=baseline.unplaced,
        certificate=baseline.certificate,
        repairs=baseline.repairs,
        warnings=stand.warnings_of_rests,
        quality=found,
        quality_before=found,
    )


class _Stand:
    """What stands, and what is missing."""

    def __init__(
        self, problem: Problem, planned: Sequence[ScheduledPlan], baseline: Baseline, how: CatchUp
    ) -> None:
        self.problem = problem
        self._baseline = baseline
        self._how = how
        self._demands = {demand.content.position: demand for demand in problem.demands}
        start, today = problem.request.period_start, problem.request.today
        found = [row_of(plan, (plan.date - start).days) for plan in planned]
        rows = renumbered(self._demands, found)
        self._is_renumbered = rows != found
        self._missed = [row for row, plan in zip(rows, planned, strict=True) if plan.date < today]
        self._planned = [row for row in rows if row.day >= problem.first_day]
        kept = kept_minutes(problem.request)
        self.timetable = Timetable(problem.rooms, (), kept, wrapped_up(problem.request))
        self._open = OpenTime(problem)
        self._hit: list[Row] = []
        standing: list[Row] = []
        for row in self._planned:
            (standing if self._stands(row) else self._hit).append(row)
        self.timetable.add(standing)
        self._before = study_by_content((*self._missed, *self._planned))
        undone = study_by_content((*self._hit, *self._missed))
        self.contents = remaining_contents(
            problem,
            rows=self._before,
            standing=study_by_content(standing),
            undone=undone,
            timetable=self.timetable,
        )
        self.problem = replace(
            problem, demands=[replace(one.demand, days=list(one.days)) for one in self.contents]
        )

    @cached_property
    def measure(self) -> Measure:
        """Measures the plans before and after, with the days on which plans are frozen."""
        request, days = self.problem.request, self.problem.days
        today = max(0, (request.today - request.period_start).days)
        if today == self.problem.first_day:
            return Measure(self.problem)
        return Measure(replace(self.problem, rooms=free_time(request, days, today)))

    @property
    def is_disturbed(self) -> bool:
        """Whether anything was missed, hit, renumbered or moved behind its review.

        Or is unplaced without being reported with its minutes.
        """
        if self._missed or self._hit or self._is_renumbered or self._has_early_review():
            return True
        reported: dict[int, set[int]] = defaultdict(set)
        minutes: Counter[int] = Counter()
        for item in self._baseline.unplaced:
            reported[item.content].update(range(item.first_unit, item.last_unit + 1))
            minutes[item.content] += item.minutes
        undone: dict[int, set[int]] = {}
        left: Counter[int] = Counter()
        for content in self.contents:
            if not content.is_complete:
                units = undone[content.position] = set(undone_units(content))
                # All that is not kept of a unit: no other piece of it stands.
                demand = content.demand
                left[content.position] = sum(
                    demand.length(index) for index, unit in enumerate(demand.units) if unit in units
                )
        return undone != reported or left != minutes

    def _has_early_review(self) -> bool:
        """Whether a planned review has units that are not studied before it any more.

        Their study was moved by hand, or lost while the review was frozen.
        """
        if self.problem.request.review_days == 0:
            return False
        follow = Follow(self.problem, self._demands, self.timetable)
        return follow.has_early_review(study_by_content(self._planned))

    @property
    def has_room_for_rests(self) -> bool:
        """Whether what is left of a part done review finds room among the rows that stand."""
        return self._offered_rests[0]

    @property
    def warnings_of_rests(self) -> tuple[PlanWarning, ...]:
        """What is left of part done reviews, and has no room among the rows that stand."""
        return self._offered_rests[1]

    @cached_property
    def _offered_rests(self) -> tuple[bool, tuple[PlanWarning, ...]]:
        if self.problem.request.review_days == 0:
            return False, ()
        trial = self.timetable.copy()
        warnings = Follow(self.problem, self._demands, trial).offer_rests()
        return trial.rows != self.timetable.rows, tuple(warnings)

    def standing_quality(self) -> Quality:
        """Return the quality of the planned rows, before anything is caught up."""
        rows = [
            row
            for row in self._planned
            if row.kind is PlanKind.STUDY and row.day < len(self.problem.days)
        ]
        minutes: dict[int, int] = defaultdict(int)
        for row in rows:
            minutes[row.content] += row.stop - row.start - row.wrap_up
        placed = [
            Placed(len(demand.units), minutes[demand.content.position])
            for demand in self.problem.demands
        ]
        return self.measure.quality(placed, rows)

    def plans(self, first: int) -> list[ScheduledPlan]:
        """Return the planned rows as plans, numbered from ``first`` on."""
        days = self.problem.days
        return [
            ScheduledPlan(number, day.date, *row[1:], day.week, day.cycle, day.cycle_day)
            for number, row in enumerate(self.timetable.rows, first)
            for day in (days[row.day],)
        ]

    def caught_up(self) -> Mapping[int, CaughtUp]:
        """Catch up all contents."""
        outcome = catch_up_all(self.contents, self.timetable, self._limit)
        self.timetable = outcome.timetable
        return outcome.found

    def repairs(self, unplaced: Sequence[Unplaced], generated: Problem) -> tuple[Repair, ...]:
        """Return changes with which a reschedule, or a generation, would place everything."""
        return repairs(with_study_days(self.problem), unplaced, self._would_place, generated)

    def _would_place(self, changed: Problem) -> bool:
        """Whether everything could be caught up in a problem with more time or fewer units."""
        if len(changed.days) > len(self.problem.days):
            return False  # no content has days of its own there
        units = {demand.content.position: len(demand.units) for demand in changed.demands}
        contents = [one.limited(units[one.position]) for one in self.contents]
        rows = [
            one.row for content in contents for rows in content.standing.values() for one in rows
        ]
        reviews = (row for row in self.timetable.rows if row.kind is PlanKind.REVIEW)
        timetable = self.timetable.with_others(changed.rooms, [*rows, *reviews])
        return not catch_up_all(contents, timetable, self._limit, displace=False).undone

    def shrunk_wrap_ups(self, caught: Mapping[int, CaughtUp]) -> Iterator[PlanWarning]:
        """Yield a warning for each shortened wrap-up of a session that ends with another row."""
        before = _last_rows(row for row in self._planned if row.kind is PlanKind.STUDY)
        after = _last_rows(row for one in caught.values() for row in one.rows)
        for (day, position), row in sorted(after.items()):
            need = self.timetable.wrap_up(day, self._demands[position].content)
            if row.wrap_up < need and before.get((day, position)) != row:
                shrunk = ShrunkWrapUp(day, position, need, row.wrap_up)
                yield shrunk.warning(self.problem.days[day].date.isoformat())

    def follow_with_reviews(self, caught: Mapping[int, CaughtUp]) -> list[PlanWarning]:
        """Let the reviews follow the study rows, and return what could not be reviewed."""
        if self.problem.request.review_days == 0:
            return []
        follow = Follow(self.problem, self._demands, self.timetable)
        hit = [row for row in self._hit if row.kind is PlanKind.REVIEW]
        missed = [row for row in self._missed if row.kind is PlanKind.REVIEW]
        after = {position: sorted(one.rows) for position, one in caught.items()}
        return follow.follow(self._before, after, hit, missed)

    def placed(self, caught: Mapping[int, CaughtUp]) -> list[Placed]:
        """Return what is placed of each demand."""
        found = []
        for content in self.contents:
            own = caught[content.position]
            units = len(set(content.deal.units[: own.placed]))
            # Rows keep their minutes, even if those of the units were edited since.
            minutes = sum(row.stop - row.start - row.wrap_up for row in own.rows)
            found.append(Placed(units, minutes))
        return found

    def _limit(self, day: int) -> int:
        if self._how is CatchUp.SPREAD:
            return self._baseline.given(self.problem.days[day].date) * 5 // 4
        return self._fullest * 3 // 2

    @cached_property
    def _fullest(self) -> int:
        return max(self._baseline.minutes, default=0)

    def _stands(self, row: Row) -> bool:
        """Whether the row still has its time, its day and its units."""
        return not contradiction(row, self._demands.get(row.content), self._open)


def _last_rows(rows: Iterable[Row]) -> dict[tuple[int, int], Row]:
    """Return the last row of each day and content."""
    return {(row.day, row.content): row for row in sorted(rows)}


def _numbered(plans: Iterable[ScheduledPlan]) -> tuple[ScheduledPlan, ...]:
    """Return plans in order of time, with their numbers."""
    return tuple(
        plan if plan.sequence == number else replace(plan, sequence=number)
        for number, plan in enumerate(sorted(plans, key=_BY_TIME), 1)
    )
