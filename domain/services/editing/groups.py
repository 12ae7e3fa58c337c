"""The service that edits the settings and the contents of a group."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias, Unpack
from uuid import UUID, uuid4

from sqlalchemy.orm.attributes import flag_modified

from domain import errors
from domain.database_errors import translated
from domain.models import Content, ContentType, PlanGroup
from domain.models.content import ContentSettings
from domain.models.fields import checked_values
from domain.models.plan_group import PlanGroupSettings
from domain.repositories.day_shifts import clear_day_shifts, clear_loaded_day_shifts
from domain.repositories.student_plans import ContentHistory
from domain.scheduling.types import MAX_UNITS, Allocation
from domain.services.service import Service
from domain.services.stale_plans import edited
from domain.services.writing import (
    EditedRow,
    RowVersion,
    accept,
    assign,
    editable_group,
    flush,
    require_version,
    save,
    version,
)

_EPISODE_FIELDS: Final = ("type", "first_unit", "last_unit")
"""The fields that determine which episodes a content has."""


class ContentFields(ContentSettings, total=False):
    """The fields of a content.

    ``episodes`` has the minutes of each unit of a lecture, or ``None`` if they are unknown. As in a
    document, a lecture may have ``minutes_per_unit`` for all its episodes instead.
    """

    episodes: Sequence[int | None]


class GroupEditService(Service):
    """Edits the settings and contents of a group; ``GroupTimeService`` edits its study time.

    All methods need the group's lock, so that the group does not change during a generation; the
    caller commits. The plans do not change until the next generation or reschedule; those that
    contradict the edited data are returned as ``stale_plans``.

    A completed or cancelled group cannot be edited. To use a cancelled group again, activate it
    first, edit it, and generate its plans.

    All methods raise ``PlanGroupNotFoundError`` (also for a group of another tenant),
    ``PlanGroupNotEditableError``, ``EditedMeanwhileError`` if a row does not have the version that
    the caller has read, ``InvalidInputError`` with all invalid fields of the edited group, and
    ``LockNotHeldError``. Nothing is written after any of these errors, even if the caller commits.
    """

    def change_settings(
        self,
        *,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[PlanGroupSettings],
    ) -> EditedRow:
        """Change the given settings of the group; the others are not changed.

        The group's own exclusions and special days must be within its new period (fields
        ``exclusions[i].date`` and ``special_days[i].date``). Its target date and the deadlines of
        its contents (``contents[i].deadline``) must not be before it. A ``day_shift`` that is too
        large for the new number of study days is set to ``None``, so that the next generation
        chooses another; the content keeps its version.
        """
        uow = self._uow
        group = editable_group(uow, self._resolve_group(group_id))
        require_version(group, expected_version, group.id)
        changes = checked_values(PlanGroup, PlanGroupSettings, fields)
        own = uow.student_time.exclusions_of_group(group.id)
        assign(group, changes)
        outdated_shifts = clear_loaded_day_shifts(group)
        accept(uow, group, [exclusion.date for exclusion in own])
        written = save(uow, group, group.id)
        if outdated_shifts:
            with translated(uow.connection, group_id=group.id):
                clear_day_shifts(uow.session, group)
        return edited(uow, written, group.id)

    def add_content(
        self, *, group_id: UUID | None = None, **fields: Unpack[ContentFields]
    ) -> EditedRow:
        """Add a content after the last one.

        The minutes of a lecture's units are unknown without ``episodes`` and ``minutes_per_unit``.
        """
        uow = self._uow
        group = editable_group(uow, self._resolve_group(group_id))
        path = f"contents[{len(group.contents)}]"
        changes, minutes = _content_values(fields, path)
        position = max((content.position for content in group.contents), default=-1) + 1
        content = Content(
            id=uuid4(), tenant_id=group.tenant_id, group_id=group.id, position=position, **changes
        )
        _set_episodes(content, changes, minutes)
        group.contents.append(content)
        accept(uow, group)
        return edited(uow, save(uow, content, group.id), group.id)

    def change_content(
        self,
        *,
        content_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[ContentFields],
    ) -> EditedRow:
        """Change the given fields of a content.

        ``episodes`` and ``minutes_per_unit`` replace the minutes of all units of a lecture. Without
        them, the units that stay keep their minutes, by number, those that a new range adds are
        unknown, and a content that is no longer a lecture loses them.

        The range must contain the units of all plans that are done, started or pinned. The type of
        a content that has plans cannot be changed, because the plans count its units, which are
        pages of a book but episodes of a lecture. A content that becomes a weakness loses its
        ``day_shift``, which a generation may have stored.
        """
        uow = self._uow
        group = editable_group(uow, self._resolve_group(group_id))
        index, content = _content(group, content_id)
        require_version(content, expected_version, group.id)
        path = f"contents[{index}]"
        changes, minutes = _content_values(fields, path, content)
        if changes.get("allocation") is Allocation.WEAKNESS:
            changes.setdefault("day_shift", None)
        history = uow.plans.content_history(content_id)
        errors.InvalidInputError.raise_if_any(_history_errors(path, content, changes, history))
        assign(content, changes)
        _set_episodes(content, changes, minutes)
        if minutes is not None:
            # Episodes have no version, so a change of them must increment the content's version,
            # which happens only if a column of the content is written.
            flag_modified(content, "last_unit")
        accept(uow, group)
        return edited(uow, save(uow, content, group.id), group.id)

    def remove_content(
        self, *, content_id: UUID, expected_version: int, group_id: UUID | None = None
    ) -> None:
        """Remove a content that has never been planned.

        A content to which plans refer, live or not, cannot be removed (field ``contents[i]``),
        because the plans are kept as history.
        """
        uow = self._uow
        group = editable_group(uow, self._resolve_group(group_id))
        index, content = _content(group, content_id)
        require_version(content, expected_version, group.id)
        if uow.plans.content_history(content_id).plans:
            raise errors.InvalidInputError.of(
                f"contents[{index}]",
                "cannot be removed because it has plans; shorten its range instead",
            )
        group.contents.remove(content)
        flush(uow, group.id)

    def reorder_contents(
        self, *, order: Sequence[RowVersion], group_id: UUID | None = None
    ) -> list[RowVersion]:
        """Reorder the contents; ``order`` has all of them, with the versions the caller has read.

        ``EditedMeanwhileError`` is also raised if contents were added or removed in the meantime.
        """
        uow = self._uow
        group = editable_group(uow, self._resolve_group(group_id))
        seen = [(row.id, row.version) for row in _row_versions(order)]
        if len(dict(seen)) < len(seen):
            raise errors.InvalidInputError.of("contents", "must name each content once")
        if set(seen) != {(content.id, content.version) for content in group.contents}:
            raise errors.EditedMeanwhileError(group_id=group.id)
        positions = sorted(content.position for content in group.contents)
        if not uow.groups.move_contents(group.id, dict(zip(seen, positions, strict=True))):
            raise errors.EditedMeanwhileError(group_id=group.id)
        return [RowVersion(id_, number + 1) for id_, number in seen]


def _row_versions(given: object) -> Sequence[RowVersion]:
    rows = list(given) if isinstance(given, Iterable) else [given]
    versions = [row for row in rows if isinstance(row, RowVersion)]
    if len(versions) < len(rows):
        raise errors.InvalidInputError.of("contents", "must be RowVersions, one per content")
    for row in versions:  # callers without a type checker may have built them of anything
        errors.InvalidInputError.require_uuids(contents=row.id)
        version(row.version)
    return versions


def _content(group: PlanGroup, content_id: UUID) -> tuple[int, Content]:
    errors.InvalidInputError.require_uuids(content_id=content_id)
    for index, content in enumerate(group.contents):
        if content.id == content_id:
            return index, content
    raise errors.ContentNotFoundError(content_id=content_id)


_Minutes: TypeAlias = "Sequence[int | None] | int | None"
"""The minutes of each unit of a lecture, the same for all units, or ``None`` if not given."""


def _content_values(
    fields: ContentFields, path: str, content: Content | None = None
) -> tuple[dict[str, Any], _Minutes]:
    """Return the validated values of a content's columns, and the minutes of its episodes.

    ``content`` is the one that is changed; without it, the fields are those of a new one.
    """
    from domain.documents.readers import EPISODES, MINUTES  # noqa: PLC0415 - most read no document

    found: list[errors.FieldError] = []
    minutes = EPISODES.read(fields.get("episodes"), f"{path}.episodes", found)
    new = content is None
    changes = checked_values(Content, ContentFields, fields, path, new=new, also=found)
    is_lecture = changes.get("type", content and content.type) is ContentType.LECTURE
    if not is_lecture or changes.get("minutes_per_unit") is None:
        return changes, minutes
    if minutes is not None:
        raise errors.InvalidInputError.of(
            f"{path}.episodes", "cannot be combined with minutes_per_unit"
        )
    each = MINUTES.read(changes["minutes_per_unit"], f"{path}.minutes_per_unit", found)
    errors.InvalidInputError.raise_if_any(found)
    return {**changes, "minutes_per_unit": None}, each


def _set_episodes(content: Content, changes: dict[str, Any], minutes: _Minutes) -> None:
    """Set the given minutes, or fit the episodes to a changed type or range."""
    if isinstance(minutes, Sequence):
        _replace_episodes(content, minutes)
    elif minutes is not None:
        content.fit_episodes()
        for episode in content.episodes:
            episode.minutes = minutes
    elif not changes.keys().isdisjoint(_EPISODE_FIELDS):
        content.fit_episodes()


def _replace_episodes(content: Content, minutes: Sequence[int | None]) -> None:
    """Set one episode per unit, starting with the first unit; existing episodes keep their rows.

    If there are more entries than units, one row too many is built, which is enough for the
    validation to refuse their number; to build the rows of all of them could take minutes.
    """
    units = min(content.last_unit - content.first_unit + 1, MAX_UNITS)
    existing = {episode.unit: episode for episode in content.episodes}
    episodes = []
    for unit, length in enumerate(minutes[: max(units, 0) + 1], content.first_unit):
        episode = existing.get(unit) or content.new_episode(unit)
        episode.minutes = length
        episodes.append(episode)
    content.episodes = episodes


def _history_errors(
    path: str, content: Content, changes: dict[str, Any], history: ContentHistory
) -> Iterator[errors.FieldError]:
    if history.plans and changes.get("type", content.type) is not content.type:
        yield errors.FieldError(f"{path}.type", "cannot be changed because the content has plans")
    first = changes.get("first_unit", content.first_unit)
    last = changes.get("last_unit", content.last_unit)
    if first > (history.first_kept or first) or last < (history.last_kept or last):
        yield errors.FieldError(f"{path}.range", "must contain all started, done and pinned plans")
