"""Records of runs that are still read stay: a removal changes no reschedule, undo or redo."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGroup, PlanGroupLock, StudentPlan
from domain.errors import DomainError, UndoNotPossibleError
from domain.repositories import PlanGroupRepository
from domain.services import PlanProgressService, preview_reschedule, reschedule_plans
from domain.services.undo import UndoService
from domain.unit_of_work import UnitOfWork
from tests.integration.removing import now, records, remove
from tests.integration.storing import FIRST, book_group, ids_of, live, overfull_group, unit_of_work
from tests.integration.undoing import (
    exclude,
    finish,
    generate,
    include,
    progress,
    redo,
    state,
    undo,
)

Factory = sessionmaker[Session]
DAYS = 28
REPORTS = ("unplaced", "certificate", "repairs", "warnings", "quality", "day_shifts")


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group of short cycles, whose numbers move when a date is excluded."""
    return book_group(
        session_factory, last=150, period_end=FIRST + timedelta(DAYS - 1), study_days=3
    )


def preview(session: Session, group: PlanGroup, today: date) -> tuple[Any, ...]:
    found = preview_reschedule(session, **ids_of(group), today=today)
    reports = found.unplaced, found.certificate, found.repairs, found.fingerprint
    return found.plans, found.changes, found.quality, reports


def previews(factory: Factory, group: PlanGroup) -> list[tuple[Any, ...]]:
    """Return what reschedules on several days would do."""
    with factory() as session:
        return [preview(session, group, FIRST + timedelta(day)) for day in (0, 4, 9, 15)]


def reschedule(factory: Factory, group: PlanGroup, today: date) -> GenerationResult:
    return reschedule_plans(factory, PlanGroupLock(group.tenant_id, group.id), today=today)


def move(factory: Factory, group: PlanGroup, plan: StudentPlan, day: int) -> None:
    """Move a plan by hand to the evening of another day."""
    place = {"date": FIRST + timedelta(day), "start_minute": 1080, "today": FIRST}
    progress(factory, group, PlanProgressService.move, plan, **place)


def taken_back(uow: UnitOfWork, group: PlanGroup, call: Callable[[], Any]) -> list[Any]:
    """Undo or redo as often as possible; return each outcome, the reports and a preview after it.

    The last entry is the reason for the refusal.
    """
    found: list[Any] = []
    while True:
        try:
            result = call()
        except UndoNotPossibleError as error:
            return [*found, error.reason]
        newest = PlanGroupRepository(uow.session, group.tenant_id).generations(group.id)[0]
        reports = [getattr(newest, name) for name in REPORTS]
        previewed = preview(uow.session, group, FIRST + timedelta(4))
        found.append((result.undone, result.changes, reports, previewed))


def future(factory: Factory, group: PlanGroup) -> tuple[list[Any], list[Any]]:
    """Return what all possible redos, and all possible undos, would do; nothing is committed."""
    found = []
    for name in ("redo", "undo"):
        with unit_of_work(factory, group) as uow:
            found.append(taken_back(uow, group, getattr(UndoService(uow), name)))
            uow.rollback()
    return found[0], found[1]


def require_same_future(before: list[Any], after: list[Any]) -> None:
    """Require the same outcomes, up to the first run that the removal has closed."""
    *steps, reason = after
    assert steps == before[: len(steps)]
    if reason not in {"history_removed", "nothing_to_undo", "nothing_to_redo"}:
        assert after == before


def test_calendar_of_a_generation_that_changed_no_plan_stays_in_effect(
    session_factory: Factory,
) -> None:
    """The only unit is on the middle day, which the excluded date does not change."""
    group = book_group(
        session_factory, last=1, period_end=FIRST + timedelta(DAYS), review_days=0, study_days=6
    )
    generate(session_factory, group)
    exclude(session_factory, group, FIRST + timedelta(20))
    assert generate(session_factory, group).changes.kept == 1
    reschedule(session_factory, group, FIRST)
    before = previews(session_factory, group)
    remove(session_factory, group, now(session_factory))
    assert previews(session_factory, group) == before
    assert records(session_factory, group).keys() == {1, 2, 3}


def test_generation_that_was_undone_stays_undone(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group)
    exclusion = exclude(session_factory, group, FIRST + timedelta(2))
    generate(session_factory, group)
    kept = [plan for plan in live(session_factory, group) if plan.generation == 1]
    move(session_factory, group, kept[0], 5)
    undo(session_factory, group)
    include(session_factory, group, exclusion)
    before = previews(session_factory, group)
    remove(session_factory, group, now(session_factory))
    assert previews(session_factory, group) == before


def test_report_of_the_newest_run_stays(session_factory: Factory) -> None:
    group = overfull_group(session_factory)
    generate(session_factory, group)
    assert generate(session_factory, group).unplaced
    before = previews(session_factory, group)
    remove(session_factory, group, now(session_factory))
    assert 2 in records(session_factory, group)
    assert previews(session_factory, group) == before


def test_plan_can_be_moved_after_the_newest_run_was_closed(
    session_factory: Factory, group: PlanGroup
) -> None:
    """The new row refers to the newest run."""
    generate(session_factory, group)
    generate(session_factory, group)
    remove(session_factory, group, now(session_factory))
    move(session_factory, group, live(session_factory, group)[-1], 5)


def test_undo_restores_the_report_of_the_run_before(session_factory: Factory) -> None:
    group = overfull_group(session_factory)
    generate(session_factory, group)
    generate(session_factory, group)
    instant = now(session_factory)
    generate(session_factory, group, FIRST + timedelta(1))
    before = future(session_factory, group)
    remove(session_factory, group, instant)
    assert future(session_factory, group)[1][0] == before[1][0]


def test_superfluous_records_are_removed(session_factory: Factory, group: PlanGroup) -> None:
    for _ in range(6):
        generate(session_factory, group)
    remove(session_factory, group, now(session_factory))
    assert records(session_factory, group).keys() == {1, 6}


class Life:
    """Random operations on a group, and the instants between them."""

    def __init__(self, factory: Factory, group: PlanGroup, seed: int) -> None:
        self._factory, self._group, self._random = factory, group, Random(seed)  # noqa: S311 - not for security
        self._exclusions: dict[date, Any] = {}
        others = [self._reschedule, self._move, self._finish, self._remove]
        self._steps: list[Callable[[Factory, PlanGroup], object]] = [
            *[self._generate] * 3, *[self._exclude] * 2, *[undo] * 2, redo, *others
        ]  # fmt: skip
        self.instants: list[datetime] = []

    def run(self, steps: int) -> None:
        generate(self._factory, self._group)
        for _ in range(steps):
            self.instants.append(now(self._factory))
            step = self._random.choice(self._steps)
            with suppress(DomainError):  # what is not possible now
                step(self._factory, self._group)
        self.instants.append(now(self._factory))

    def _day(self) -> date:
        return FIRST + timedelta(self._random.randrange(DAYS - 5))

    def _generate(self, *_: object) -> None:
        generate(self._factory, self._group, FIRST + timedelta(self._random.choice((0, 0, 0, 3))))

    def _reschedule(self, *_: object) -> None:
        reschedule(self._factory, self._group, FIRST)

    def _exclude(self, *_: object) -> None:
        if self._exclusions and self._random.random() < 0.5:
            include(self._factory, self._group, self._exclusions.popitem()[1])
        elif (day := self._day()) not in self._exclusions:
            self._exclusions[day] = exclude(self._factory, self._group, day)

    def _move(self, *_: object) -> None:
        if found := live(self._factory, self._group):
            plan, day = self._random.choice(found), self._random.randrange(DAYS)
            move(self._factory, self._group, plan, day)

    def _finish(self, *_: object) -> None:
        if found := live(self._factory, self._group):
            finish(self._factory, self._group, self._random.choice(found))

    def _remove(self, *_: object) -> None:
        remove(self._factory, self._group, self._random.choice(self.instants))


@pytest.mark.parametrize("seed", range(10))
def test_reschedule_undo_and_redo_are_the_same_after_a_removal(
    session_factory: Factory, group: PlanGroup, seed: int
) -> None:
    life = Life(session_factory, group, seed)
    life.run(14)
    plans, seen = state(session_factory, group), previews(session_factory, group)
    before = future(session_factory, group)
    for instant in (*life.instants[::4], life.instants[-1]):
        remove(session_factory, group, instant)
        assert previews(session_factory, group) == seen
        for old, new in zip(before, future(session_factory, group), strict=True):
            require_same_future(old, new)
    assert state(session_factory, group) == plans
