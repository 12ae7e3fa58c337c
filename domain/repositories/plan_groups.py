"""The repository of plan groups."""

from collections.abc import Collection, Iterator, Mapping, Sequence
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
from sqlalchemy.orm import (
    Session,
    aliased,
    make_transient_to_detached,
    selectinload,
    with_loader_criteria,
)
from sqlalchemy.sql.base import ExecutableOption

from domain import models, values
from domain.arguments import as_session
from domain.database_errors import translated
from domain.driver import pipelined
from domain.errors import InvalidInputError, PlanGroupNotFoundError
from domain.locking import guards
from domain.models import PlanGroup
from domain.models.base import stored_columns
from domain.models.fields import refuse_unstorable
from domain.repositories.reading import refreshed, set_loaded
from domain.repositories.snapshot import PlanningSnapshot, load_snapshot

_PARTS: Final = (
    models.Block,
    models.Content,
    models.LectureEpisode,
    models.NonStudyBlock,
    models.SpecialDay,
)
_WITH_PARTS: Final = (
    selectinload(PlanGroup.contents).selectinload(models.Content.episodes),
    selectinload(PlanGroup.blocks),
    selectinload(PlanGroup.non_study_blocks),
    selectinload(PlanGroup.special_days),
)
MAX_PAGE: Final = 500
"""The maximum number of groups on a page."""


@dataclass(frozen=True, slots=True)
class GroupPage:
    """A page of groups; ``next_page`` is the argument for the next page, ``None`` on the last."""

    groups: tuple[PlanGroup, ...]
    next_page: str | None


@guards.serialize_calls
class PlanGroupRepository:
    """The plan groups of a tenant; groups of other tenants are not found."""

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        InvalidInputError.require_uuids(tenant_id=tenant_id)
        self._session = as_session(session)
        self._tenant_id = tenant_id

    def add(self, group: PlanGroup) -> None:
        """Store a new group with its contents and weekly time at the next flush.

        The group is validated like a document: texts are replaced by members of their enums, and
        missing values are set (``PlanGroup.check``). Raises ``InvalidInputError`` with all invalid
        fields, also if the group belongs to another tenant; nothing is stored then. Raises
        ``LockNotHeldError`` outside a unit of work that holds the new group's lock.
        """
        self._require_storable(group)
        self._flush_pending_rows()
        self._session.add(group)

    def insert(self, group: PlanGroup, exclusions: Sequence[models.Exclusion] = ()) -> None:
        """Store a new group immediately, with its parts and its exclusions, in one round trip.

        Validates and raises as ``add`` does, and raises ``InvalidInputError`` (field ``id``) if a
        group with this id already exists.
        """
        self._require_storable(group)
        refuse_unstorable(exclusions)
        self._flush_pending_rows()
        group.assign_keys()
        rows = [*group.all_rows(), *exclusions]
        connection = self._connection()
        with translated(connection, group_id=group.id):
            _insert_new(self._session, connection, rows)

    @translated()
    def get(self, group_id: UUID) -> PlanGroup:
        """Return the group with all its parts, refreshed. Raises ``PlanGroupNotFoundError``."""
        query = select(PlanGroup).options(*_WITH_PARTS, *self._part_criteria())
        return self._read_one(group_id, query)

    @translated()
    def get_row(self, group_id: UUID) -> PlanGroup:
        """Return the group without its parts, refreshed. Raises ``PlanGroupNotFoundError``."""
        return self._read_one(group_id, select(PlanGroup))

    @translated()
    def find_other_active(self, group_id: UUID) -> UUID | None:
        """Return the id of another active group of the same student, or ``None``.

        Raises ``PlanGroupNotFoundError``. Without the student's lock the result may already be
        outdated when it is returned.
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
            .where(*self._conditions(group_id))
        ).one_or_none()
        if found is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        active: UUID | None = found[0]
        return active

    @translated()
    def of_student(self, student_id: UUID) -> Sequence[PlanGroup]:
        """Return the student's groups, ordered by the start of their period."""
        InvalidInputError.require_uuids(student_id=student_id)
        query = (
            select(PlanGroup)
            .where(PlanGroup.tenant_id == self._tenant_id, PlanGroup.student_id == student_id)
            .order_by(PlanGroup.period_start, PlanGroup.id)
        )
        return refreshed(self._session, PlanGroup, query)

    @translated()
    def page(
        self,
        *,
        student_id: UUID | None = None,
        statuses: Collection[models.GroupStatus | str] = (),
        limit: int = 50,
        after: str | None = None,
    ) -> GroupPage:
        """Return a page of the groups of the tenant or of a student, by the start of their period.

        The page has only groups with one of the ``statuses``, if any are given. ``after`` is the
        ``next_page`` of the previous page. One statement is executed; the parts of a group are
        loaded when they are accessed. Raises ``InvalidInputError``.
        """
        values.validate("limit", values.integer(1, MAX_PAGE), limit)
        read = values.member(models.GroupStatus)
        # A str is itself a collection of str, its characters.
        listed = [statuses] if isinstance(statuses, str) else values.items("statuses", statuses)
        wanted = [values.validate("statuses", read, status) for status in listed]
        query = select(PlanGroup).where(PlanGroup.tenant_id == self._tenant_id)
        if student_id is not None:
            InvalidInputError.require_uuids(student_id=student_id)
            query = query.where(PlanGroup.student_id == student_id)
        if wanted:
            query = query.where(PlanGroup.status.in_(wanted))
        if after is not None:
            start, last_id = values.validate("after", _position, after)
            query = query.where(tuple_(PlanGroup.period_start, PlanGroup.id) > (start, last_id))
        order = PlanGroup.period_start, PlanGroup.id
        # One row more than the page has shows whether there is a next page.
        found = refreshed(self._session, PlanGroup, query.order_by(*order).limit(limit + 1))
        groups = tuple(found[:limit])
        more = len(found) > limit
        return GroupPage(groups, _token(groups[-1]) if more else None)

    @translated()
    def snapshot(self, group_id: UUID, *, with_baseline: bool = False) -> PlanningSnapshot:
        """Read everything that planning needs, in one statement.

        A reschedule also needs what it keeps of earlier runs, the baseline.
        Raises ``PlanGroupNotFoundError``.
        """
        InvalidInputError.require_uuids(group_id=group_id)
        snapshot = load_snapshot(
            self._session, self._tenant_id, group_id, with_baseline=with_baseline
        )
        if snapshot is None:
            raise PlanGroupNotFoundError(group_id=group_id)
        return snapshot

    @translated()
    def generations(self, group_id: UUID) -> Sequence[models.PlanGeneration]:
        """Return the records of the group's generations, reschedules and undos, newest first."""
        InvalidInputError.require_uuids(group_id=group_id)
        query = (
            select(models.PlanGeneration)
            .where(
                models.PlanGeneration.tenant_id == self._tenant_id,
                models.PlanGeneration.group_id == group_id,
            )
            .order_by(models.PlanGeneration.number.desc())
        )
        return refreshed(self._session, models.PlanGeneration, query)

    def move_contents(self, group_id: UUID, moves: Mapping[tuple[UUID, int], int]) -> bool:
        """Set the positions of contents, given by id and version, and increment their versions.

        Returns ``False`` if a content does not exist in its version; other contents may have been
        moved then. Raises ``LockNotHeldError``.
        """
        guards.require_lock(self._session, self._tenant_id, group_id)
        if not moves:  # CASE needs at least one condition
            return True
        # All rows are updated by one statement, because positions are unique: between the updates
        # of two rows that swap positions both would have the same one. The constraint is checked
        # at the end of the statement, because it is deferrable.
        # The searched form of CASE is used because Citus has no operator for CASE id WHEN $1.
        positions = ((models.Content.id == moved[0], position) for moved, position in moves.items())
        statement = (
            update(models.Content)
            .where(
                models.Content.tenant_id == self._tenant_id,
                models.Content.group_id == group_id,
                tuple_(models.Content.id, models.Content.version).in_(moves),
            )
            .values(position=case(*positions), version=models.Content.version + 1)
            .execution_options(synchronize_session=False)
        )
        with translated(self._connection(), group_id=group_id):
            moved: Any = self._session.execute(statement)
        if moved.rowcount != len(moves):
            return False
        for (id_, version), position in moves.items():
            stored = {"position": position, "version": version + 1}
            set_loaded(self._session, models.Content, self._tenant_id, id_, **stored)
        return True

    def remove(self, group_id: UUID, version: int) -> bool:
        """Delete the group with all its parts, its plans and the records of its generations.

        Returns ``False`` if the tenant has no such group in this version. The caller must also
        hold the student's lock. Raises ``LockNotHeldError`` without the group's lock.
        """
        guard = guards.require_lock(self._session, self._tenant_id, group_id)
        conditions = (*self._conditions(group_id), PlanGroup.version == version)
        statement = delete(PlanGroup).where(*conditions)
        with translated(self._connection(), group_id=group_id):
            removed: Any = self._session.execute(statement)
        # The group can be stored again for another student, whose lock is not held.
        guard.forget_students(group_id)
        return bool(removed.rowcount)

    def _read_one(self, group_id: UUID, query: Any) -> PlanGroup:
        """Return the group; raise ``PlanGroupNotFoundError`` if the tenant has none."""
        own = query.where(*self._conditions(group_id))
        found = refreshed(self._session, PlanGroup, own)
        if not found:
            raise PlanGroupNotFoundError(group_id=group_id)
        return found[0]

    def _flush_pending_rows(self) -> None:
        """Write the application's pending rows, because the group may have a foreign key to them.

        A flush orders the rows of different declarative bases only by relationships between them,
        and there are none.
        """
        with translated(self._connection()):
            self._session.flush()

    def _require_storable(self, group: PlanGroup) -> None:
        given: object = group  # callers without a type checker may pass a mapping
        if not isinstance(given, PlanGroup):
            raise InvalidInputError.of("group", "must be a PlanGroup")
        if group.tenant_id != self._tenant_id:
            raise InvalidInputError.of("tenant_id", "must be the tenant of the unit of work")
        group.check()
        guards.require_lock(self._session, self._tenant_id, group.id)

    def _part_criteria(self) -> Iterator[ExecutableOption]:
        """Yield the options that filter parts by tenant, as all statements do.

        They are not kept by the rows, which could not be pickled with them. Later loads of parts
        need none: they compare the tenant as a part of the foreign key.
        """
        for kind in _PARTS:
            of_tenant = kind.tenant_id == self._tenant_id
            yield with_loader_criteria(kind, of_tenant, propagate_to_loaders=False)

    def _conditions(self, group_id: UUID) -> tuple[ColumnElement[bool], ...]:
        """Return the conditions for one group of the tenant."""
        InvalidInputError.require_uuids(group_id=group_id)
        return PlanGroup.tenant_id == self._tenant_id, PlanGroup.id == group_id

    def _connection(self) -> Connection:
        return self._session.connection(bind_arguments={"mapper": PlanGroup})


def _insert_new(session: Session, connection: Connection, rows: Sequence[models.Base]) -> None:
    """Insert new rows, parents first, in one round trip, and add them to the Session.

    A flush would need a round trip per table. All columns must have their values, including
    the keys of parents. Raises ``DBAPIError``.
    """
    if session.in_nested_transaction():
        # Only after a flush the Session forgets the rows with the savepoint that is rolled back.
        for row in rows:  # one flush does not order rows by foreign keys alone
            session.add(row)
            session.flush()
        return
    values: dict[Table, list[dict[str, Any]]] = {}
    for row in rows:
        mapper: Any = inspect(type(row))
        columns = {column.name: getattr(row, key) for key, column in stored_columns(type(row))}
        values.setdefault(mapper.local_table, []).append(columns)
    with pipelined(connection):
        for table, listed in values.items():
            connection.execute(table.insert(), listed)
    # Detached objects become persistent when they are added, so the next flush does not insert them
    # again.
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
        raise values.BadValueError("must be the next_page of the previous page") from None
