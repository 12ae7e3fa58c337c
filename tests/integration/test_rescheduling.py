"""The reschedule of stored plans: what is written, what stays, and what is refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGroup, PlanGroupLock, PlanState
from domain.errors import (
    DomainError,
    EditedMeanwhileError,
    IdempotencyMismatchError,
    InvalidInputError,
    PlanGroupLockedError,
    PlanGroupNotFoundError,
    PlanGroupNotGeneratableError,
)
from domain.models.plan import RetiredAs, RunKind
from domain.repositories import HistoryRepository
from domain.scheduling.difference import PlanChanges
from domain.services import UndoService, preview_reschedule, reschedule_plans
from tests.integration.storing import (
    FIRST,
    book_group,
    change,
    columns,
    done_by,
    dump,
    enter,
    fresh_ids,
    generate,
    ids_of,
    live,
    mark,
    plans,
    ranges,
    unit_of_work,
)

Factory = sessionmaker[Session]
NEXT_DAY = FIRST + timedelta(1)
NO_DATE: Any = "tomorrow"


def reschedule(
    factory: Factory, group: PlanGroup, today: date = NEXT_DAY, **options: Any
) -> GenerationResult:
    return reschedule_plans(
        factory, PlanGroupLock(group.tenant_id, group.id), today=today, **options
    )


def preview(
    factory: Factory, group: PlanGroup, today: date = NEXT_DAY, **options: Any
) -> GenerationResult:
    given = {**ids_of(group), "today": today, **options}
    with factory() as session:
        return preview_reschedule(session, **given)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group with one book whose plans were generated."""
    group = book_group(session_factory)
    generate(session_factory, group)
    return group


def test_reschedule_writes_no_plan_if_nothing_has_happened(
    session_factory: Factory, group: PlanGroup
) -> None:
    before = [columns(row) for row in plans(session_factory, group)]
    result = reschedule(session_factory, group, today=FIRST)
    assert [columns(row) for row in plans(session_factory, group)] == before
    assert result.changes == PlanChanges(kept=len(before))
    assert result.generation == 2


def test_missed_day_is_caught_up_on_the_next_days_and_other_plans_stay(
    session_factory: Factory, group: PlanGroup
) -> None:
    # A day gets at most 1.5 times the minutes of the fullest one, so it takes two days.
    missed, second, third, *later = live(session_factory, group)
    following = [second, third]
    assert missed.date == FIRST
    result = reschedule(session_factory, group)
    after = {row.id: columns(row) for row in live(session_factory, group)}
    assert [after.get(row.id) for row in later] == [columns(row) for row in later]
    rows = plans(session_factory, group, generation=2)
    assert ranges(rows) == [(1, 13), (14, later[0].first_unit - 1)]
    assert [row.date for row in rows] == [row.date for row in following]
    assert {row.lineage for row in rows} <= {missed.lineage, *(row.lineage for row in following)}
    retired = {row.id: row.retired_as for row in plans(session_factory, group, live=False)}
    assert retired == {
        missed.id: RetiredAs.MISSED,
        **{row.id: RetiredAs.REPLACED for row in following},
    }
    assert result.changes == PlanChanges(kept=len(later), moved=2, dropped=1)


def test_result_has_the_old_and_the_new_place_of_what_has_moved(
    session_factory: Factory, group: PlanGroup
) -> None:
    missed, second, third, *later = live(session_factory, group)
    difference = reschedule(session_factory, group).difference
    assert difference is not None
    assert {old.id for old, _ in difference.moved} <= {missed.id, second.id, third.id}
    assert [(new.date, new.first_unit) for _, new in difference.moved] == [
        (second.date, missed.first_unit),
        (third.date, 14),
    ]
    assert [stored.id for stored, _ in difference.kept] == [row.id for row in later]
    assert (len(difference.new), len(difference.dropped)) == (0, 1)


def test_result_has_the_quality_before_and_after(
    session_factory: Factory, group: PlanGroup
) -> None:
    with session_factory() as session:
        preview = preview_reschedule(
            session, tenant_id=group.tenant_id, group_id=group.id, today=NEXT_DAY
        )
    result = reschedule(session_factory, group, idempotency_key="1")
    before, after = result.quality_before, result.quality
    assert before is not None
    assert (before.peak, after.peak) == (54, 78)
    assert preview.quality_before == before
    assert reschedule(session_factory, group, idempotency_key="1").quality_before is None


def test_second_reschedule_of_a_day_writes_no_plan(
    session_factory: Factory, group: PlanGroup
) -> None:
    reschedule(session_factory, group)
    before = [columns(row) for row in plans(session_factory, group)]
    assert reschedule(session_factory, group).changes.kept == len(live(session_factory, group))
    assert [columns(row) for row in plans(session_factory, group)] == before


def test_undo_of_a_reschedule_restores_every_column(
    session_factory: Factory, group: PlanGroup
) -> None:
    before = {row.id: columns(row) for row in live(session_factory, group)}
    reschedule(session_factory, group)
    with unit_of_work(session_factory, group) as uow:
        UndoService(uow).undo()
        uow.commit()
    assert {row.id: columns(row) for row in live(session_factory, group)} == before


def test_done_started_pinned_and_frozen_plans_are_not_touched(
    session_factory: Factory, group: PlanGroup
) -> None:
    rows = live(session_factory, group)
    mark(session_factory, rows[1], **done_by(PlanState.DONE))
    mark(session_factory, rows[2], **done_by(PlanState.STARTED))
    mark(session_factory, rows[3], pinned=True)
    kept = {row.id: columns(row) for row in live(session_factory, group)[1:5]}
    reschedule(session_factory, group, frozen_until=rows[4].date + timedelta(1))
    after = {row.id: columns(row) for row in live(session_factory, group)}
    assert kept.items() <= after.items()


def test_history_and_preview_of_a_reschedule(session_factory: Factory, group: PlanGroup) -> None:
    shown = preview(session_factory, group)
    result = reschedule(session_factory, group, requested_by="김선생")
    assert (shown.plans, shown.changes) == (result.plans, result.changes)
    with session_factory() as session:
        run, first = HistoryRepository(session, group.tenant_id).runs(group.id)
    assert (run.kind, run.requested_by, run.changes) == (
        RunKind.RESCHEDULED,
        "김선생",
        result.changes,
    )
    assert first.kind is RunKind.GENERATED


def test_repeated_key_returns_the_first_result(session_factory: Factory, group: PlanGroup) -> None:
    first = reschedule(session_factory, group, idempotency_key="once")
    again = reschedule(session_factory, group, idempotency_key="once")
    assert again == first
    assert again.repeated
    with pytest.raises(IdempotencyMismatchError):
        reschedule(session_factory, group, idempotency_key="once", catch_up="spread")


Refused = tuple[Callable[[Factory, PlanGroup], object], type[DomainError], str | None]
REFUSED: dict[str, Refused] = {
    "frozen_until after the period": (
        lambda f, g: reschedule(f, g, frozen_until=g.period_end + timedelta(1)),
        InvalidInputError,
        "frozen_until",
    ),
    "frozen_until that is no date": (
        lambda f, g: reschedule(f, g, frozen_until=NO_DATE),
        InvalidInputError,
        "frozen_until",
    ),
    "unknown catch_up": (
        lambda f, g: reschedule(f, g, catch_up="never"),
        InvalidInputError,
        "catch_up",
    ),
    "today that is no date": (
        lambda f, g: reschedule(f, g, today=NO_DATE),
        InvalidInputError,
        "today",
    ),
    "today with a time": (
        lambda f, g: reschedule(f, g, today=datetime(2025, 1, 7)),  # noqa: DTZ001 - it is refused
        InvalidInputError,
        "today",
    ),
    "negative expected_generation": (
        lambda f, g: reschedule(f, g, expected_generation=-1),
        InvalidInputError,
        "expected_generation",
    ),
    "empty idempotency_key": (
        lambda f, g: reschedule(f, g, idempotency_key=""),
        InvalidInputError,
        "idempotency_key",
    ),
    "requested_by that is too long": (
        lambda f, g: reschedule(f, g, requested_by="가" * 201),
        InvalidInputError,
        "requested_by",
    ),
    "fingerprint that is no text": (
        lambda f, g: reschedule(f, g, fingerprint=7),
        InvalidInputError,
        "fingerprint",
    ),
    "fingerprint of another day": (
        lambda f, g: reschedule(f, g, fingerprint=preview(f, g, FIRST).fingerprint),
        EditedMeanwhileError,
        None,
    ),
    "fingerprint of another way to catch up": (
        lambda f, g: reschedule(f, g, catch_up="spread", fingerprint=preview(f, g).fingerprint),
        EditedMeanwhileError,
        None,
    ),
    "shared lock": (
        lambda f, g: reschedule_plans(
            f, PlanGroupLock(g.tenant_id, g.id, shared=True), today=NEXT_DAY
        ),
        InvalidInputError,
        "lock",
    ),
    "another tenant": (
        lambda f, g: reschedule_plans(f, PlanGroupLock(uuid4(), g.id), today=NEXT_DAY),
        PlanGroupNotFoundError,
        None,
    ),
    "preview of another tenant": (
        lambda f, g: preview(f, g, tenant_id=uuid4()),
        PlanGroupNotFoundError,
        None,
    ),
    "preview with frozen_until after the period": (
        lambda f, g: preview(f, g, frozen_until=g.period_end + timedelta(1)),
        InvalidInputError,
        "frozen_until",
    ),
    "preview with an unknown catch_up": (
        lambda f, g: preview(f, g, catch_up="never"),
        InvalidInputError,
        "catch_up",
    ),
    "old expected_generation": (
        lambda f, g: reschedule(f, g, expected_generation=0),
        EditedMeanwhileError,
        None,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_reschedule_writes_nothing(
    session_factory: Factory, group: PlanGroup, case: str
) -> None:
    call, error, field = REFUSED[case]
    before = dump(session_factory, group.id)
    with pytest.raises(error) as refused:
        call(session_factory, group)
    assert getattr(refused.value, "field", None) == field
    assert dump(session_factory, group.id) == before


def test_frozen_until_may_be_before_the_period_but_not_after_it(
    session_factory: Factory, group: PlanGroup
) -> None:
    reschedule(session_factory, group, frozen_until=group.period_start - timedelta(1))
    with pytest.raises(InvalidInputError, match="must not be after the end of the period"):
        reschedule(session_factory, group, frozen_until=group.period_end + timedelta(1))


def test_paused_group_is_not_rescheduled(session_factory: Factory, group: PlanGroup) -> None:
    change(session_factory, group, status="paused")
    with pytest.raises(PlanGroupNotGeneratableError):
        reschedule(session_factory, group)


def test_reschedule_is_refused_while_the_lock_is_held(
    session_factory: Factory, group: PlanGroup
) -> None:
    with unit_of_work(session_factory, group), ThreadPoolExecutor() as threads:
        other = threads.submit(reschedule, session_factory, group)
        with pytest.raises(PlanGroupLockedError):
            other.result()
    enter(session_factory, PlanGroupLock(group.tenant_id, group.id))


def test_reschedule_leaves_the_time_of_the_students_other_groups(session_factory: Factory) -> None:
    whose = fresh_ids()
    group, other = book_group(session_factory, **whose), book_group(session_factory, **whose)
    generate(session_factory, group)
    generate(session_factory, other)
    reschedule(session_factory, group)
    spans = sorted(
        (row.date, row.start_minute, row.end_minute)
        for row in (*live(session_factory, group), *live(session_factory, other))
    )
    assert all(a[0] < b[0] or a[2] <= b[1] for a, b in pairwise(spans))
