"""A model of the history of a group's plans: what is live after each run, mark, move and undo.

It shares nothing with the code that compares, writes and takes back plans. An undo is a return to
the sets of plans that were remembered when a run ended.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from itertools import combinations
from typing import Any
from uuid import UUID

from domain.models import PlanState
from domain.models.plan import RetiredAs
from domain.scheduling.difference import PlanChanges
from domain.scheduling.result import Schedule, ScheduledPlan
from domain.scheduling.types import Content, KeptPlan, PlanKind, Request
from tests.unit.scheduling.checking.case import Case, check_places
from tests.unit.scheduling.checking.reschedule import Decided, Rescheduled
from tests.unit.scheduling.checking.rescheduled import check_rescheduled
from tests.unit.scheduling.checking.reviews import check_reviews
from tests.unit.scheduling.checking.units import check_units
from tests.unit.scheduling.checking.world import World
from tests.unit.scheduling.history_plans import Plan, has_time_of, place, units_of


def _violations(request: Request, result: Schedule) -> list[str]:
    """Return what is wrong with a schedule.

    A plan with units outside the range is kept if it is marked after the range was shortened.
    """
    case = Case(request, result)
    ranges = {c.position: units_of(c.first_unit, c.last_unit) for c in request.contents}
    outside = [
        row
        for row in result.plans
        if not units_of(row.first_unit, row.last_unit) <= ranges[row.content]
    ]
    found = [*check_units(case), *check_places(case), *check_reviews(case)]
    return [*map(str, outside), *(text for text in found if "outside the range" not in text)]


@dataclass
class ModelRun:
    """A run: the plans that it made live, in their versions, and those that it retired."""

    number: int
    after: frozenset[UUID]
    made: Mapping[UUID, int]
    gone: Mapping[UUID, Plan]
    """The plans that were retired, as they were afterwards."""
    decided: Decided | None = None
    """What a reschedule after it keeps; ``None`` before the first generation."""
    undoes: "ModelRun | None" = None
    in_effect: bool = True


@dataclass
class Model:
    """The settings of a group, its plans, and its runs."""

    settings: Request
    plans: dict[UUID, Plan] = field(default_factory=dict)
    runs: list[ModelRun] = field(default_factory=list)
    to_redo: list[ModelRun] = field(default_factory=list)
    left: object = None
    """What the last generation or reschedule has left; ``None`` after an undo."""

    @property
    def number(self) -> int:
        return len(self.runs)

    @property
    def live(self) -> list[Plan]:
        """The live plans by time."""
        found = [plan for plan in self.plans.values() if plan.live]
        return sorted(found, key=lambda plan: (plan.plan.date, plan.plan.start_minute))

    @property
    def live_plans(self) -> list[ScheduledPlan]:
        return [row.plan for row in self.live]

    def request(self, today: date) -> Request:
        """Return the request for a generation."""
        kept = (
            KeptPlan(
                **{item.name: getattr(row.plan, item.name) for item in fields(KeptPlan)
                   if item.name != "done_through"},
                done_through=row.done_through,
            )
            for row in self.live if row.is_kept(today)
        )  # fmt: skip
        first = max(today, self.settings.period_start)
        return replace(self.settings, today=first, kept=tuple(kept))

    def check(self) -> None:
        """Assert what holds after every step."""
        live = self.live
        assert max(Counter(row.lineage for row in live).values(), default=1) == 1
        for one, other in combinations(live, 2):
            assert not one.has_time_of(other), (one, other)
            assert not one.has_units_of(other), (one, other)
            assert not one.has_piece_of(other), (one, other)
        assert not any(self.is_occupied(row) for row in live)

    def is_occupied(self, row: Plan) -> bool:
        """Whether another group of the student has the time of a plan."""
        return any(has_time_of(row.plan, busy) for busy in self.settings.busy)

    def generated(
        self, today: date, result: Schedule, ids: Sequence[UUID], lineages: Sequence[UUID]
    ) -> PlanChanges:
        """Record a generation, after checking its schedule and which plans it kept."""
        request = self.request(today)
        assert not (found := _violations(request, result)), found
        decided = Decided.of(request, result.plans, result.day_shifts)
        changes = self._ran(today, result, ids, lineages, decided)
        shifts = result.day_shifts
        self.settings = replace(
            self.settings,
            contents=tuple(
                content
                if content.day_shift is not None
                else replace(content, day_shift=shifts.get(content.position))
                for content in self.settings.contents
            ),
        )
        self.left = self.state
        return changes

    def rescheduled(
        self,
        today: date,
        frozen_until: date | None,
        result: Schedule,
        ids: Sequence[UUID],
        lineages: Sequence[UUID],
    ) -> PlanChanges:
        """Record a reschedule, after checking its result and which plans it kept."""
        request, decided = self.request(today), self.decided(today)
        # A content that an undone generation has shifted keeps its shift.
        stored = {c.position: c.day_shift for c in request.contents if c.day_shift is not None}
        calendar = replace(decided.calendar, shifts={**decided.calendar.shifts, **stored})
        case = Rescheduled(request, self.planned(today), result, calendar, frozen_until)
        assert not (found := [*check_rescheduled(case)]), found
        if self.runs[-1].decided is None:
            decided = Decided.of(request, result.plans, {})
        changes = self._ran(today, result, ids, lineages, decided)
        # Frozen plans that contradict the data are healed by a later reschedule.
        self.left = self.state if frozen_until is None else None
        return changes

    @property
    def state(self) -> object:
        """Everything that a reschedule may depend on but the day."""
        return self.settings, {row.id: row.version for row in self.live}

    def decided(self, today: date) -> Decided:
        """Return what a reschedule keeps: by default the current calendar."""
        return self.runs[-1].decided or Decided.of(self.request(today), self.planned(today), {})

    def planned(self, today: date) -> list[ScheduledPlan]:
        """Return the live plans that are not kept."""
        return [row.plan for row in self.live if not row.is_kept(today)]

    def _ran(
        self,
        today: date,
        result: Schedule,
        ids: Sequence[UUID],
        lineages: Sequence[UUID],
        decided: Decided,
    ) -> PlanChanges:
        number, before = self.number + 1, {row.id: row for row in self.live}
        after = {row.id: row for row in before.values() if row.is_kept(today)}
        old = {place(row.plan): row for row in before.values() if row.id not in after}
        made: dict[UUID, int] = {}
        for plan, id_, lineage in zip(result.plans, ids, lineages, strict=True):
            if (same := old.get(place(plan))) is not None:
                assert (id_, lineage) == (same.id, same.lineage), "a plan at its place stays"
                after[id_] = replace(same, plan=plan)
            else:
                assert id_ not in self.plans, "ids are not used again"
                after[id_], made[id_] = Plan(id_, lineage, plan, number, plan.sequence), 1
        gone = {
            id_: replace(
                row,
                live=False,
                retired_as=RetiredAs.MISSED if row.plan.date < today else RetiredAs.REPLACED,
                retired_in=number,
            )
            for id_, row in before.items()
            if id_ not in after
        }
        continued = {row.lineage for row in gone.values()}
        assert all(after[id_].lineage in {id_, *continued} for id_ in made)
        if made or gone:
            self.to_redo.clear()
        run = ModelRun(number, frozenset(after), made, gone, decided.reported(result))
        return self._record(run, {**after, **gone})

    def _record(self, run: ModelRun, plans: Mapping[UUID, Plan]) -> PlanChanges:
        before = {row.id for row in self.live}
        self.plans.update(plans)
        self.runs.append(run)
        gone = {self.plans[id_].lineage for id_ in run.gone}
        came = {self.plans[id_].lineage for id_ in run.made}
        return PlanChanges(
            len(before & run.after), len(gone & came), len(came - gone), len(gone - came)
        )

    def last_run(self, *, redo: bool) -> ModelRun | None:
        """Return the run that an undo, or a redo, takes back."""
        if redo:
            return self.to_redo[-1] if self.to_redo else None
        runs = (run for run in reversed(self.runs) if run.undoes is None and run.in_effect)
        return next((run for run in runs if run.made or run.gone), None)

    def refusal(self, run: ModelRun | None, *, redo: bool) -> str | None:
        """Return why a run cannot be taken back; ``None`` if it can."""
        if run is None:
            return "nothing_to_redo" if redo else "nothing_to_undo"
        others = [row for row in self.live if row.id not in run.made]
        back = [self.plans[id_] for id_ in run.gone]
        made = [(self.plans[id_], version) for id_, version in run.made.items()]
        if any(not row.live or row.version != version for row, version in made):
            return "plans_changed"
        if any(one.has_units_of(other) for one in back for other in others):
            return "plans_changed"
        if any(one.has_time_of(other) for one in back for other in others):
            return "time_occupied"
        if any(self.is_occupied(row) for row in back):
            return "time_occupied"
        return None

    def take_back(self, run: ModelRun) -> PlanChanges:
        """Record an undo of a run, or of an undo."""
        number = self.number + 1
        retired: dict[UUID, tuple[RetiredAs | None, int | None]] = {}
        if run.undoes is None:
            run.in_effect = False
            for id_ in run.made:
                retired[id_] = (RetiredAs.UNDONE, number)
        else:
            run.undoes.in_effect = True
            retired = {
                id_: (row.retired_as, row.retired_in) for id_, row in run.undoes.gone.items()
            }
            assert self.to_redo.pop() is run
        gone = {
            id_: replace(self.plans[id_], live=False, retired_as=reason, retired_in=retired_in)
            for id_, (reason, retired_in) in retired.items()
        }
        back = {
            id_: replace(self.plans[id_], live=True, retired_as=None, retired_in=None)
            for id_ in run.gone
        }
        after = ({row.id for row in self.live} - gone.keys()) | back.keys()
        versions = {id_: row.version for id_, row in back.items()}
        self.left = None
        decided = self.runs[run.number - 2].decided if run.number > 1 else None
        taken_back = ModelRun(number, frozenset(after), versions, gone, decided, undoes=run)
        if run.undoes is None:
            self.to_redo.append(taken_back)
        return self._record(taken_back, {**gone, **back})

    def has_units_elsewhere(self, row: Plan, last: int) -> bool:
        """Whether units that a mark would give back to a plan are planned in another one."""
        if row.plan.kind is not PlanKind.STUDY or last <= row.last_kept_unit:
            return False
        wider = replace(
            row, plan=replace(row.plan, first_unit=row.last_kept_unit + 1, last_unit=last),
            done_through=None,
        )  # fmt: skip
        return any(wider.has_units_of(other) for other in self.live if other.id != row.id)

    def change(self, row: Plan, **changes: Any) -> None:
        """Change a plan by hand, which increments its version."""
        self.plans[row.id] = replace(row, version=row.version + 1, **changes)

    def retire(self, row: Plan, reason: RetiredAs) -> None:
        self.plans[row.id] = replace(row, live=False, retired_as=reason)

    def moved(self, row: Plan, today: date, day: date, start: int) -> ScheduledPlan | None:
        """Return a plan at another time; ``None`` if the time is not free."""
        plan, settings = row.plan, self.settings
        end = start + plan.minutes
        if day not in (world := World(settings)).days or day < max(today, settings.period_start):
            return None
        found, minutes = world.days[day], set(range(start, end))
        if found.kind == "none" or end > 24 * 60 or not minutes <= found.study | found.reserve:
            return None
        moved = replace(
            plan, date=day, start_minute=start, end_minute=end, reserve=not minutes <= found.study,
            week=found.week, cycle=found.cycle, cycle_day=found.cycle_day,
        )  # fmt: skip
        at = replace(row, plan=moved)
        is_taken = any(at.has_time_of(other) for other in self.live if other.id != row.id)
        return None if is_taken or self.is_occupied(at) else moved

    def last_fixed_unit(self, content: Content) -> int:
        """Return the last unit that a shorter range of the content must contain."""
        rows: Iterable[Plan] = (row for row in self.live if row.plan.content == content.position)
        fixed = (row for row in rows if row.pinned or row.state is not PlanState.PLANNED)
        return max((row.plan.last_unit for row in fixed), default=content.first_unit)
