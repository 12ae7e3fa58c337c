"""The repositories return the rows of their tenant only, in the documented order."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import InvalidInputError, PlanGroup, PlanGroupLock, StudentPlan, UnitOfWork
from domain.errors import LockNotHeldError, PlanGroupNotFoundError
from domain.models.content import ContentLabel
from domain.models.plan import PlanGeneration, RetiredAs, RunKind
from domain.repositories import (
    HistoryRepository,
    PlanGroupRepository,
    StudentPlanRepository,
    StudentTimeRepository,
)
from domain.repositories.generations import GenerationRecord, write_generation
from domain.repositories.plan_writing import COPIED
from domain.repositories.snapshot import PlanningSnapshot
from domain.repositories.undo import RunToUndo, UndonePlans, UndoRecord, UndoRepository
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Allocation, Balance, Level, Request, Strategy, fingerprint
from tests.factories import (
    AcademyScheduleFactory,
    ContentFactory,
    ExclusionFactory,
    PlanGroupFactory,
    SpecialDayFactory,
    lecture,
)
from tests.integration.rows import GROUP, STUDENT, TENANT, another, insert, retired
from tests.integration.storing import FIRST, fresh_ids, stored_group


def added(session: Session, **fields: object) -> PlanGroup:
    """Return a group that is flushed and expunged from the Session."""
    group = PlanGroupFactory.build(**fields)
    group.check()
    session.add(group)
    session.flush()
    session.expunge_all()
    return group


def test_plan_group_is_loaded_with_all_its_rows(session: Session) -> None:
    contents = [ContentFactory.build(position=0), lecture(1, [30, None, 45])]
    built = PlanGroupFactory.build(contents=contents, level=Level.HIGH)
    expected = built.to_request(FIRST)
    session.add(built)
    session.flush()
    session.expunge_all()
    found = PlanGroupRepository(session, built.tenant_id).get(built.id)
    assert found is not built
    assert fingerprint(found.to_request(FIRST)) == fingerprint(expected)
    assert [content.position for content in found.contents] == [0, 1]
    assert [episode.minutes for episode in found.contents[1].episodes] == [30, None, 45]
    assert found.created_at.tzinfo is not None


def test_plan_group_of_another_tenant_is_not_found(session: Session) -> None:
    group = added(session)
    groups, foreign = (
        PlanGroupRepository(session, tenant_id) for tenant_id in (group.tenant_id, uuid4())
    )
    for load in (foreign.get, foreign.snapshot):
        with pytest.raises(PlanGroupNotFoundError) as refused:
            load(group.id)
        assert refused.value.group_id == group.id
    for load in (groups.get, groups.snapshot):
        with pytest.raises(PlanGroupNotFoundError):
            load(uuid4())
    assert foreign.of_student(group.student_id) == []
    assert foreign.generations(group.id) == []


def test_add_refuses_invalid_fields_by_name_and_adds_nothing(session: Session) -> None:
    group = PlanGroupFactory.build(
        period_end=date(2025, 1, 5),
        contents=[ContentFactory.build(position=0, allocation=Allocation.STRATEGY)],
    )
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupRepository(session, group.tenant_id).add(group)
    assert refused.value.field == "period, contents[0].weekly_days"
    assert not session.new


WRITES: dict[str, Callable[[Session, PlanGroup], object]] = {
    "add": lambda session, group: PlanGroupRepository(session, group.tenant_id).add(
        PlanGroupFactory.build(tenant_id=group.tenant_id)
    ),
    "move_contents": lambda session, group: PlanGroupRepository(
        session, group.tenant_id
    ).move_contents(group.id, {}),
    "remove": lambda session, group: PlanGroupRepository(session, group.tenant_id).remove(
        group.id, 1
    ),
    "retire_as_cancelled": lambda session, group: StudentPlanRepository(
        session, group.tenant_id
    ).retire_as_cancelled(group.id),
    "retire": lambda session, group: StudentPlanRepository(session, group.tenant_id).retire(
        StudentPlan(id=uuid4(), group_id=group.id), RetiredAs.MISSED
    ),
    "take_back": lambda session, group: UndoRepository(session, group.tenant_id).take_back(
        *undone(session, group), UndoRecord(None, 0)
    ),
    "close": lambda session, group: HistoryRepository(session, group.tenant_id).close(group.id),
    "remove_retired_plans": lambda session, group: HistoryRepository(
        session, group.tenant_id
    ).remove_retired_plans(group.id, limit=1),
    "remove_closed_runs": lambda session, group: HistoryRepository(
        session, group.tenant_id
    ).remove_closed_runs(group.id),
    "write_generation": lambda session, group: write_generation(
        session, *planned(session, group), GenerationRecord(FIRST, None, 0, "", "")
    ),
}


def planned(session: Session, group: PlanGroup) -> tuple[PlanningSnapshot, Schedule]:
    snapshot = PlanGroupRepository(session, group.tenant_id).snapshot(group.id)
    return snapshot, schedule(snapshot.request(FIRST))


def undone(session: Session, group: PlanGroup) -> tuple[RunToUndo, UndonePlans]:
    """Return an undo of a run that made no plans."""
    run = UndoRepository(session, group.tenant_id).last_run(group.id)
    record = PlanGeneration(number=1, kind=RunKind.GENERATED)
    return replace(run, record=record), UndonePlans({}, (), 0, (), (), is_complete=True)


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
def test_method_that_writes_without_a_flush_requires_a_unit_of_work(
    session: Session, write: Callable[[Session, PlanGroup], object]
) -> None:
    group = added(session)
    with pytest.raises(LockNotHeldError, match="only inside a unit of work"):
        write(session, group)
    assert not session.new
    assert StudentPlanRepository(session, group.tenant_id).live(group.id) == []


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
def test_method_that_writes_without_a_flush_refuses_the_lock_of_another_group(
    session_factory: sessionmaker[Session], write: Callable[[Session, PlanGroup], object]
) -> None:
    group = stored_group(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, uuid4())) as uow:
        with pytest.raises(LockNotHeldError, match="does not hold the lock"):
            write(uow.session, group)
        uow.commit()


def test_draft_may_have_no_contents_and_no_blocks(session: Session) -> None:
    assert added(session, contents=[], blocks=[]).contents == []


def test_groups_of_a_student_are_ordered_by_start_of_period(session: Session) -> None:
    ids = fresh_ids()
    late = added(session, **ids, period_start=date(2025, 1, 10))
    early = added(session, **ids)
    added(session, tenant_id=ids["tenant_id"])
    found = PlanGroupRepository(session, ids["tenant_id"]).of_student(ids["student_id"])
    assert [group.id for group in found] == [early.id, late.id]


def test_snapshot_returns_the_same_request_as_the_mapped_classes(session: Session) -> None:
    """The snapshot's one query and the mapped classes load the same input."""
    balance = {
        "strategy": Strategy.EVEN,
        "balance": Balance.MINUTES,
        "shortest_session": 20,
        "longest_sitting": 90,
        "pause_minutes": 15,
        "buffer_days": 2,
    }
    group = added(
        session,
        contents=[
            ContentFactory.build(position=4, deadline=date(2025, 1, 15)),
            lecture(1, [30, None, 45], allocation=Allocation.STRATEGY, weekly_days=2, day_shift=5),
        ],
        special_days=[
            SpecialDayFactory.build(),
            SpecialDayFactory.build(date=date(2025, 1, 9), study=((0, 60), (600, 1440))),
            SpecialDayFactory.build(date=date(2025, 1, 10), study=(), self_study=()),
        ],
        target_date=date(2025, 1, 17),
        level=Level.LOW,
        self_study_on_holidays=True,
        **balance,
    )
    ids = {"tenant_id": group.tenant_id, "student_id": group.student_id}
    lesson = AcademyScheduleFactory.build(**ids)
    exclusion = ExclusionFactory.build(**ids)
    session.add_all([lesson, exclusion])
    session.flush()
    groups = PlanGroupRepository(session, group.tenant_id)
    expected = replace(
        groups.get(group.id).to_request(FIRST),
        academy_schedules=(lesson.to_planning(),),
        exclusions=(exclusion.to_planning(),),
    )
    snapshot = groups.snapshot(group.id)
    found: Request = snapshot.request(FIRST)
    assert fingerprint(found) == fingerprint(expected)
    assert found.contents == expected.contents
    assert found.factors == expected.factors
    assert {name: getattr(found, name) for name in balance} == balance
    assert sorted(found.special_days, key=lambda day: day.date) == list(expected.special_days)
    assert (found.target_date, len(found.special_days)) == (date(2025, 1, 17), 3)
    assert snapshot.contents == {
        c.position: ContentLabel(c.id, c.title, c.subject) for c in group.contents
    }
    assert (snapshot.student_id, snapshot.time_zone) == (group.student_id, "Asia/Seoul")
    assert (snapshot.generation, snapshot.plans, snapshot.fence.number) == (0, (), 1)


def test_level_factor_of_the_group_overrides_the_factor_of_its_level(session: Session) -> None:
    group = added(session, level=Level.HIGH, level_factor=Decimal(2))
    groups = PlanGroupRepository(session, group.tenant_id)
    assert groups.get(group.id).factors.level == 2
    assert groups.snapshot(group.id).settings.factors.level == 2


def test_live_returns_only_live_plans_ordered_by_time(
    session: Session, valid_rows: sa.Connection
) -> None:
    insert(valid_rows, "student_plans", another("student_plans", sequence=3, start_minute=540,
                                           end_minute=600))  # fmt: skip
    insert(valid_rows, "student_plans", another("student_plans", **retired("missed")))
    reader = Session(valid_rows)
    plans, foreign = (StudentPlanRepository(reader, tenant) for tenant in (TENANT, uuid4()))
    assert [p.start_minute for p in plans.live(GROUP)] == [540, 600]
    assert [p.sequence for p in plans.of_generation(GROUP, 1)] == [1, 2, 3]
    assert foreign.live(GROUP) == foreign.of_generation(GROUP, 1) == []
    assert len(plans.of_student(STUDENT, FIRST, FIRST)) == 2
    assert plans.of_student(STUDENT, FIRST + timedelta(1), date(2025, 2, 1)) == []
    assert foreign.of_student(STUDENT, FIRST, FIRST) == []


def test_student_time_is_of_the_tenant_only_and_ordered(session: Session) -> None:
    ids = fresh_ids()
    late, early = date(2025, 1, 9), date(2025, 1, 8)
    session.add_all(
        [
            ExclusionFactory.build(**ids, date=late),
            ExclusionFactory.build(**ids, date=early),
            AcademyScheduleFactory.build(**ids, weekday=4),
            AcademyScheduleFactory.build(**ids, weekday=3),
            AcademyScheduleFactory.build(**fresh_ids()),
        ]
    )
    session.flush()
    student_id = ids["student_id"]
    time = StudentTimeRepository(session, ids["tenant_id"])
    assert [exclusion.date for exclusion in time.exclusions(student_id)] == [early, late]
    assert [lesson.weekday for lesson in time.academy_schedules(student_id)] == [3, 4]
    foreign = StudentTimeRepository(session, uuid4())
    assert foreign.exclusions(student_id) == []
    assert foreign.academy_schedules(student_id) == []


def test_stale_version_raises_instead_of_overwriting(session: Session) -> None:
    group = added(session)
    mine = session.get_one(PlanGroup, (group.tenant_id, group.id))
    session.execute(
        sa.text("UPDATE studyplan.plan_groups SET version = version + 1 WHERE id = :id"),
        {"id": group.id},
    )
    mine.name = "다른 이름"
    with pytest.raises(sa.orm.exc.StaleDataError), session.begin_nested():
        session.flush()


def test_copied_columns_have_the_types_of_the_table(connection: sa.Connection) -> None:
    """Binary COPY converts no values: a wrong width stores a wrong value or raises an error."""
    rows = connection.execute(
        sa.text(
            "SELECT attname, typname FROM pg_attribute JOIN pg_type t ON t.oid = atttypid "
            "WHERE attrelid = 'studyplan.student_plans'::regclass AND attnum > 0"
        )
    )
    types = {row.attname: row.typname for row in rows}
    assert COPIED.items() <= types.items()
    remaining = StudentPlan.__table__.columns.keys() - COPIED.keys()
    progress = {"state", "done_through", "done_at", "actual_minutes", "pinned", "version"}
    assert remaining == {*progress, "live", "retired_as", "retired_in", "retired_at"}
