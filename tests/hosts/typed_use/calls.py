"""Calls of the public interface, as a typed application writes them, for type checkers only."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from domain import (
    AsyncUnitOfWork,
    DomainError,
    GroupStatus,
    InvalidInputError,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    PlanState,
    StudentLock,
    UnitOfWork,
    events,
    generate_plans,
    generate_plans_async,
    lock_status,
    schema,
    testing,
)
from domain.models import Strategy
from domain.probe import probe
from domain.repositories import GroupProgress, HistoryRepository, Run, StudentPlanRepository
from domain.retrying import retrying
from domain.scheduling.types import Allocation, BlockKind, ContentType, Level
from domain.services import (
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    Mark,
    PlanGroupService,
    PlanProgressService,
    StateChange,
    StudentTimeService,
    activate,
    activate_async,
    preview_plans,
)

engine = sa.create_engine("postgresql+psycopg://")
sessions = sessionmaker(engine)
async_engine = create_async_engine("postgresql+psycopg://")
async_sessions = async_sessionmaker(async_engine)


def generate(tenant_id: UUID, group_id: UUID, today: date) -> list[int | None]:
    lock = PlanGroupLock(tenant_id, group_id, wait=timedelta(seconds=1))
    with UnitOfWork(sessions, lock=lock) as uow:
        result = PlanGenerationService(uow).generate(today=today, expected_generation=0)
        uow.commit()
    print(result.plans[0].date, result.quality, result.plan_ids, result.content_ids)
    print(result.certificate and result.certificate.need, [r.kind for r in result.repairs])
    print([range_.reason for range_ in result.unplaced], [w.code for w in result.warnings])
    request = partial(generate_plans, sessions, lock, today=today)
    return [result.generation, retrying(request, idempotency_key="key").generation]


def create(tenant_id: UUID, student_id: UUID) -> UUID:
    with UnitOfWork(sessions, lock=PlanGroupLock(tenant_id, uuid4())) as uow:
        fields = {"name": "spring", "period": {"start": "2026-03-02", "end": "2026-03-29"}}
        group = PlanGroupService(uow).create(fields, student_id=student_id)
        uow.commit()
    return group.id


def edit(tenant_id: UUID, group_id: UUID, plan_id: UUID) -> None:
    with UnitOfWork(sessions, lock=PlanGroupLock(tenant_id, group_id)) as uow:
        group = uow.groups.get(group_id)
        print([episode.minutes for content in group.contents for episode in content.episodes])
        print(group.status is GroupStatus.ACTIVE, group.created_at.isoformat())
        added = GroupEditService(uow).add_content(
            type=ContentType.BOOK,
            title="geometry",
            allocation=Allocation.WEAKNESS,
            first_unit=1,
            last_unit=9,
        )
        print(added.id, added.version)
        GroupEditService(uow).change_settings(
            expected_version=1, level=Level.HIGH, strategy=Strategy.EVEN, balance="minutes"
        )
        GroupTimeService(uow).add_block(
            kind=BlockKind.STUDY, weekday=0, start_minute=600, end_minute=660
        )
        PlanProgressService(uow).mark(plan_id=plan_id, expected_version=1, state=PlanState.DONE)
        PlanProgressService(uow).mark_all([Mark(plan_id=plan_id, expected_version=2, state="done")])
        GroupStateService(uow).change(to=GroupStatus.PAUSED, expected_version=1)
        changed: StateChange = GroupStateService(uow).change(to="completed")
        print(changed.cancelled_plans)
        PlanGroupService(uow).delete(expected_version=1)
        uow.commit()
    with UnitOfWork(scoped_session(sessions), lock=StudentLock(tenant_id, group.student_id)) as uow:
        StudentTimeService(uow).add_class(weekday=0, start_minute=600, end_minute=660)
    activate(sessions, tenant_id=tenant_id, group_id=group_id, expected_version=1)


def read(session: Session, tenant_id: UUID, group_id: UUID, today: date) -> None:
    preview = preview_plans(session, tenant_id=tenant_id, group_id=group_id, today=today)
    status = lock_status(session, tenant_id, group_id)
    groups = session.scalars(sa.select(PlanGroup).where(PlanGroup.tenant_id == tenant_id))
    print(preview.quality, status.held, status.holder, [group.name for group in groups])
    probe(engine)


def measure(session: Session, tenant_id: UUID, group_id: UUID) -> tuple[GroupProgress, list[Run]]:
    progress = StudentPlanRepository(session, tenant_id).progress(group_id)
    return progress, list(HistoryRepository(session, tenant_id).runs(group_id))


def problem_in(language: str, error: DomainError) -> dict[str, object]:
    return {**error.to_problem(language), "detail": error.message(language)}


def handle_errors(tenant_id: UUID, group_ids: list[UUID], today: date) -> float:
    try:
        generate_plans(sessions, PlanGroupLock.of(tenant_id, group_ids), today=today)
    except PlanGroupLockedError as error:
        print(error.holder and error.holder.pid)
        return error.retry_after or 0.0
    except InvalidInputError as error:
        print([field_error.message for field_error in error.errors])
    except DomainError as error:
        print(error.http_status, error.code, error.message("ko"), error.to_problem("en")["code"])
    return 0.0


def listen() -> Callable[[], None]:
    def count(event: events.Event) -> None:
        match event:
            case events.LockEvent():
                print(event.outcome)
            case events.GenerationEvent():
                print(event.rows)

    return events.subscribe(count)


async def generate_async(tenant_id: UUID, group_id: UUID, today: date) -> list[int | None]:
    lock = PlanGroupLock(tenant_id, group_id)
    async with AsyncUnitOfWork(async_sessions, lock=lock) as uow:
        result = await uow.run(lambda inner: PlanGenerationService(inner).generate(today=today))
        await uow.commit()
    await activate_async(async_sessions, tenant_id=tenant_id, group_id=group_id, expected_version=1)
    async with async_engine.connect() as connection:
        await connection.run_sync(schema.upgrade)
    second = await generate_plans_async(async_sessions, lock, today=today)
    return [result.generation, second.generation]


def contend(group: PlanGroup) -> int:
    def request(hold: Callable[[], None]) -> int:
        testing.assert_lock_held(engine, group)
        hold()
        return 1

    with testing.FaultAt(engine, testing.Step.AFTER_THE_LOCK, print):
        answers = testing.contend(8, request)
    return sum(answers.results) + len([refusal.code for refusal in answers.refusals])
