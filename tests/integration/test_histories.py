"""Histories of a group in the database: services do each step, and every row is compared.

After each step all plans, live or not, equal those of the model, and a plan that was not live
before and after the step is the same to the byte. ``HISTORIES`` sets the number of histories, for
example 500.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GenerationResult,
    GroupStatus,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    StudentLock,
    StudentPlan,
    UnitOfWork,
)
from domain.documents import PlanGroupDocument
from domain.documents.rows import to_rows
from domain.errors import InvalidInputError, UndoNotPossibleError
from domain.repositories import PlanGroupRepository
from domain.repositories.history import HistoryRepository
from domain.scheduling import types as planning
from domain.scheduling.difference import PlanChanges
from domain.scheduling.rescheduling.reschedule import CatchUp
from domain.scheduling.result import Schedule
from domain.scheduling.types import Busy, Request
from domain.services import (
    GroupEditService,
    GroupTimeService,
    PlanProgressService,
    RowVersion,
    StudentTimeService,
    preview_reschedule,
    reschedule_plans,
)
from domain.services.undo import UndoService
from tests.benchmarks.group_document import document
from tests.integration.other_group import OtherGroup
from tests.integration.storing import store, unit_of_work
from tests.integration.undoing import generate
from tests.unit.scheduling.history_model import Model, ModelRun
from tests.unit.scheduling.history_plans import PLACE, Plan
from tests.unit.scheduling.history_rules import CLASS, machine_settings
from tests.unit.scheduling.rescheduling_rules import ReschedulingHistories

Factory = sessionmaker[Session]
COLUMNS = ["id", "lineage", "generation", "sequence", "week", "cycle", "cycle_day", "version",
           "state", "done_through", "pinned", "live", "retired_as", "retired_in"]  # fmt: skip
Row = tuple[Any, ...]
Written = tuple[Schedule, Sequence[UUID], Sequence[UUID], PlanChanges]


class Database:
    """The services, and what they have stored of one group."""

    group: PlanGroup

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._positions: dict[UUID, int] = {}
        self._exclusions: dict[date, RowVersion] = {}
        self._special_days: dict[date, RowVersion] = {}
        self._lesson: RowVersion | None = None
        self._retired: dict[UUID, str] = {}
        self._other: OtherGroup | None = None

    def start(self, request: Request) -> None:
        entries = PlanGroupDocument.from_mapping(document(request))
        self.group = to_rows(entries, uuid4(), uuid4(), status=GroupStatus.SAVED).group
        store(self._factory, self.group)
        self._positions = {content.id: content.position for content in self.group.contents}

    def generate(self, today: date) -> Written:
        return _written(generate(self._factory, self.group, today))

    def reschedule(self, today: date, frozen_until: date | None, how: CatchUp) -> Written:
        """Preview a reschedule and confirm it."""
        options: dict[str, Any] = {"today": today, "frozen_until": frozen_until, "catch_up": how}
        tenant_id, group_id = self.group.tenant_id, self.group.id
        with self._factory() as session:
            shown = preview_reschedule(session, tenant_id=tenant_id, group_id=group_id, **options)
        request = partial(
            reschedule_plans,
            self._factory,
            PlanGroupLock(tenant_id, group_id),
            fingerprint=shown.fingerprint,
            idempotency_key=f"{uuid4()}",
            **options,
        )
        found, again = request(), request()
        assert found.difference is not None
        assert again.difference == found.difference or found.difference.recounted
        assert (found.plans, found.unplaced) == (shown.plans, shown.unplaced)
        assert found.changes == shown.changes
        return _written(found)

    def take_back(self, *, redo: bool) -> str | PlanChanges:
        with unit_of_work(self._factory, self.group) as uow:
            service = UndoService(uow)
            try:
                result = service.redo() if redo else service.undo()
            except UndoNotPossibleError as error:
                uow.commit()
                return error.reason
            uow.commit()
        return result.changes

    def _progress(self, method: Callable[..., Any], row: Plan, **fields: Any) -> Any:
        """Call a method for a plan; return the field that was refused, or what was written."""
        with unit_of_work(self._factory, self.group) as uow:
            try:
                written = method(
                    PlanProgressService(uow), plan_id=row.id, expected_version=row.version, **fields
                )
            except InvalidInputError as error:
                uow.commit()
                return error.field
            uow.commit()
        return written

    def mark(self, row: Plan, state: PlanState, through: int | None) -> str | None:
        fields = {"state": state, "done_through": through}
        written = self._progress(PlanProgressService.mark, row, **fields)
        return written if isinstance(written, str) else None

    def pin(self, row: Plan, *, pinned: bool) -> None:
        assert self._progress(PlanProgressService.pin, row, pinned=pinned).id == row.id

    def miss(self, row: Plan) -> str | None:
        refused: str | None = self._progress(PlanProgressService.mark_missed, row)
        return refused

    def move(self, row: Plan, today: date, day: date, start: int) -> UUID | str:
        fields = {"date": day, "start_minute": start, "today": today}
        written = self._progress(PlanProgressService.move, row, **fields)
        return written if isinstance(written, str) else UUID(str(written.id))

    def change_range(self, position: int, last: int) -> str | None:
        with unit_of_work(self._factory, self.group) as uow:
            contents = PlanGroupRepository(uow.session, self.group.tenant_id).get(self.group.id)
            content = contents.contents[position]
            try:
                GroupEditService(uow).change_content(
                    content_id=content.id, expected_version=content.version, last_unit=last
                )
            except InvalidInputError as error:
                uow.commit()
                return error.field.rpartition(".")[2]
            uow.commit()
        return None

    def add_content(self, content: planning.Content) -> None:
        fields: dict[str, Any] = {
            name: getattr(content, name)
            for name in ("type", "allocation", "first_unit", "last_unit", "weekly_days")
        }
        with unit_of_work(self._factory, self.group) as uow:
            added = GroupEditService(uow).add_content(
                title="국어", minutes_per_unit=content.minutes_per_unit, **fields
            )
            uow.commit()
        self._positions[added.id] = content.position

    def change_time(self, request: Request) -> None:
        """Store the exclusions, the special days and the class of a request."""
        wanted = {exclusion.date: exclusion for exclusion in request.exclusions}
        special = {one.date: one for one in request.special_days}
        with unit_of_work(self._factory, self.group) as uow:
            time = GroupTimeService(uow)
            for day in special.keys() - self._special_days.keys():
                self._special_days[day] = time.add_special_day(date=day, study=special[day].study)
            for day in self._special_days.keys() - special.keys():
                row = self._special_days.pop(day)
                time.remove_special_day(special_day_id=row.id, expected_version=row.version)
            for day in wanted.keys() - self._exclusions.keys():
                self._exclusions[day] = time.add_exclusion(date=day, type=wanted[day].type)
            for day in self._exclusions.keys() - wanted.keys():
                row = self._exclusions.pop(day)
                time.remove_exclusion(exclusion_id=row.id, expected_version=row.version)
            uow.commit()
        if bool(request.academy_schedules) != bool(self._lesson):
            self._change_class()

    def _change_class(self) -> None:
        lock = StudentLock(self.group.tenant_id, self.group.student_id)
        with UnitOfWork(self._factory, lock=lock) as uow:
            time = StudentTimeService(uow)
            if self._lesson is None:
                self._lesson = time.add_class(
                    weekday=CLASS.weekday,
                    start_minute=CLASS.start_minute,
                    end_minute=CLASS.end_minute,
                    travel_minutes=CLASS.travel_minutes,
                )
            else:
                time.remove_class(class_id=self._lesson.id, expected_version=self._lesson.version)
                self._lesson = None
            uow.commit()

    def change_deadlines(self, target: date | None, deadlines: Sequence[date | None]) -> None:
        with unit_of_work(self._factory, self.group) as uow:
            group = PlanGroupRepository(uow.session, self.group.tenant_id).get(self.group.id)
            service = GroupEditService(uow)
            if group.target_date != target:
                service.change_settings(expected_version=group.version, target_date=target)
            for content, deadline in zip(group.contents, deadlines, strict=True):
                if content.deadline != deadline:
                    service.change_content(
                        content_id=content.id, expected_version=content.version, deadline=deadline
                    )
            uow.commit()

    def change_busy(self, busy: Collection[Busy]) -> None:
        if self._other is None:
            self._other = OtherGroup.of_student(self._factory, self.group)
        self._other.replace_plans(self._factory, busy)

    def compare(self, model: Model) -> None:
        own = StudentPlan.group_id == self.group.id
        with self._factory() as session:
            rows = session.scalars(sa.select(StudentPlan).where(own))
            stored = {row.id: self._values(row) for row in rows}
            text: Any = sa.literal_column("student_plans::text")
            texts = session.execute(sa.select(StudentPlan.id, text).where(own, ~StudentPlan.live))
            retired = {row.id: row[1] for row in texts}
            number = session.scalar(
                sa.select(PlanGroup.generation).where(PlanGroup.id == self.group.id)
            )
        assert number == model.number
        expected = {row.id: _expected(row) for row in model.plans.values()}
        for id_ in stored.keys() | expected.keys():
            assert stored.get(id_) == expected.get(id_), (stored.get(id_), expected.get(id_))
        for id_ in retired.keys() & self._retired.keys():
            assert retired[id_] == self._retired[id_]
        self._retired = retired

    def _values(self, row: StudentPlan) -> Row:
        at = (self._positions[row.content_id] if name == "content" else getattr(row, name)
              for name in PLACE)  # fmt: skip
        return *at, *(getattr(row, name) for name in COLUMNS)

    def compare_as_of(self, run: ModelRun, model: Model) -> None:
        with self._factory() as session:
            history = HistoryRepository(session, self.group.tenant_id)
            found = {row.id: self._values(row) for row in history.as_of(self.group.id, run.number)}
        assert found.keys() == run.after
        for id_, values in found.items():
            assert values[: len(PLACE)] == _expected(model.plans[id_])[: len(PLACE)]


def _written(found: GenerationResult) -> Written:
    result = Schedule(**{name: getattr(found, name) for name in Schedule.__dataclass_fields__})
    return result, found.plan_ids, found.lineages, found.changes


def _expected(row: Plan) -> Row:
    names = {"generation": "made_in"}
    of_plan = {"week", "cycle", "cycle_day"}
    return (
        *(getattr(row.plan, name) for name in PLACE),
        *(getattr(row.plan if n in of_plan else row, names.get(n, n)) for n in COLUMNS),
    )


def test_history_of_a_group_in_the_database_agrees_with_the_model(session_factory: Factory) -> None:
    class DatabaseHistories(ReschedulingHistories):
        def new_backend(self) -> Database:
            return Database(session_factory)

    run_state_machine_as_test(DatabaseHistories, settings=machine_settings(14, 30))
