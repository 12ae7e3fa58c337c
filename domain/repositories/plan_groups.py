"""Plan groups."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from domain.errors import PlanGroupNotFoundError
from domain.models import Content, PlanGeneration, PlanGroup
from domain.repositories.snapshot import PlanningSnapshot, load_snapshot


class PlanGroupRepository:
    """Groups of a tenant; another tenant's groups are not found."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, group: PlanGroup) -> None:
        """Store a new group with its contents and weekly time at the next flush.

        Raises ``InvalidInputError`` and stores nothing if a rule is broken.
        """
        group.check()
        self._session.add(group)

    def get(self, tenant_id: UUID, group_id: UUID) -> PlanGroup:
        """The group with everything it owns loaded. Raises ``PlanGroupNotFoundError``."""
        group = self._session.scalars(
            select(PlanGroup)
            .where(PlanGroup.tenant_id == tenant_id, PlanGroup.id == group_id)
            .options(
                selectinload(PlanGroup.contents).selectinload(Content.episodes),
                selectinload(PlanGroup.blocks),
                selectinload(PlanGroup.non_study_blocks),
            )
        ).one_or_none()
        if group is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        return group

    def of_student(self, tenant_id: UUID, student_id: UUID) -> Sequence[PlanGroup]:
        """The student's groups by start of period."""
        return self._session.scalars(
            select(PlanGroup)
            .where(PlanGroup.tenant_id == tenant_id, PlanGroup.student_id == student_id)
            .order_by(PlanGroup.period_start, PlanGroup.id)
        ).all()

    def snapshot(self, tenant_id: UUID, group_id: UUID) -> PlanningSnapshot:
        """All that planning needs, read by one statement. Raises ``PlanGroupNotFoundError``."""
        snapshot = load_snapshot(self._session, tenant_id, group_id)
        if snapshot is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        return snapshot

    def generations(self, tenant_id: UUID, group_id: UUID) -> Sequence[PlanGeneration]:
        """The records of the group's generations, the newest first."""
        return self._session.scalars(
            select(PlanGeneration)
            .where(PlanGeneration.tenant_id == tenant_id, PlanGeneration.group_id == group_id)
            .order_by(PlanGeneration.number.desc())
        ).all()
