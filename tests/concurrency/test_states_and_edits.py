"""A group cannot be edited during a generation, nor generated during an edit."""

from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from domain import PlanGroupLock, PlanGroupLockedError, UnitOfWork, generate_plans
from domain.errors import EditedMeanwhileError
from domain.services import GroupEditService
from domain.testing import contend
from domain.testing.contention import advisory_locks
from tests.concurrency.overlapping import (
    Factory,
    Hold,
    in_another_thread,
    repeatedly,
    run_simultaneously,
)
from tests.integration.editing import CALLS, World, each_call, everything, lock_of, new_world
from tests.integration.storing import FIRST, generate, stored_group, traces


@pytest.fixture
def world(session_factory: Factory) -> World:
    return new_world(session_factory)


@each_call
def test_edit_is_refused_during_a_generation(
    engine: sa.Engine, session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)

    def edit_and_be_refused() -> None:
        with (
            pytest.raises(PlanGroupLockedError),
            UnitOfWork(session_factory, lock=lock_of(name, world)) as uow,
        ):
            CALLS[name](uow, world, 1)
        assert everything(session_factory) == before

    result = generate(
        session_factory, world.group, hold=lambda: in_another_thread(edit_and_be_refused)
    )
    assert result.generation == 2
    assert advisory_locks(engine) == 0


@each_call
def test_generation_is_refused_during_an_edit(
    engine: sa.Engine, session_factory: Factory, world: World, name: str
) -> None:
    def generation() -> object:
        return generate_plans(session_factory, world.lock, today=FIRST)

    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        CALLS[name](uow, world, 1)
        with pytest.raises(PlanGroupLockedError):
            in_another_thread(generation)
        assert everything(session_factory) == before
        uow.commit()
    assert advisory_locks(engine) == 0


def rename(factory: Factory, lock: PlanGroupLock, hold: Hold) -> str:
    with UnitOfWork(factory, lock=lock) as uow:
        GroupEditService(uow).change_settings(
            expected_version=1, name="새 이름", period_end=date(2025, 2, 2)
        )
        hold()
        uow.commit()
    return "edited"


@repeatedly
def test_edit_or_generation_is_refused_if_both_are_simultaneous(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    answers = run_simultaneously(
        lambda hold: rename(session_factory, PlanGroupLock(group.tenant_id, group.id), hold),
        lambda hold: generate(session_factory, group, hold=hold).generation,
    )
    (won,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    generation, records, plans = traces(engine, group.id)
    assert generation == len(records) == bool(plans) == (won == 1)


@repeatedly
def test_second_edit_of_the_same_version_is_refused(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    lock = PlanGroupLock(group.tenant_id, group.id, wait=timedelta(seconds=20))
    answers = contend(2, lambda _: rename(session_factory, lock, lambda: None))
    (refusal,) = answers.refusals
    assert answers.results == ["edited"]
    assert isinstance(refusal, EditedMeanwhileError)
    with engine.connect() as connection:
        found = connection.execute(
            sa.text("SELECT version FROM studyplan.plan_groups WHERE id = :id"), {"id": group.id}
        )
        assert found.scalar_one() == 2
