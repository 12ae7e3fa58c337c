"""Groups to contend for, and what is left of them in the database."""

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GenerationResult,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    UnitOfWork,
)
from domain.testing.contention import advisory_locks
from tests.factories import PlanGroupFactory

__all__ = ["TODAY", "advisory_locks", "generate", "live_plans", "stored_group", "traces"]

TODAY = date(2025, 1, 6)


def stored_group(factory: sessionmaker[Session], **fields: Any) -> PlanGroup:
    """A group that is committed; detached, with its columns loaded."""
    group = PlanGroupFactory.build(**fields)
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.session.expire_on_commit = False
        uow.groups.add(group)
        uow.commit()
    return group


def generate(
    factory: sessionmaker[Session],
    group: PlanGroup,
    hold: Callable[[], None] = lambda: None,
    today: date = TODAY,
) -> GenerationResult:
    """The whole flow through the service, held before its commit."""
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        result = PlanGenerationService(uow).generate(today=today)
        hold()
        uow.commit()
    return result


def live_plans(engine: sa.Engine, group_id: UUID) -> list[sa.Row[Any]]:
    """Every live plan of a group, in full, by time."""
    with engine.connect() as connection:
        return list(
            connection.execute(
                sa.text(
                    "SELECT * FROM studyplan.student_plans WHERE group_id = :group AND live "
                    "ORDER BY date, start_minute"
                ),
                {"group": group_id},
            )
        )


def traces(engine: sa.Engine, group_id: UUID) -> tuple[Any, ...]:
    """Everything that a generation leaves: the fence, the records, all plans."""
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
