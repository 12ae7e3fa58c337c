"""Store groups, change their plans, and read what is stored and reported."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    Base,
    GenerationResult,
    GroupStatus,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    StudentLock,
    StudentPlan,
    UnitOfWork,
)
from domain.events import GenerationEvent, subscribe
from domain.models.base import SCHEMA
from domain.repositories import PlanGroupRepository
from domain.repositories.plan_writing import NewPlan
from domain.repositories.snapshot import PlanningSnapshot
from domain.scheduling.result import Schedule, ScheduledPlan
from domain.scheduling.types import PlanKind, Request
from tests.factories import EVERY_DAY, BlockFactory, ContentFactory, PlanGroupFactory

Factory = sessionmaker[Session]
End = Callable[[UnitOfWork], None]
FIRST = date(2025, 1, 6)
WITH_A_GROUP_ID = ["contents", "lecture_episodes", "blocks", "non_study_blocks", "special_days",
                   "exclusions", "plan_generations", "student_plans"]  # fmt: skip


def store(factory: Factory, *rows: Base) -> None:
    """Commit rows; their attributes can be read afterwards."""
    with factory(expire_on_commit=False) as session, session.begin():
        session.add_all(rows)


def stored_group(factory: Factory, **fields: Any) -> PlanGroup:
    """Return a committed group that is detached, with its columns loaded."""
    group = PlanGroupFactory.build(**fields)
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.session.expire_on_commit = False
        uow.groups.add(group)
        uow.commit()
    return group


def book_group(factory: Factory, first: int = 1, last: int = 100, **fields: Any) -> PlanGroup:
    """Return a stored group with one book of these pages, 6 minutes each, and a factor of 1."""
    contents = [ContentFactory.build(position=0, first_unit=first, last_unit=last)]
    return stored_group(factory, contents=contents, weakness_factor=Decimal(1), **fields)


def overfull_group(factory: Factory, **content: Any) -> PlanGroup:
    """Return a stored group with 600 minutes of a book for four days of 30 minutes."""
    book = {"position": 3, "last_unit": 300, "minutes_per_unit": 2, **content}
    return stored_group(
        factory,
        contents=[ContentFactory.build(**book)],
        blocks=[BlockFactory.build(weekday=day, end_minute=630) for day in EVERY_DAY],
        period_end=FIRST + timedelta(3),
        weakness_factor=Decimal(1),
    )


def enter(factory: Factory, lock: PlanGroupLock | StudentLock) -> None:
    """Acquire the lock and release it."""
    with UnitOfWork(factory, lock=lock):
        pass


def generate(
    factory: Factory,
    group: PlanGroup,
    today: date = FIRST,
    hold: Callable[[], None] = lambda: None,
    wait: timedelta | None = None,
) -> GenerationResult:
    """Run a complete request: lock, generate, and commit, which ``hold`` delays."""
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id, wait=wait)) as uow:
        result = PlanGenerationService(uow).generate(today=today)
        hold()
        uow.commit()
    return result


def plans(factory: Factory, group: PlanGroup, **where: Any) -> list[StudentPlan]:
    """Return the group's plans, live or not, ordered by generation and time."""
    with factory() as session:
        return list(
            session.scalars(
                sa.select(StudentPlan)
                .filter_by(group_id=group.id, **where)
                .order_by(StudentPlan.generation, StudentPlan.date, StudentPlan.start_minute)
            )
        )


def live(factory: Factory, group: PlanGroup) -> list[StudentPlan]:
    """Return the group's live plans by time, whichever generations made them."""
    return sorted(plans(factory, group, live=True), key=attrgetter("date", "start_minute"))


def mark(factory: Factory, plan: StudentPlan, **fields: Any) -> None:
    """Change a plan as a student or a tutor would; one that is not live was retired now.

    Retiring leaves the version as it is.
    """
    if "live" in fields:
        fields = {"retired_at": None if fields["live"] else sa.func.now(), **fields}
    else:
        fields = {"version": StudentPlan.version + 1, **fields}
    with factory.begin() as session:
        session.execute(sa.update(StudentPlan).where(StudentPlan.id == plan.id).values(fields))


def change(factory: Factory, group: PlanGroup, **fields: Any) -> None:
    """Change a group's settings."""
    with factory.begin() as session:
        session.execute(sa.update(PlanGroup).where(PlanGroup.id == group.id).values(fields))


def dump(factory: Factory, group_id: UUID) -> dict[str, list[str]]:
    """Return every row of a group in PostgreSQL's text format."""
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


def traces(engine: sa.Engine, group_id: UUID) -> tuple[Any, ...]:
    """Return everything that generations write: the fence, the records, and all plans."""
    with engine.connect() as connection:
        return (
            connection.scalar(
                sa.text("SELECT generation FROM studyplan.plan_groups WHERE id = :group"),
                {"group": group_id},
            ),
            connection.execute(
                sa.text(
                    "SELECT * FROM studyplan.plan_generations "
                    "WHERE group_id = :group ORDER BY number"
                ),
                {"group": group_id},
            ).all(),
            connection.execute(
                sa.text(
                    "SELECT * FROM studyplan.student_plans WHERE group_id = :group ORDER BY id"
                ),
                {"group": group_id},
            ).all(),
        )


def units(rows: list[StudentPlan]) -> set[int]:
    """Return the units that the rows cover."""
    return {unit for row in rows for unit in range(row.first_unit, row.last_unit + 1)}


def ranges(rows: list[StudentPlan]) -> list[tuple[int, int]]:
    return [(row.first_unit, row.last_unit) for row in rows]


def done_by(state: PlanState, through: int | None = None) -> dict[str, Any]:
    return {"state": state, "done_through": through}


def as_columns(
    plan: ScheduledPlan, result: GenerationResult, group: PlanGroup
) -> Mapping[str, Any]:
    """Return the row expected for a scheduled plan, without values that only the database knows."""
    assert plan.sequence is not None
    return {
        "id": result.plan_ids[plan.sequence - 1],
        "tenant_id": group.tenant_id,
        "student_id": group.student_id,
        "group_id": group.id,
        "content_id": result.content_ids[plan.content],
        "lineage": result.lineages[plan.sequence - 1],
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
        "done_at": None,
        "actual_minutes": None,
        "pinned": False,
        "live": True,
        "retired_as": None,
        "retired_in": None,
        "retired_at": None,
        "version": 1,
    }


def new_plans(snapshot: PlanningSnapshot, computed: Schedule) -> list[NewPlan]:
    """Return the rows of a first generation, each of a lineage of its own."""
    ids = [uuid4() for _ in computed.plans]
    return [
        NewPlan(plan_id, plan_id, snapshot.contents[plan.content].id, plan)
        for plan_id, plan in zip(ids, computed.plans, strict=True)
    ]


def changed(computed: Schedule) -> Schedule:
    """Return the schedule with a plan at 18:00, another in another cycle, and one dropped."""
    first, second, *others = computed.plans
    others.remove(next(plan for plan in reversed(others) if plan.kind is PlanKind.STUDY))
    moved = replace(first, start_minute=1080, end_minute=1080 + first.minutes)
    plans = (moved, replace(second, cycle=second.cycle + 1), *others)
    numbered = (replace(plan, sequence=number) for number, plan in enumerate(plans, 1))
    return replace(computed, plans=tuple(numbered))


def status_of(factory: Factory, group: PlanGroup) -> GroupStatus:
    with factory() as session:
        return PlanGroupRepository(session, group.tenant_id).get_row(group.id).status


def ids_of(group: PlanGroup) -> dict[str, Any]:
    return {"tenant_id": group.tenant_id, "group_id": group.id}


def columns(row: Base) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__table__.columns.keys()}  # noqa: SIM118 - else columns


def fresh_ids() -> dict[str, Any]:
    """Return ids of a tenant and a student that no other test uses."""
    return {"tenant_id": uuid4(), "student_id": uuid4()}


def generated_group(factory: Factory) -> PlanGroup:
    """Return a group that was generated once and has a plan that is done."""
    group = book_group(factory)
    generate(factory, group)
    mark(factory, live(factory, group)[0], **done_by(PlanState.DONE))
    return group


def with_computation(
    factory: Factory,
    group: PlanGroup,
    compute: Callable[[Request], Schedule],
    today: date = date(2025, 1, 8),
) -> None:
    """Generate with a computation other than the engine's."""
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        PlanGenerationService(uow, compute=compute).generate(today=today)
        uow.commit()


@contextmanager
def listening(listener: Callable[[GenerationEvent], object]) -> Iterator[None]:
    """Call ``listener`` with the events of generations during the block."""
    unsubscribe = subscribe(
        lambda reported: listener(reported) if isinstance(reported, GenerationEvent) else None
    )
    try:
        yield
    finally:
        unsubscribe()


def outcomes(events: list[GenerationEvent]) -> list[tuple[str, str | None]]:
    return [(event.outcome, event.error_type) for event in events]


def unit_of_work(factory: Factory, *groups: PlanGroup) -> UnitOfWork:
    """Return a unit of work for groups of one tenant."""
    ids = [group.id for group in groups]
    return UnitOfWork(factory, lock=PlanGroupLock.of(groups[0].tenant_id, ids))


def generate_in(uow: UnitOfWork, group: PlanGroup, **options: Any) -> GenerationResult:
    return PlanGenerationService(uow).generate(today=FIRST, group_id=group.id, **options)


def request(
    factory: Factory, group: PlanGroup, end: End = UnitOfWork.commit, **options: Any
) -> None:
    """Generate plans, then end the unit of work with ``end``."""
    with unit_of_work(factory, group) as uow:
        generate_in(uow, group, **options)
        end(uow)


def raise_an_error(_: UnitOfWork) -> None:
    raise ZeroDivisionError


def end_without_commit(_: UnitOfWork) -> None:
    """Let the block end without a commit, a rollback, or an error."""


def commit_with_a_failing_listener(uow: UnitOfWork) -> None:
    """Commit with a listener that fails.

    COMMIT is not sent, and SQLAlchemy considers the transaction ended.
    """

    def fail(_: Connection) -> None:
        raise KeyError

    event.listen(uow.connection, "commit", fail)
    uow.commit()
