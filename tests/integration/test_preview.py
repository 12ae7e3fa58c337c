"""A preview computes the plans of a generation without its lock, and stores nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, GroupStatus, PlanGroup, PlanGroupLock, PlanState, UnitOfWork
from domain.errors import PlanGroupNotFoundError, PlanGroupNotGeneratableError
from domain.services import preview_plans
from tests.integration.asking import locks_held
from tests.integration.storing import (
    FIRST,
    change,
    done_by,
    dump,
    generate,
    live,
    mark,
    overfull_group,
)

Factory = sessionmaker[Session]
HAS_WRITTEN = sa.text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")


def preview(factory: Factory, group: PlanGroup, today: date = FIRST) -> GenerationResult:
    with factory() as session:
        return preview_plans(session, tenant_id=group.tenant_id, group_id=group.id, today=today)


@contextmanager
def statements(engine: sa.Engine) -> Iterator[list[str]]:
    """Record the statements that SQLAlchemy sends in the block."""
    sent: list[str] = []

    def record(*arguments: object) -> None:
        sent.append(str(arguments[2]))

    sa.event.listen(engine, "before_cursor_execute", record)
    yield sent
    sa.event.remove(engine, "before_cursor_execute", record)


def test_preview_equals_the_result_that_generate_then_returns(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group)
    first, second, *_ = live(session_factory, group)
    mark(session_factory, first, **done_by(PlanState.DONE))
    mark(session_factory, second, pinned=True)
    today = FIRST + timedelta(3)
    previewed, generated = preview(session_factory, group, today), None
    generated = generate(session_factory, group, today)
    assert previewed.plans == generated.plans
    assert previewed.unplaced == generated.unplaced
    assert previewed.warnings == generated.warnings
    assert previewed.quality == generated.quality
    assert previewed.content_ids == generated.content_ids
    assert previewed.group_id == generated.group_id
    assert (previewed.generation, previewed.plan_ids) == (None, ())


def test_preview_explains_unplaced_units_as_generate_does(session_factory: Factory) -> None:
    group = overfull_group(session_factory)
    previewed = preview(session_factory, group)
    generated = generate(session_factory, group)
    assert previewed.certificate
    assert previewed.repairs
    assert (previewed.certificate, previewed.repairs) == (generated.certificate, generated.repairs)


def test_preview_writes_nothing_and_acquires_no_lock(
    session_factory: Factory, group: PlanGroup
) -> None:
    before = dump(session_factory, group.id)
    with session_factory() as session:
        preview_plans(session, tenant_id=group.tenant_id, group_id=group.id, today=FIRST)
        assert session.scalar(HAS_WRITTEN) is False
        assert locks_held(session.connection()) == 0
        assert [*session.new, *session.dirty, *session.deleted] == []
        session.commit()
    assert dump(session_factory, group.id) == before


def test_preview_sends_one_statement(
    engine: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with statements(engine) as sent:
        preview(session_factory, group)
    assert len(sent) == 1


def test_preview_does_not_wait_for_the_holder_of_the_lock(
    session_factory: Factory, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)):
        assert preview(session_factory, group).plans


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "REPEATABLE READ", "SERIALIZABLE"])
def test_preview_works_at_every_isolation_level(
    engine: sa.Engine, session_factory: Factory, group: PlanGroup, level: str
) -> None:
    other = sessionmaker(engine.execution_options(isolation_level=level))
    assert preview(other, group) == preview(session_factory, group)


def test_preview_sees_uncommitted_changes_of_its_own_transaction(
    session_factory: Factory, group: PlanGroup
) -> None:
    with session_factory() as session:
        session.execute(
            sa.text("UPDATE studyplan.contents SET last_unit = 7 WHERE group_id = :id"),
            {"id": group.id},
        )
        shorter = preview_plans(session, tenant_id=group.tenant_id, group_id=group.id, today=FIRST)
    assert max(plan.last_unit for plan in shorter.plans) == 7
    assert max(plan.last_unit for plan in preview(session_factory, group).plans) == 100


@pytest.mark.parametrize("status", [GroupStatus.DRAFT, GroupStatus.PAUSED])
def test_preview_is_refused_in_a_state_that_refuses_a_generation(
    session_factory: Factory, group: PlanGroup, status: GroupStatus
) -> None:
    change(session_factory, group, status=status)
    with pytest.raises(PlanGroupNotGeneratableError):
        preview(session_factory, group)


def test_preview_of_another_tenants_group_raises_not_found(
    session_factory: Factory, group: PlanGroup
) -> None:
    with session_factory() as session, pytest.raises(PlanGroupNotFoundError):
        preview_plans(session, tenant_id=uuid4(), group_id=group.id, today=FIRST)
