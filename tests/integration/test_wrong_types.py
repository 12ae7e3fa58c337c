"""Values of wrong types are refused with the name of their field, never by the driver."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GroupStatus,
    PlanGenerationService,
    PlanGroupService,
    PlanState,
    UnitOfWork,
    lock_status,
)
from domain.errors import EditedMeanwhileError, InvalidInputError, LockNotHeldError, NotFoundError
from domain.repositories.history import HistoryRepository
from domain.repositories.undo import UndoRepository
from domain.scheduling.types import ExclusionType
from domain.services import (
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    Mark,
    PlanProgressService,
    ReschedulingService,
    RowVersion,
    StudentTimeService,
    UndoService,
    preview_plans,
    preview_reschedule,
)
from domain.services.removal import remove_history, remove_student, remove_tenant
from tests.integration.editing import World, everything, new_world
from tests.integration.storing import FIRST

Factory = sessionmaker[Session]
Call = Callable[[UnitOfWork, World, Any], object]
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
WRONG = [None, "x", "a\0b", b"a", 5, True, 1.5, 2**70, [], {}, object(), UUID(int=7)]


def _history(uow: UnitOfWork) -> HistoryRepository:
    return HistoryRepository(uow.session, uow.tenant_id)


def mark_of(world: World, **fields: Any) -> Mark:
    given = {"plan_id": world.plans[0].id, "expected_version": 1, "state": PlanState.DONE}
    return Mark(**{**given, **fields})


def move(uow: UnitOfWork, world: World, **fields: Any) -> object:
    given = {
        "plan_id": world.plans[0].id,
        "expected_version": 1,
        "date": date(2025, 1, 7),
        "start_minute": 1080,
        "today": FIRST,
    }
    return PlanProgressService(uow).move(**{**given, **fields})


def redo(uow: UnitOfWork, **fields: Any) -> object:
    UndoService(uow).undo()
    return UndoService(uow).redo(**fields)


RESCHEDULE = ("today", "frozen_until", "catch_up", "requested_by", "idempotency_key",
              "expected_generation", "fingerprint", "group_id")  # fmt: skip
PREVIEW = ("tenant_id", "group_id", "today", "frozen_until", "catch_up")


def rescheduling(field: str) -> Call:
    def call(uow: UnitOfWork, _: World, value: Any) -> object:
        fields: dict[str, Any] = {"today": FIRST, field: value}
        return ReschedulingService(uow).reschedule(**fields)

    return call


def previewing(field: str) -> Call:
    def call(uow: UnitOfWork, world: World, value: Any) -> object:
        fields: dict[str, Any] = {"tenant_id": world.tenant_id, "group_id": world.group.id}
        return preview_reschedule(uow.session, **{**fields, "today": FIRST, field: value})

    return call


GROUP: dict[str, Call] = {
    "mark plan_id": lambda u, w, x: PlanProgressService(u).mark(
        plan_id=x, expected_version=1, state=PlanState.DONE
    ),
    "mark expected_version": lambda u, w, x: PlanProgressService(u).mark(
        plan_id=w.plans[0].id, expected_version=x, state=PlanState.DONE
    ),
    "mark state": lambda u, w, x: PlanProgressService(u).mark(
        plan_id=w.plans[0].id, expected_version=1, state=x
    ),
    "mark done_through": lambda u, w, x: PlanProgressService(u).mark(
        plan_id=w.plans[0].id, expected_version=1, state=PlanState.PART_DONE, done_through=x
    ),
    "mark actual_minutes": lambda u, w, x: PlanProgressService(u).mark(
        plan_id=w.plans[0].id, expected_version=1, state=PlanState.DONE, actual_minutes=x
    ),
    "mark done_at": lambda u, w, x: PlanProgressService(u).mark(
        plan_id=w.plans[0].id, expected_version=1, state=PlanState.DONE, done_at=x
    ),
    "mark_all": lambda u, w, x: PlanProgressService(u).mark_all(x),
    "mark_all of": lambda u, w, x: PlanProgressService(u).mark_all([x]),
    "mark_all plan_id": lambda u, w, x: PlanProgressService(u).mark_all([mark_of(w, plan_id=x)]),
    "mark_all expected_version": lambda u, w, x: PlanProgressService(u).mark_all(
        [mark_of(w, expected_version=x)]
    ),
    "mark_all state": lambda u, w, x: PlanProgressService(u).mark_all([mark_of(w, state=x)]),
    "mark_missed plan_id": lambda u, w, x: PlanProgressService(u).mark_missed(
        plan_id=x, expected_version=1
    ),
    "mark_missed expected_version": lambda u, w, x: PlanProgressService(u).mark_missed(
        plan_id=w.plans[0].id, expected_version=x
    ),
    "move plan_id": lambda u, w, x: move(u, w, plan_id=x),
    "move expected_version": lambda u, w, x: move(u, w, expected_version=x),
    "move date": lambda u, w, x: move(u, w, date=x),
    "move start_minute": lambda u, w, x: move(u, w, start_minute=x),
    "move today": lambda u, w, x: move(u, w, today=x),
    "undo expected_generation": lambda u, w, x: UndoService(u).undo(expected_generation=x),
    "undo idempotency_key": lambda u, w, x: UndoService(u).undo(idempotency_key=x),
    "undo requested_by": lambda u, w, x: UndoService(u).undo(requested_by=x),
    "undo group_id": lambda u, w, x: UndoService(u).undo(group_id=x),
    "redo expected_generation": lambda u, w, x: redo(u, expected_generation=x),
    "redo idempotency_key": lambda u, w, x: redo(u, idempotency_key=x),
    "redo requested_by": lambda u, w, x: redo(u, requested_by=x),
    **{f"reschedule {field}": rescheduling(field) for field in RESCHEDULE},
    **{f"preview_reschedule {field}": previewing(field) for field in PREVIEW},
    "pin": lambda u, w, x: PlanProgressService(u).pin(
        plan_id=w.plans[0].id, expected_version=1, pinned=x
    ),
    "change state": lambda u, w, x: GroupStateService(u).change(to=x, expected_version=1),
    "change state expected_version": lambda u, w, x: GroupStateService(u).change(
        to=GroupStatus.CANCELLED, expected_version=x
    ),
    "delete": lambda u, w, x: PlanGroupService(u).delete(expected_version=x),
    "settings expected_version": lambda u, w, x: GroupEditService(u).change_settings(
        expected_version=x, name="봄"
    ),
    "content_id": lambda u, w, x: GroupEditService(u).change_content(
        content_id=x, expected_version=1, title="수학"
    ),
    "content episodes": lambda u, w, x: GroupEditService(u).change_content(
        content_id=w.unplanned.id, expected_version=1, episodes=x
    ),
    "remove content_id": lambda u, w, x: GroupEditService(u).remove_content(
        content_id=x, expected_version=1
    ),
    "order": lambda u, w, x: GroupEditService(u).reorder_contents(order=x),
    "order id": lambda u, w, x: GroupEditService(u).reorder_contents(
        order=[RowVersion(x, 1), RowVersion(w.planned.id, 1)]
    ),
    "order version": lambda u, w, x: GroupEditService(u).reorder_contents(
        order=[RowVersion(w.unplanned.id, x), RowVersion(w.planned.id, 1)]
    ),
    "order of": lambda u, w, x: GroupEditService(u).reorder_contents(order=[x]),
    "block_id": lambda u, w, x: GroupTimeService(u).change_block(
        block_id=x, expected_version=1, weekday=1
    ),
    "block weekday": lambda u, w, x: GroupTimeService(u).change_block(
        block_id=w.block.id, expected_version=1, weekday=x
    ),
    "exclusion date": lambda u, w, x: GroupTimeService(u).add_exclusion(
        date=x, type=ExclusionType.OTHER
    ),
    "exclusion type": lambda u, w, x: GroupTimeService(u).add_exclusion(date=FIRST, type=x),
    "group_id": lambda u, w, x: u.groups.get(x),
    "generate today": lambda u, w, x: PlanGenerationService(u).generate(today=x),
    "groups.add": lambda u, w, x: u.groups.add(x),
    "groups.insert": lambda u, w, x: u.groups.insert(x),
    "groups.of_student": lambda u, w, x: u.groups.of_student(x),
    "groups.snapshot": lambda u, w, x: u.groups.snapshot(x),
    "groups.generations": lambda u, w, x: u.groups.generations(x),
    "plans.live": lambda u, w, x: u.plans.live(x),
    "plans.of_student": lambda u, w, x: u.plans.of_student(x, FIRST, FIRST),
    "plans.of_student first": lambda u, w, x: u.plans.of_student(w.group.student_id, x, FIRST),
    "plans.of_student last": lambda u, w, x: u.plans.of_student(w.group.student_id, FIRST, x),
    "plans.of_generation": lambda u, w, x: u.plans.of_generation(x, 1),
    "plans.of_generation number": lambda u, w, x: u.plans.of_generation(w.group.id, x),
    "plans.views": lambda u, w, x: u.plans.views(FIRST, FIRST, student_id=x),
    "plans.get_all": lambda u, w, x: u.plans.get_all(x, [w.plans[0].id]),
    "groups.page statuses": lambda u, w, x: u.groups.page(statuses=x),
    "plans.get_all all plan_ids": lambda u, w, x: u.plans.get_all(w.group.id, x),
    "plans.studied_units content_ids": lambda u, w, x: u.plans.studied_units(w.group.id, x),
    "plans.studied_units content_id": lambda u, w, x: u.plans.studied_units(w.group.id, [x]),
    "plans.get_all plan_ids": lambda u, w, x: u.plans.get_all(w.group.id, [x]),
    "plans.progress": lambda u, w, x: u.plans.progress(x),
    "plans.studied_units": lambda u, w, x: u.plans.studied_units(x, [w.planned.id]),
    "history.runs": lambda u, w, x: _history(u).runs(x),
    "history.runs limit": lambda u, w, x: _history(u).runs(w.group.id, limit=x),
    "history.runs before": lambda u, w, x: _history(u).runs(w.group.id, before=x),
    "history.as_of": lambda u, w, x: _history(u).as_of(x, 1),
    "history.as_of number": lambda u, w, x: _history(u).as_of(w.group.id, x),
    "history.close": lambda u, w, x: _history(u).close(x),
    "history.remove_retired_plans": lambda u, w, x: _history(u).remove_retired_plans(x, limit=1),
    "history.remove_closed_runs": lambda u, w, x: _history(u).remove_closed_runs(x),
    "undo.last_run": lambda u, w, x: UndoRepository(u.session, w.tenant_id).last_run(x),
    "undo.last_undo": lambda u, w, x: UndoRepository(u.session, w.tenant_id).last_undo(x),
    "student_time.exclusions": lambda u, w, x: u.student_time.exclusions(x),
    "student_time.exclusions_of_student": lambda u, w, x: u.student_time.exclusions_of_student(x),
    "student_time.exclusions_of_group": lambda u, w, x: u.student_time.exclusions_of_group(x),
    "student_time.academy_schedules": lambda u, w, x: u.student_time.academy_schedules(x),
    "create": lambda u, w, x: PlanGroupService(u).create(x, student_id=w.group.student_id),
    "create status": lambda u, w, x: PlanGroupService(u).create(
        {}, student_id=w.group.student_id, status=x
    ),
    "create student_id": lambda u, w, x: PlanGroupService(u).create({}, student_id=x),
    "preview": lambda u, w, x: preview_plans(
        u.session, tenant_id=w.tenant_id, group_id=x, today=FIRST
    ),
    "lock_status": lambda u, w, x: lock_status(u.session, w.tenant_id, x),
}
# Complete requests, which enter units of work of their own.
REMOVALS: dict[str, Callable[[Factory, World, Any], object]] = {
    "remove_history tenant_id": lambda f, w, x: remove_history(f, tenant_id=x, before=LONG_AGO),
    "remove_history group_id": lambda f, w, x: remove_history(
        f, tenant_id=w.tenant_id, group_id=x, before=LONG_AGO
    ),
    "remove_history before": lambda f, w, x: remove_history(f, tenant_id=w.tenant_id, before=x),
    "remove_history wait": lambda f, w, x: remove_history(
        f, tenant_id=w.tenant_id, group_id=w.group.id, before=LONG_AGO, wait=x
    ),
    "remove_student tenant_id": lambda f, w, x: remove_student(
        f, tenant_id=x, student_id=w.group.student_id
    ),
    "remove_student student_id": lambda f, w, x: remove_student(
        f, tenant_id=w.tenant_id, student_id=x
    ),
    "remove_history wait of all groups": lambda f, w, x: remove_history(
        f, tenant_id=w.tenant_id, before=datetime.now(UTC), wait=x
    ),
    "remove_student wait": lambda f, w, x: remove_student(
        f, tenant_id=w.tenant_id, student_id=w.group.student_id, wait=x
    ),
    "remove_tenant": lambda f, w, x: remove_tenant(f, tenant_id=x),
    "remove_tenant wait": lambda f, w, x: remove_tenant(f, tenant_id=w.tenant_id, wait=x),
}
STUDENT: dict[str, Call] = {
    "class start": lambda u, w, x: StudentTimeService(u).add_class(
        weekday=1, start_minute=x, end_minute=700
    ),
    "class_id": lambda u, w, x: StudentTimeService(u).change_class(
        class_id=x, expected_version=1, name="수학"
    ),
    "student_id": lambda u, w, x: StudentTimeService(u).add_exclusion(
        student_id=x, date=date(2025, 1, 8), type=ExclusionType.OTHER
    ),
}
# Some of the values are valid for some of the calls, which then succeed or find no row. An error
# of any other type fails the test.
EXPECTED_ERRORS = (InvalidInputError, NotFoundError, EditedMeanwhileError, LockNotHeldError)


@pytest.fixture(scope="module")
def stored(session_factory: Factory) -> World:
    return new_world(session_factory)


@pytest.mark.parametrize("name", [*GROUP, *STUDENT])
def test_value_of_a_wrong_type_raises_only_errors_of_the_package_and_writes_nothing(
    session_factory: Factory, stored: World, name: str
) -> None:
    before = everything(session_factory)
    call = {**GROUP, **STUDENT}[name]
    for wrong in WRONG:
        lock = stored.student_lock if name in STUDENT else stored.lock
        with UnitOfWork(session_factory, lock=lock) as uow:
            with suppress(*EXPECTED_ERRORS):
                call(uow, stored, wrong)
            uow.rollback()
    assert everything(session_factory) == before


@pytest.mark.parametrize("name", REMOVALS)
def test_removal_with_a_value_of_a_wrong_type_removes_nothing(
    session_factory: Factory, stored: World, name: str
) -> None:
    before = everything(session_factory)
    for wrong in (*WRONG, -timedelta(1), timedelta(days=1)):
        if name == "remove_history group_id" and wrong is None:
            continue  # all groups
        with suppress(*EXPECTED_ERRORS):
            REMOVALS[name](session_factory, stored, wrong)
    assert everything(session_factory) == before
