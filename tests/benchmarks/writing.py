"""Writing plans within a transaction, compared with raw COPY and with ``add_all``.

Also a generation that changes nothing and an undo, compared with a first generation of the same
plans: requests with a schedule that is computed before, so that only the database's time counts.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GroupStatus,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    StudentPlan,
    UnitOfWork,
)
from domain.repositories.plan_writing import COPIED, NewPlan, insert_plans
from domain.repositories.snapshot import PlanningSnapshot
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.services.undo import UndoService
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
    for rows in (100, 1000):
        found = medians(runs(engine, rows), rounds=15)
        line(f"{rows:,} plans: a generation that changes nothing / a first one",
             f"{found['again'] / found['first']:.2f}", "goal ≤ 0.6")  # fmt: skip
        line(f"{rows:,} plans: an undo of all of them / a first generation",
             f"{found['undo'] / found['first']:.2f}")  # fmt: skip
        line(f"{rows:,} plans: an undo of a run that replaced all of them / a first generation",
             f"{found['undo of replaced'] / found['first']:.2f}")  # fmt: skip


def contestants(engine: sa.Engine, rows: int) -> dict[str, Callable[[], None]]:
    """Return functions that write the same rows to the same table; each rolls back."""
    factory: sessionmaker[Session] = sessionmaker(engine)
    group, snapshot, planned = stored_group(factory, rows)
    content_ids = {position: label.id for position, label in snapshot.contents.items()}
    values = [
        (
            *(group.tenant_id, group.student_id, group.id),
            *(content_ids[plan.content], uuid4(), 1),
            *(getattr(plan, name) for name in list(COPIED)[7:]),
        )
        for plan in planned.plans
    ]

    def write(*, copyable: bool) -> None:
        with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            uow.session.execute(PARENT, parent(group))
            new = [
                NewPlan(uuid4(), uuid4(), content_ids[plan.content], plan) for plan in planned.plans
            ]
            insert_plans(uow.connection, snapshot.fence, new, copyable=copyable)
            uow.rollback()

    def ours() -> None:
        write(copyable=True)

    def insert() -> None:
        write(copyable=False)

    def copy() -> None:
        with factory() as session:
            session.execute(PARENT, parent(group))
            driver: Any = session.connection().connection.driver_connection
            with driver.cursor() as cursor, cursor.copy(COPY) as copying:
                copying.set_types(list(COPIED.values()))
                for row in values:
                    copying.write_row((uuid4(), *row))
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


def runs(engine: sa.Engine, rows: int) -> dict[str, Callable[[], None]]:
    """Return functions that generate and undo the same plans; each rolls back."""
    factory: sessionmaker[Session] = sessionmaker(engine)
    first_group, _, planned = stored_group(factory, rows)
    group, _, _ = stored_group(factory, rows)
    request(factory, group, planned, UnitOfWork.commit)

    replaced_group, _, _ = stored_group(factory, rows)
    others = tuple(replace(plan, reserve=not plan.reserve) for plan in planned.plans)
    for schedule_ in (planned, replace(planned, plans=others)):
        request(factory, replaced_group, schedule_, UnitOfWork.commit)

    def undo(group: PlanGroup) -> None:
        with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            UndoService(uow).undo()
            uow.rollback()

    return {
        "first": lambda: request(factory, first_group, planned, UnitOfWork.rollback),
        "again": lambda: request(factory, group, planned, UnitOfWork.rollback),
        "undo": lambda: undo(group),
        "undo of replaced": lambda: undo(replaced_group),
    }


def request(
    factory: sessionmaker[Session],
    group: PlanGroup,
    planned: Schedule,
    end: Callable[[UnitOfWork], None],
) -> None:
    """Generate the given schedule."""
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        service = PlanGenerationService(uow, compute=lambda _: planned)
        service.generate(today=group.period_start)
        end(uow)


def stored_group(
    factory: sessionmaker[Session], rows: int
) -> tuple[PlanGroup, PlanningSnapshot, Schedule]:
    """Store a group, and return it with its snapshot and a schedule of ``rows`` plans."""
    request = books(days=730, count=9, pages=730)
    group = PlanGroupFactory.build(
        period_start=request.period_start,
        period_end=request.period_end,
        contents=[ContentFactory.build(position=i) for i in range(9)],
        status=GroupStatus.SAVED,
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
