"""The database as the last line of defence: what it refuses if no lock is acquired."""

import threading
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGenerationService, PlanGroup, PlanGroupLock, UnitOfWork
from domain.errors import GeneratedMeanwhileError, StudentPlansOverlapError
from domain.locking import acquiring
from domain.locking.acquiring import Acquired
from domain.locking.statements import IDENTITY
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request
from domain.testing import contend
from domain.testing.contention import TIMEOUT
from tests.integration.storing import FIRST, stored_group, traces


@pytest.fixture
def no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report every lock as acquired without acquiring it; the transaction begins as usual."""

    def pretend(connection: sa.Connection, _: Any, *, identity: str, **__: Any) -> Acquired:
        connection.execute(sa.select(sa.func.set_config(IDENTITY, identity, sa.true())))
        return Acquired()

    def students_of(
        connection: sa.Connection,
        tenant_id: UUID,
        *_: Any,
        asked_for: UUID,
        renewed: str,
        **__: Any,
    ) -> dict[UUID, UUID]:
        connection.execute(sa.select(sa.func.set_config(IDENTITY, renewed, sa.true())))
        found = connection.execute(
            sa.text(
                "SELECT student_id FROM studyplan.plan_groups "
                "WHERE tenant_id = :tenant AND id = :id"
            ),
            {"tenant": tenant_id, "id": asked_for},
        )
        return {asked_for: found.scalar_one()}

    monkeypatch.setattr(acquiring, "acquire", pretend)
    monkeypatch.setattr(acquiring, "acquire_students", students_of)


@pytest.mark.usefixtures("no_lock")
def test_simultaneous_generations_leave_one_set_of_plans(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = stored_group(session_factory)
    both_have_read = threading.Barrier(2)
    answers = contend(2, lambda _: _generate(session_factory, group, both_have_read))
    (result,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, GeneratedMeanwhileError)
    generation, records, plans = traces(engine, group.id)
    assert generation == len(records) == 1
    assert {row.id for row in plans} == set(result.plan_ids)


@pytest.mark.usefixtures("no_lock")
def test_groups_of_one_student_cannot_have_plans_at_the_same_time(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    one = stored_group(session_factory)
    other = stored_group(session_factory, tenant_id=one.tenant_id, student_id=one.student_id)
    remaining, both_have_read = iter((one, other)), threading.Barrier(2)
    answers = contend(2, lambda _: _generate(session_factory, next(remaining), both_have_read))
    (result,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, StudentPlansOverlapError)
    loser = other if result.group_id == one.id else one
    assert traces(engine, loser.id) == (0, [], [])


def _generate(
    factory: sessionmaker[Session], group: PlanGroup, both_have_read: threading.Barrier
) -> GenerationResult:
    def compute(request: Request) -> Schedule:
        both_have_read.wait(TIMEOUT)
        return schedule(request)

    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        result = PlanGenerationService(uow, compute=compute).generate(today=FIRST)
        uow.commit()
    return result
