"""Day shifts: a generation stores what it chooses, edits keep or clear it, versions stay."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    Content,
    GenerationResult,
    InvalidInputError,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanGroupService,
    UnitOfWork,
)
from domain.errors import GeneratedMeanwhileError
from domain.repositories import PlanGroupRepository
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Allocation, Request
from domain.services import GroupEditService, RowVersion, preview_plans
from tests.factories import ContentFactory
from tests.integration.asking import counted
from tests.integration.editing import everything
from tests.integration.storing import FIRST, dump, stored_group
from tests.unit.documents.documents import SMALL

Factory = sessionmaker[Session]
Compute = Callable[[Request], Schedule]


def shifting(**shifts: int) -> Compute:
    """Return a computation that chooses these shifts, such as ``at_1=2``, where none is stored."""

    def compute(request: Request) -> Schedule:
        stored = {
            content.position: content.day_shift
            for content in request.contents
            if content.day_shift is not None
        }
        chosen = {int(name.removeprefix("at_")): shift for name, shift in shifts.items()}
        return replace(schedule(request), day_shifts={**chosen, **stored})

    return compute


def strategy_book(position: int, **fields: Any) -> Content:
    defaults = {"allocation": Allocation.STRATEGY, "weekly_days": 3, "last_unit": 30}
    return ContentFactory.build(position=position, **{**defaults, **fields})


def mixed_group(factory: Factory, **fields: Any) -> PlanGroup:
    """Return a stored group with a weakness at 0, and strategy contents at 1, 2 and 5."""
    contents = [
        ContentFactory.build(position=0, last_unit=30),
        strategy_book(1),
        strategy_book(2, day_shift=4),
        strategy_book(5),
    ]
    return stored_group(factory, contents=contents, **fields)


def generate(
    factory: Factory, group: PlanGroup, compute: Compute, **options: Any
) -> GenerationResult:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        result = PlanGenerationService(uow, compute=compute).generate(today=FIRST, **options)
        uow.commit()
    return result


def stored(factory: Factory, group: PlanGroup) -> dict[int, tuple[int | None, int]]:
    """Return the shift and the version of each content by position."""
    with factory() as session:
        found = PlanGroupRepository(session, group.tenant_id).get(group.id).contents
        return {content.position: (content.day_shift, content.version) for content in found}


def edit(
    factory: Factory, group: PlanGroup, method: Callable[..., Any], **fields: Any
) -> RowVersion:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        written: RowVersion = method(GroupEditService(uow), **{"expected_version": 1, **fields})
        uow.commit()
    return written


CONTENT, SETTINGS = GroupEditService.change_content, GroupEditService.change_settings


def test_generation_stores_the_chosen_shifts_of_contents_that_have_none(
    session_factory: Factory,
) -> None:
    group = mixed_group(session_factory)
    others = mixed_group(session_factory, tenant_id=group.tenant_id)
    result = generate(session_factory, group, shifting(at_1=3, at_2=0, at_5=0))
    assert result.day_shifts == {1: 3, 2: 4, 5: 0}
    assert stored(session_factory, group) == {0: (None, 1), 1: (3, 1), 2: (4, 1), 5: (0, 1)}
    assert stored(session_factory, others)[1] == (None, 1)


def test_generation_does_not_replace_a_stored_shift(session_factory: Factory) -> None:
    group = mixed_group(session_factory)
    seen = []

    def choosing_again(request: Request) -> Schedule:
        seen.append({content.position: content.day_shift for content in request.contents})
        return replace(schedule(request), day_shifts={1: 0, 2: 0, 5: 1})

    generate(session_factory, group, shifting(at_1=3))
    generate(session_factory, group, choosing_again)
    assert seen == [{0: None, 1: 3, 2: 4, 5: None}]
    assert stored(session_factory, group) == {0: (None, 1), 1: (3, 1), 2: (4, 1), 5: (1, 1)}


def test_edit_with_the_version_read_before_a_generation_is_accepted(
    session_factory: Factory,
) -> None:
    group = mixed_group(session_factory)
    generate(session_factory, group, shifting(at_1=3, at_5=0))
    book = group.contents[1]
    assert edit(session_factory, group, CONTENT, content_id=book.id, title="국어").version == 2
    assert stored(session_factory, group)[1] == (3, 2)


def test_shift_that_is_set_to_null_is_chosen_again(session_factory: Factory) -> None:
    group = mixed_group(session_factory)
    generate(session_factory, group, shifting(at_1=3, at_5=0))
    edit(session_factory, group, CONTENT, content_id=group.contents[1].id, day_shift=None)
    assert stored(session_factory, group)[1] == (None, 2)
    assert generate(session_factory, group, shifting(at_1=2)).day_shifts == {1: 2, 2: 4, 5: 0}
    assert stored(session_factory, group)[1] == (2, 2)


def test_preview_has_the_chosen_shifts_and_stores_nothing(session_factory: Factory) -> None:
    group = mixed_group(session_factory)
    before = dump(session_factory, group.id)
    with session_factory() as session:
        shown = preview_plans(
            session,
            tenant_id=group.tenant_id,
            group_id=group.id,
            today=FIRST,
            compute=shifting(at_1=3, at_5=0),
        )
        session.commit()
    assert shown.day_shifts == {1: 3, 2: 4, 5: 0}
    assert dump(session_factory, group.id) == before


def test_repeated_result_has_the_shifts_of_the_first_one(session_factory: Factory) -> None:
    group = mixed_group(session_factory)
    first = generate(session_factory, group, shifting(at_1=3, at_5=0), idempotency_key="k")
    edit(session_factory, group, CONTENT, content_id=group.contents[1].id, day_shift=1)
    again = generate(session_factory, group, schedule, idempotency_key="k")
    assert again.repeated
    assert again == first
    assert again.day_shifts == {1: 3, 2: 4, 5: 0}


@pytest.mark.parametrize("count", [1, 9])
def test_storing_shifts_takes_one_round_trip_and_none_if_all_are_stored(
    database_url: sa.URL, session_factory: Factory, count: int
) -> None:
    group = stored_group(session_factory, contents=[strategy_book(at) for at in range(count)])
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    trips = []
    for compute in (schedule, shifting(**{f"at_{at}": at % 6 for at in range(count)})) * 2:
        with counted(engine) as found:
            generate(sessionmaker(engine), group, compute)
        trips.append(found.count)
    engine.dispose()
    # Only the first generation writes plans, and only the second one writes shifts.
    assert trips == [7, 6, 5, 5]
    assert {version for _, version in stored(session_factory, group).values()} == {1}


def test_objects_in_the_session_have_the_stored_shifts_after_the_commit(
    session_factory: Factory,
) -> None:
    fields = {**SMALL["contents"][0], "allocation": "strategy", "weekly_days": 2}
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        group = PlanGroupService(uow).create(
            {**SMALL, "contents": [fields, fields]}, student_id=uuid4(), status="saved"
        )
        PlanGenerationService(uow, compute=shifting(at_0=5, at_1=1)).generate(today=FIRST)
        service = GroupEditService(uow)
        service.change_settings(expected_version=1, study_days=5)
        service.change_content(content_id=group.contents[1].id, expected_version=1, title="국어")
        uow.commit()
    assert [content.day_shift for content in group.contents] == [None, 1]
    assert stored(session_factory, group) == {0: (None, 1), 1: (1, 2)}


def test_generation_that_fails_stores_no_shift(
    session_factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = mixed_group(session_factory)
    before = dump(session_factory, group.id)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("domain.repositories.plan_writing.copy_rows", fail)
    with pytest.raises(ZeroDivisionError):
        generate(session_factory, group, shifting(at_1=3, at_5=0))
    assert dump(session_factory, group.id) == before


def test_generation_is_refused_if_another_client_has_set_a_shift_meanwhile(
    session_factory: Factory,
) -> None:
    """The other client writes without the lock."""
    group = mixed_group(session_factory)

    def meanwhile(request: Request) -> Schedule:
        with session_factory.begin() as session:
            text = "UPDATE studyplan.contents SET day_shift = 1 WHERE id = :id"
            session.execute(sa.text(text), {"id": group.contents[1].id})
        return shifting(at_1=3, at_5=0)(request)

    with pytest.raises(GeneratedMeanwhileError):
        generate(session_factory, group, meanwhile)
    assert stored(session_factory, group) == {0: (None, 1), 1: (1, 1), 2: (4, 1), 5: (None, 1)}
    with session_factory() as session:
        assert PlanGroupRepository(session, group.tenant_id).get(group.id).generation == 0


def test_content_that_becomes_a_weakness_loses_its_shift(session_factory: Factory) -> None:
    group = mixed_group(session_factory)
    fields: dict[str, Any] = {"allocation": "weakness", "weekly_days": None}
    edit(session_factory, group, CONTENT, content_id=group.contents[2].id, **fields)
    edit(session_factory, group, CONTENT, content_id=group.contents[1].id, **fields, day_shift=None)
    assert stored(session_factory, group) == {
        0: (None, 1),
        1: (None, 2),
        2: (None, 2),
        5: (None, 1),
    }


def test_content_that_gets_other_weekly_days_keeps_its_shift(session_factory: Factory) -> None:
    group = mixed_group(session_factory)
    edit(session_factory, group, CONTENT, content_id=group.contents[2].id, weekly_days=2)
    assert stored(session_factory, group)[2] == (4, 2)


def test_shift_is_cleared_if_the_cycle_gets_too_short_for_it(session_factory: Factory) -> None:
    group = mixed_group(session_factory)
    other = mixed_group(session_factory, tenant_id=group.tenant_id)
    generate(session_factory, group, shifting(at_1=3, at_5=0))
    written = edit(session_factory, group, SETTINGS, study_days=5)
    assert stored(session_factory, group) == {0: (None, 1), 1: (3, 1), 2: (4, 1), 5: (0, 1)}
    edit(session_factory, group, SETTINGS, expected_version=written.version, study_days=3)
    assert stored(session_factory, group) == {0: (None, 1), 1: (None, 1), 2: (None, 1), 5: (0, 1)}
    assert stored(session_factory, other)[2] == (4, 1)
    assert generate(session_factory, group, shifting(at_1=2, at_2=1)).day_shifts == {
        1: 2, 2: 1, 5: 0,
    }  # fmt: skip


def test_shift_stays_if_the_shorter_cycle_is_refused(session_factory: Factory) -> None:
    group = mixed_group(session_factory)
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        loaded = uow.groups.get(group.id)
        wrong: list[dict[str, Any]] = [{"study_days": 0}, {"study_days": 3, "buffer_days": 731}]
        for fields in wrong:
            with pytest.raises(InvalidInputError):
                GroupEditService(uow).change_settings(expected_version=1, **fields)
            assert loaded.contents[2].day_shift == 4
        uow.commit()
    assert everything(session_factory) == before


def test_shorter_cycle_that_is_rolled_back_keeps_the_shift(session_factory: Factory) -> None:
    group = mixed_group(session_factory)
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        GroupEditService(uow).change_settings(expected_version=1, study_days=3)
        uow.rollback()
    assert everything(session_factory) == before


def test_generation_plans_with_the_stored_shift(session_factory: Factory) -> None:
    """The planning request has the settings of the group and of its contents."""
    group = mixed_group(session_factory, period_end=date(2025, 1, 18), buffer_days=3)
    seen: list[Request] = []

    def record(request: Request) -> Schedule:
        seen.append(request)
        return schedule(request)

    generate(session_factory, group, record)
    assert [content.day_shift for content in seen[0].contents] == [None, None, 4, None]
    assert seen[0].buffer_days == 3
