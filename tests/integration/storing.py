"""Groups that are committed, what is done to their plans, and what the database holds of them."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    Base,
    GenerationResult,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    StudentPlan,
    UnitOfWork,
    generate_plans,
)
from domain.models.base import SCHEMA
from domain.scheduling.planning import Request
from domain.scheduling.schedule import Schedule, ScheduledPlan
from tests.factories import ContentFactory, PlanGroupFactory

FIRST = date(2025, 1, 6)
WITH_A_GROUP_ID = ["contents", "lecture_episodes", "blocks", "non_study_blocks", "exclusions",
                   "plan_generations", "student_plans"]  # fmt: skip


def store(factory: sessionmaker[Session], *rows: Base) -> None:
    """Commit rows; they stay readable afterwards."""
    with factory(expire_on_commit=False) as session, session.begin():
        session.add_all(rows)


def stored_group(factory: sessionmaker[Session], **fields: Any) -> PlanGroup:
    group = PlanGroupFactory.build(**fields)
    store(factory, group)
    return group


def book_group(
    factory: sessionmaker[Session], first: int = 1, last: int = 100, **fields: Any
) -> PlanGroup:
    """A group whose one book has these pages, 6 minutes each, without a factor."""
    contents = [ContentFactory.build(position=0, first_unit=first, last_unit=last)]
    return stored_group(factory, contents=contents, weakness_factor=Decimal(1), **fields)


def generate(
    factory: sessionmaker[Session], group: PlanGroup, today: date = FIRST
) -> GenerationResult:
    """The whole request: lock, generate, commit."""
    return generate_plans(factory, PlanGroupLock(group.tenant_id, group.id), today=today)


def plans(factory: sessionmaker[Session], group: PlanGroup, **where: Any) -> list[StudentPlan]:
    """The group's plans, live or not, by generation and time."""
    with factory() as session:
        return list(
            session.scalars(
                sa.select(StudentPlan)
                .filter_by(group_id=group.id, **where)
                .order_by(StudentPlan.generation, StudentPlan.date, StudentPlan.start_minute)
            )
        )


def live(factory: sessionmaker[Session], group: PlanGroup) -> list[StudentPlan]:
    return plans(factory, group, live=True)


def mark(factory: sessionmaker[Session], plan: StudentPlan, **fields: Any) -> None:
    """What a student or a tutor does to a plan."""
    with factory.begin() as session:
        session.execute(sa.update(StudentPlan).where(StudentPlan.id == plan.id).values(fields))


def change(factory: sessionmaker[Session], group: PlanGroup, **fields: Any) -> None:
    """Edit a group's settings."""
    with factory.begin() as session:
        session.execute(sa.update(PlanGroup).where(PlanGroup.id == group.id).values(fields))


def dump(factory: sessionmaker[Session], group_id: UUID) -> dict[str, list[str]]:
    """Every row of a group, as PostgreSQL writes it."""
    keys = {"plan_groups": "id", **dict.fromkeys(WITH_A_GROUP_ID, "group_id")}
    with factory() as session:
        return {
            table: sorted(
                session.scalars(
                    sa.select(sa.text("t::text"))
                    .select_from(Base.metadata.tables[f"{SCHEMA}.{table}"].alias("t"))
                    .where(sa.text(f"{key} = :id")),
                    {"id": group_id},
                )
            )
            for table, key in keys.items()
        }


def units(rows: list[StudentPlan]) -> set[int]:
    """The units that the rows cover."""
    return {unit for row in rows for unit in range(row.first_unit, row.last_unit + 1)}


def ranges(rows: list[StudentPlan]) -> list[tuple[int, int]]:
    return [(row.first_unit, row.last_unit) for row in rows]


def done_by(state: PlanState, through: int | None = None) -> dict[str, Any]:
    return {"state": state, "done_through": through}


def as_columns(
    plan: ScheduledPlan, result: GenerationResult, group: PlanGroup
) -> Mapping[str, Any]:
    """The row that a scheduled plan must have become, but for what only the database knows."""
    return {
        "id": result.plan_ids[plan.sequence - 1],
        "tenant_id": group.tenant_id,
        "student_id": group.student_id,
        "group_id": group.id,
        "content_id": result.content_ids[plan.content],
        "generation": result.generation,
        "sequence": plan.sequence,
        "kind": plan.kind,
        "date": plan.date,
        "start_minute": plan.start_minute,
        "end_minute": plan.end_minute,
        "first_unit": plan.first_unit,
        "last_unit": plan.last_unit,
        "part": plan.part,
        "parts": plan.parts,
        "wrap_up_minutes": plan.wrap_up_minutes,
        "reserve": plan.reserve,
        "week": plan.week,
        "cycle": plan.cycle,
        "cycle_day": plan.cycle_day,
        "state": PlanState.PLANNED,
        "done_through": None,
        "pinned": False,
        "live": True,
        "retired_as": None,
        "version": 1,
    }


def columns(row: Base) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__table__.columns.keys()}  # noqa: SIM118 - else columns


def fresh_ids() -> dict[str, Any]:
    """A tenant and a student that nobody else uses."""
    return {"tenant_id": uuid4(), "student_id": uuid4()}


def generated_group(factory: sessionmaker[Session]) -> PlanGroup:
    """A group that was generated once, with a plan that is done."""
    group = book_group(factory)
    generate(factory, group)
    mark(factory, live(factory, group)[0], **done_by(PlanState.DONE))
    return group


def with_computation(
    factory: sessionmaker[Session],
    group: PlanGroup,
    compute: Callable[[Request], Schedule],
    today: date = date(2025, 1, 8),
) -> None:
    """Generate by another computation than the engine's."""
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        PlanGenerationService(uow, compute=compute).generate(today=today)
        uow.commit()
