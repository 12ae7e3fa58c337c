"""Plan groups."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, case, delete, select, tuple_, update
from sqlalchemy.orm import Session, aliased, selectinload

from domain.database_errors import translated
from domain.errors import InvalidInputError, PlanGroupNotFoundError
from domain.locking import guards
from domain.models import Content, GroupStatus, PlanGeneration, PlanGroup
from domain.repositories.snapshot import PlanningSnapshot, load_snapshot


@guards.one_call_at_a_time
class PlanGroupRepository:
    """Groups of a tenant; another tenant's groups are not found."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, group: PlanGroup) -> None:
        """Store a new group with its contents and weekly time at the next flush.

        Raises ``InvalidInputError`` and stores nothing if a rule is broken, and
        ``LockNotHeldError`` outside a unit of work that holds the new group's lock.
        """
        group.check()
        guards.require_lock(self._session, group.id)
        self._session.add(group)

    @translated()
    def get(self, tenant_id: UUID, group_id: UUID) -> PlanGroup:
        """The group with everything it owns loaded. Raises ``PlanGroupNotFoundError``."""
        InvalidInputError.unless_uuids(tenant_id=tenant_id, group_id=group_id)
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

    @translated()
    def alone(self, tenant_id: UUID, group_id: UUID) -> PlanGroup:
        """The group's own row, read anew. Raises ``PlanGroupNotFoundError``."""
        InvalidInputError.unless_uuids(tenant_id=tenant_id, group_id=group_id)
        group = self._session.scalars(
            select(PlanGroup)
            .where(PlanGroup.tenant_id == tenant_id, PlanGroup.id == group_id)
            .execution_options(populate_existing=True)
        ).one_or_none()
        if group is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        return group

    @translated()
    def active_beside(self, tenant_id: UUID, group_id: UUID) -> UUID | None:
        """The other group of the same student that is active, if there is one.

        Raises ``PlanGroupNotFoundError``. Without the student's lock the answer is outdated
        as soon as it is given.
        """
        InvalidInputError.unless_uuids(tenant_id=tenant_id, group_id=group_id)
        other = aliased(PlanGroup)
        found = self._session.execute(
            select(other.id)
            .select_from(PlanGroup)
            .outerjoin(
                other,
                and_(
                    other.tenant_id == PlanGroup.tenant_id,
                    other.student_id == PlanGroup.student_id,
                    other.status == GroupStatus.ACTIVE,
                    other.id != PlanGroup.id,
                ),
            )
            .where(PlanGroup.tenant_id == tenant_id, PlanGroup.id == group_id)
        ).one_or_none()
        if found is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        active: UUID | None = found[0]
        return active

    @translated()
    def of_student(self, tenant_id: UUID, student_id: UUID) -> Sequence[PlanGroup]:
        """The student's groups by start of period."""
        return self._session.scalars(
            select(PlanGroup)
            .where(PlanGroup.tenant_id == tenant_id, PlanGroup.student_id == student_id)
            .order_by(PlanGroup.period_start, PlanGroup.id)
        ).all()

    @translated()
    def snapshot(self, tenant_id: UUID, group_id: UUID) -> PlanningSnapshot:
        """All that planning needs, read by one statement. Raises ``PlanGroupNotFoundError``."""
        InvalidInputError.unless_uuids(tenant_id=tenant_id, group_id=group_id)
        snapshot = load_snapshot(self._session, tenant_id, group_id)
        if snapshot is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        return snapshot

    @translated()
    def generations(self, tenant_id: UUID, group_id: UUID) -> Sequence[PlanGeneration]:
        """The records of the group's generations, the newest first."""
        return self._session.scalars(
            select(PlanGeneration)
            .where(PlanGeneration.tenant_id == tenant_id, PlanGeneration.group_id == group_id)
            .order_by(PlanGeneration.number.desc())
        ).all()

    def move_contents(
        self, tenant_id: UUID, group_id: UUID, moves: Mapping[tuple[UUID, int], int]
    ) -> bool:
        """Give contents, by id and version, new positions, and raise their versions.

        ``False`` if one of them is not there in its version. One statement: positions are
        unique, and row by row two would meet half-way. Raises ``LockNotHeldError``.
        """
        guards.require_lock(self._session, group_id)
        positions = {content_id: position for (content_id, _), position in moves.items()}
        statement = (
            update(Content)
            .where(
                Content.tenant_id == tenant_id,
                Content.group_id == group_id,
                tuple_(Content.id, Content.version).in_(moves),
            )
            .values(position=case(positions, value=Content.id), version=Content.version + 1)
            .execution_options(synchronize_session="fetch")
        )
        with translated(self._connection(), group_id=group_id):
            moved: Any = self._session.execute(statement)
        return bool(moved.rowcount == len(moves))

    def remove(self, tenant_id: UUID, group_id: UUID, version: int) -> bool:
        """Delete the group with everything it owns, plans and records of generations too.

        ``False`` if the tenant has no such group in this version. Raises
        ``LockNotHeldError``; the caller holds the student's lock too.
        """
        guards.require_lock(self._session, group_id)
        statement = delete(PlanGroup).where(
            PlanGroup.tenant_id == tenant_id,
            PlanGroup.id == group_id,
            PlanGroup.version == version,
        )
        with translated(self._connection(), group_id=group_id):
            removed: Any = self._session.execute(statement)
        return bool(removed.rowcount)

    def _connection(self) -> Connection:
        return self._session.connection(bind_arguments={"mapper": PlanGroup})
