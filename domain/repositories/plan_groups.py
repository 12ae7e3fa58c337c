"""Plan groups."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    case,
    delete,
    inspect,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session, aliased, make_transient_to_detached, selectinload

from domain import models, values
from domain.database_errors import translated
from domain.driver import pipelined
from domain.errors import InvalidInputError, PlanGroupNotFoundError
from domain.locking import guards
from domain.models import PlanGroup
from domain.models.fields import refuse_unstorable
from domain.repositories.snapshot import PlanningSnapshot, load_snapshot

MAX_PAGE: Final = 500
"""The most groups on a page."""


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Some groups in their order; ``next_page`` asks for the following ones, if there are any."""

    groups: tuple[PlanGroup, ...]
    next_page: str | None


@guards.serialize_calls
class PlanGroupRepository:
    """Groups of a tenant; another tenant's groups are not found."""

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        InvalidInputError.require_uuids(tenant_id=tenant_id)
        self._session = session
        self._tenant_id = tenant_id

    def add(self, group: PlanGroup) -> None:
        """Store a new group with its contents and weekly time at the next flush.

        Checked like a document: words become members of their enums, and what may be left
        out is filled in (``PlanGroup.check``). Raises ``InvalidInputError`` with every field
        invalid, also if the group is another tenant's, and stores nothing then;
        ``LockNotHeldError`` outside a unit of work that holds the new group's lock.
        """
        self._require_storable(group)
        self._flush_what_it_may_refer_to()
        self._session.add(group)

    def insert(self, group: PlanGroup, exclusions: Sequence[models.Exclusion] = ()) -> None:
        """Store a new group at once, with all it owns and its exclusions, in one round trip.

        Checks and raises what ``add`` does, and ``InvalidInputError`` (``id``) if there is such
        a group already.
        """
        self._require_storable(group)
        refuse_unstorable(exclusions)
        self._flush_what_it_may_refer_to()
        group.assign_keys()
        rows = [*group.owned_rows(), *exclusions]
        connection = self._connection()
        with translated(connection, group_id=group.id):
            _insert_new(self._session, connection, rows)

    @translated()
    def get(self, group_id: UUID) -> PlanGroup:
        """The group with everything it owns loaded. Raises ``PlanGroupNotFoundError``."""
        group = self._session.scalars(
            select(PlanGroup)
            .where(*self._own(group_id))
            .options(
                self._load(PlanGroup.contents, models.Content).options(
                    self._load(models.Content.episodes, models.LectureEpisode)
                ),
                self._load(PlanGroup.blocks, models.Block),
                self._load(PlanGroup.non_study_blocks, models.NonStudyBlock),
            )
        ).one_or_none()
        if group is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        return group

    @translated()
    def get_row(self, group_id: UUID) -> PlanGroup:
        """The group's own row, read anew. Raises ``PlanGroupNotFoundError``."""
        group = self._session.scalars(
            select(PlanGroup).where(*self._own(group_id)).execution_options(populate_existing=True)
        ).one_or_none()
        if group is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        return group

    @translated()
    def find_other_active(self, group_id: UUID) -> UUID | None:
        """The other group of the same student that is active, if there is one.

        Raises ``PlanGroupNotFoundError``. Without the student's lock the answer is outdated
        as soon as it is given.
        """
        other = aliased(PlanGroup)
        found = self._session.execute(
            select(other.id)
            .select_from(PlanGroup)
            .outerjoin(
                other,
                and_(
                    other.tenant_id == self._tenant_id,
                    other.student_id == PlanGroup.student_id,
                    other.status == models.GroupStatus.ACTIVE,
                    other.id != PlanGroup.id,
                ),
            )
            .where(*self._own(group_id))
        ).one_or_none()
        if found is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        active: UUID | None = found[0]
        return active

    @translated()
    def of_student(self, student_id: UUID) -> Sequence[PlanGroup]:
        """The student's groups by start of period."""
        InvalidInputError.require_uuids(student_id=student_id)
        return self._session.scalars(
            select(PlanGroup)
            .where(PlanGroup.tenant_id == self._tenant_id, PlanGroup.student_id == student_id)
            .order_by(PlanGroup.period_start, PlanGroup.id)
        ).all()

    @translated()
    def page(
        self,
        *,
        student_id: UUID | None = None,
        statuses: Collection[models.GroupStatus | str] = (),
        limit: int = 50,
        after: str | None = None,
    ) -> GroupPage:
        """A page of the tenant's groups, or of one student's, by start of period.

        Of these ``statuses``, or of all without any. ``after`` is the ``next_page`` of the page
        before. One statement; what a group owns is loaded only when it is read. Raises
        ``InvalidInputError``.
        """
        values.checked("limit", values.integer(1, MAX_PAGE), limit)
        read = values.member(models.GroupStatus)
        # A text is a collection of its letters.
        listed = [statuses] if isinstance(statuses, str) else statuses
        wanted = [values.checked("statuses", read, status) for status in listed]
        query = select(PlanGroup).where(PlanGroup.tenant_id == self._tenant_id)
        if student_id is not None:
            InvalidInputError.require_uuids(student_id=student_id)
            query = query.where(PlanGroup.student_id == student_id)
        if wanted:
            query = query.where(PlanGroup.status.in_(wanted))
        if after is not None:
            start, last_id = values.checked("after", _position, after)
            query = query.where(tuple_(PlanGroup.period_start, PlanGroup.id) > (start, last_id))
        order = PlanGroup.period_start, PlanGroup.id
        # One more than the page shows whether there is a next one.
        found = self._session.scalars(query.order_by(*order).limit(limit + 1)).all()
        groups = tuple(found[:limit])
        more = len(found) > limit
        return GroupPage(groups, _token(groups[-1]) if more else None)

    @translated()
    def snapshot(self, group_id: UUID) -> PlanningSnapshot:
        """All that planning needs, read by one statement. Raises ``PlanGroupNotFoundError``."""
        InvalidInputError.require_uuids(group_id=group_id)
        snapshot = load_snapshot(self._session, self._tenant_id, group_id)
        if snapshot is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        return snapshot

    @translated()
    def generations(self, group_id: UUID) -> Sequence[models.PlanGeneration]:
        """The records of the group's generations, the newest first."""
        InvalidInputError.require_uuids(group_id=group_id)
        return self._session.scalars(
            select(models.PlanGeneration)
            .where(
                models.PlanGeneration.tenant_id == self._tenant_id,
                models.PlanGeneration.group_id == group_id,
            )
            .order_by(models.PlanGeneration.number.desc())
        ).all()

    def move_contents(self, group_id: UUID, moves: Mapping[tuple[UUID, int], int]) -> bool:
        """Give contents, by id and version, new positions, and raise their versions.

        ``False`` if one of them is not there in its version. One statement: positions are
        unique, and row by row two would meet half-way. Raises ``LockNotHeldError``.
        """
        guards.require_lock(self._session, self._tenant_id, group_id)
        # Citus has no operator for CASE id WHEN $1.
        positions = ((models.Content.id == moved[0], position) for moved, position in moves.items())
        statement = (
            update(models.Content)
            .where(
                models.Content.tenant_id == self._tenant_id,
                models.Content.group_id == group_id,
                tuple_(models.Content.id, models.Content.version).in_(moves),
            )
            .values(position=case(*positions), version=models.Content.version + 1)
            .execution_options(synchronize_session="fetch")
        )
        with translated(self._connection(), group_id=group_id):
            moved: Any = self._session.execute(statement)
        return bool(moved.rowcount == len(moves))

    def remove(self, group_id: UUID, version: int) -> bool:
        """Delete the group with everything it owns, plans and records of generations too.

        ``False`` if the tenant has no such group in this version. Raises
        ``LockNotHeldError``; the caller holds the student's lock too.
        """
        guards.require_lock(self._session, self._tenant_id, group_id)
        statement = delete(PlanGroup).where(*self._own(group_id), PlanGroup.version == version)
        with translated(self._connection(), group_id=group_id):
            removed: Any = self._session.execute(statement)
        return bool(removed.rowcount)

    def _flush_what_it_may_refer_to(self) -> None:
        """Write the application's pending rows first: the group may have a foreign key to them.

        A flush orders the rows of two bases only by relationships, and there is none.
        """
        with translated(self._connection()):
            self._session.flush()

    def _require_storable(self, group: PlanGroup) -> None:
        given: object = group  # callers without a type checker pass the fields
        if not isinstance(given, PlanGroup):
            raise InvalidInputError.of("group", "must be a PlanGroup")
        if group.tenant_id != self._tenant_id:
            raise InvalidInputError.of("tenant_id", "must be the tenant of the unit of work")
        group.check()
        guards.require_lock(self._session, self._tenant_id, group.id)

    def _load(
        self,
        parts: Any,
        kind: type[models.Block | models.Content | models.LectureEpisode | models.NonStudyBlock],
    ) -> Any:
        """Load what a group owns, filtered by the tenant like every statement."""
        return selectinload(parts.and_(kind.tenant_id == self._tenant_id))

    def _own(self, group_id: UUID) -> tuple[ColumnElement[bool], ...]:
        """The conditions for one group of the tenant."""
        InvalidInputError.require_uuids(group_id=group_id)
        return PlanGroup.tenant_id == self._tenant_id, PlanGroup.id == group_id

    def _connection(self) -> Connection:
        return self._session.connection(bind_arguments={"mapper": PlanGroup})


def _insert_new(session: Session, connection: Connection, rows: Sequence[models.Base]) -> None:
    """Insert new rows in one round trip, parents first; they are the Session's afterwards.

    What a flush does with a round trip per table. Every column must have its value already,
    keys of parents included. Raises ``DBAPIError``.
    """
    values: dict[Table, list[dict[str, Any]]] = {}
    for row in rows:
        mapper: Any = inspect(type(row))
        columns = {
            attribute.columns[0].name: getattr(row, attribute.key)
            for attribute in mapper.column_attrs
        }
        values.setdefault(mapper.local_table, []).append(columns)
    with pipelined(connection):
        for table, listed in values.items():
            connection.execute(table.insert(), listed)
    for row in rows:
        make_transient_to_detached(row)
    session.add_all(rows)


def _token(group: PlanGroup) -> str:
    return f"{group.period_start.isoformat()}_{group.id}"


def _position(token: object) -> tuple[date, UUID]:
    start, _, last_id = token.partition("_") if isinstance(token, str) else ("", "", "")
    try:
        return date.fromisoformat(start), UUID(last_id)
    except ValueError:
        raise values.BadValueError("must be the next_page of the page before") from None
