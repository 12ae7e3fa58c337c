"""A reschedule of stored plans after a missed day, compared with generations of the same group.

The groups are those of ``lives`` of the usual size, in which everything fits with room. All plans
before the middle day are done, and that day is missed. Each request is complete but for its commit:
it is rolled back, so that all of them begin with the same rows. Its time without the computation of
the plans is the database's, and the package's to read and write them.
"""

import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from itertools import islice
from statistics import median
from typing import Any, Final
from unittest.mock import patch
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GroupStatus,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    StudentPlan,
    UnitOfWork,
)
from domain.documents import PlanGroupDocument
from domain.documents.rows import to_rows
from domain.scheduling.rescheduling.reschedule import reschedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request, Strategy
from domain.services import ReschedulingService, rescheduling
from tests.benchmarks.group_document import document
from tests.benchmarks.lives import lives
from tests.benchmarks.timing import line

GROUPS: Final = 30
ROUNDS: Final = 7
Times = tuple[float, float]
"""The seconds for which the lock is held, and those of them in which plans are not computed."""


def run(engine: sa.Engine) -> None:
    """Print the medians of the ratios of a reschedule to generations of the same group."""
    factory: sessionmaker[Session] = sessionmaker(engine)
    for strategy in Strategy:
        found = [
            measured(factory, *stored(factory, life.request))
            for life in islice(lives(40 * GROUPS, strategy, any_size=False), GROUPS)
        ]
        print(f"rescheduling: {strategy.value}, {len(found)} groups, the middle day missed")
        for other, goals in (("again", ("goal ≤ 0.9", "goal ≤ 0.6")), ("first", ("", ""))):
            label = "a generation of that day" if other == "again" else "the first generation"
            held, database = (
                median(one["reschedule"][i] / one[other][i] for one in found) for i in (0, 1)
            )
            line(f"the lock is held: a reschedule / {label}", f"{held:.2f}", goals[0])
            line(f"without the computation: a reschedule / {label}", f"{database:.2f}", goals[1])


def stored(factory: sessionmaker[Session], wanted: Request) -> tuple[PlanGroup, PlanGroup, date]:
    """Store a group twice: without plans, and with its middle study day missed.

    Return also the day after the missed one.
    """
    first, group = (_stored(factory, wanted) for _ in range(2))
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        PlanGenerationService(uow).generate(today=wanted.today)
        days = sorted({plan.date for plan in uow.plans.live(group.id)})
        uow.commit()
    missed = days[len(days) // 2]
    with factory.begin() as session:
        done = sa.update(StudentPlan).where(
            StudentPlan.group_id == group.id, StudentPlan.date < missed
        )
        session.execute(done.values(state=PlanState.DONE))
    return first, group, missed + timedelta(1)


def _stored(factory: sessionmaker[Session], wanted: Request) -> PlanGroup:
    entries = PlanGroupDocument.from_mapping(document(wanted))
    rows = to_rows(entries, uuid4(), uuid4(), status=GroupStatus.SAVED)
    with factory(expire_on_commit=False) as session, session.begin():
        session.add_all([rows.group, *rows.academy_schedules, *rows.exclusions])
    return rows.group


def measured(
    factory: sessionmaker[Session], first: PlanGroup, group: PlanGroup, today: date
) -> Mapping[str, Times]:
    """Return the median times of a reschedule, of a generation of that day and of a first one."""
    start = first.period_start
    works: dict[str, Callable[[], Times]] = {
        "reschedule": lambda: _rescheduled(factory, group, today),
        "again": lambda: _generated(factory, group, today),
        "first": lambda: _generated(factory, first, start),
    }
    times: dict[str, list[Times]] = {name: [] for name in works}
    for number in range(ROUNDS + 1):
        for name, work in works.items():
            found = work()
            if number:  # the first round is not measured
                times[name].append(found)
    return {
        name: (median(held for held, _ in found), median(rest for _, rest in found))
        for name, found in times.items()
    }


def _rescheduled(factory: sessionmaker[Session], group: PlanGroup, today: date) -> Times:
    timed = Timed(reschedule)
    with patch.object(rescheduling, "reschedule", timed):
        return timed.request(
            factory, group, lambda uow: ReschedulingService(uow).reschedule(today=today)
        )


def _generated(factory: sessionmaker[Session], group: PlanGroup, today: date) -> Times:
    timed = Timed(schedule)
    return timed.request(
        factory, group, lambda uow: PlanGenerationService(uow, compute=timed).generate(today=today)
    )


class Timed:
    """A computation of plans that measures itself."""

    def __init__(self, compute: Callable[..., Any]) -> None:
        self._compute = compute
        self._seconds = 0.0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        found = self._compute(*arguments, **options)
        self._seconds += time.perf_counter() - started
        return found

    def request(
        self, factory: sessionmaker[Session], group: PlanGroup, work: Callable[[UnitOfWork], object]
    ) -> Times:
        """Do a request that is rolled back."""
        with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            acquired = time.perf_counter()
            work(uow)
            uow.rollback()
        held = time.perf_counter() - acquired
        return held, held - self._seconds
