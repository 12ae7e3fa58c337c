"""Writing plans within a transaction, compared with raw COPY and with ``add_all``."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, StudentPlan, UnitOfWork
from domain.repositories.plan_rows import COPIED, new_plans
from domain.repositories.snapshot import PlanningSnapshot
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from tests.benchmarks.scheduling import books
from tests.benchmarks.timing import line, medians
from tests.factories import ContentFactory, PlanGroupFactory

COPY = f"COPY studyplan.student_plans ({', '.join(COPIED)}) FROM STDIN (FORMAT BINARY)"
PARENT = sa.text(
    "INSERT INTO studyplan.plan_generations "
    "(tenant_id, group_id, number, today, plan_count, unplaced, warnings, quality, "
    "input_hash, engine_version) "
    "VALUES (:tenant, :group, 1, :today, 0, '[]', '[]', '{}', '', '')"
)


def run(engine: sa.Engine) -> None:
    """Print the ratios of 1,000 plans to one raw binary COPY, and of 2,000 to ``add_all``."""
    found = medians(contestants(engine, 1000), rounds=15)
    line("1,000 plans: the repository / raw binary COPY",
         f"{found['ours'] / found['copy']:.2f}", "goal ≤ 1.1")  # fmt: skip
    line("1,000 plans: INSERT, as under row-level security / COPY",
         f"{found['insert'] / found['ours']:.2f}")  # fmt: skip
    found = medians(contestants(engine, 2000), rounds=9)
    line("2,000 plans: the repository / add_all and flush",
         f"{found['ours'] / found['add_all']:.2f}", "goal ≤ 0.4")  # fmt: skip


def contestants(engine: sa.Engine, rows: int) -> dict[str, Callable[[], None]]:
    """Return functions that write the same rows to the same table; each rolls back."""
    factory: sessionmaker[Session] = sessionmaker(engine)
    group, snapshot, planned = stored_group(factory, rows)
    ids = [uuid4() for _ in planned.plans]
    values = [row[1:] for row in new_plans(snapshot, planned, ids)]

    def ours() -> None:
        with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            uow.session.execute(PARENT, parent(group))
            uow.plans.copy_plans(snapshot, planned)
            uow.rollback()

    def insert() -> None:
        with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            uow.session.execute(PARENT, parent(group))
            uow.plans.copy_plans(replace(snapshot, copyable=False), planned)
            uow.rollback()

    def copy() -> None:
        with factory() as session:
            session.execute(PARENT, parent(group))
            driver: Any = session.connection().connection.driver_connection
            with driver.cursor() as cursor, cursor.copy(COPY) as copying:
                copying.set_types(list(COPIED.values()))
                for row in values:
                    copying.write_row([uuid4(), *row])
            session.rollback()

    def add_all() -> None:
        with factory() as session:
            session.execute(PARENT, parent(group))
            session.add_all(
                StudentPlan(**dict(zip(COPIED, [uuid4(), *row], strict=True))) for row in values
            )
            session.flush()
            session.rollback()

    return {"ours": ours, "insert": insert, "copy": copy, "add_all": add_all}


def stored_group(
    factory: sessionmaker[Session], rows: int
) -> tuple[PlanGroup, PlanningSnapshot, Schedule]:
    """Store a group, and return it with its snapshot and a schedule of ``rows`` plans."""
    request = books(days=730, count=9, pages=730)
    group = PlanGroupFactory.build(
        period_start=request.period_start,
        period_end=request.period_end,
        contents=[ContentFactory.build(position=i) for i in range(9)],
    )
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.groups.add(group)
        uow.session.flush()
        snapshot = uow.groups.snapshot(group.id)
        uow.session.expire_on_commit = False
        uow.commit()
    full = schedule(request)
    return group, snapshot, replace(full, plans=full.plans[:rows])


def parent(group: PlanGroup) -> dict[str, Any]:
    """Return the parameters of ``PARENT``, the generation that the plans belong to."""
    return {"group": group.id, "tenant": group.tenant_id, "today": group.period_start}
