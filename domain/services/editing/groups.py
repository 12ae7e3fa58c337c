"""Editing a group: its settings and its contents."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Unpack
from uuid import UUID, uuid4

from sqlalchemy.orm.attributes import flag_modified

from domain import errors
from domain.models import Content, LectureEpisode, PlanGroup
from domain.models.content import ContentSettings
from domain.models.fields import checked_values
from domain.models.plan_group import PlanGroupSettings
from domain.repositories.student_plans import ContentHistory
from domain.services.service import (
    RowVersion,
    Service,
    accept,
    assign,
    editable_group,
    flush,
    require_version,
    written,
)


class ContentFields(ContentSettings, total=False):
    """A content; ``episodes`` has the minutes of each unit of a lecture, ``None`` unknown."""

    episodes: Sequence[int | None]


class GroupEditService(Service):
    """Edits what a group is about; ``GroupTimeService`` edits when it is studied.

    Every method needs the group's lock, so that nothing changes under a generation that
    runs; the caller commits. The plans stay as they are until the next generation.

    A completed group is a record and a cancelled one is put away: neither can be edited.
    Whoever wants a cancelled group back activates it first, edits it, and generates.

    Errors of every method: ``PlanGroupNotFoundError`` (also for another tenant's group),
    ``PlanGroupNotEditableError``, ``EditedMeanwhileError`` if a row is not in the version
    that the caller saw, ``InvalidInputError`` with every invalid field, for the group as
    it would be, and ``LockNotHeldError``. After any of them nothing is written, even if
    the caller goes on and commits.
    """

    def change_settings(
        self,
        *,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[PlanGroupSettings],
    ) -> RowVersion:
        """Change the given settings of the group and leave the others.

        The group's own exclusions must be within its new period (``exclusions[i].date``).
        """
        uow = self._uow
        group = editable_group(uow, self._the_group(group_id))
        require_version(group, expected_version, group.id)
        changes = checked_values(PlanGroup, PlanGroupSettings, fields)
        own = uow.student_time.exclusions_of_group(group.id)
        assign(group, changes)
        accept(uow, group, [exclusion.date for exclusion in own])
        return written(uow, group, group.id)

    def add_content(
        self, *, group_id: UUID | None = None, **fields: Unpack[ContentFields]
    ) -> RowVersion:
        """Add a content after the last one; a lecture needs its ``episodes``."""
        uow = self._uow
        group = editable_group(uow, self._the_group(group_id))
        path = f"contents[{len(group.contents)}]"
        changes, minutes = _content_values(fields, path, new=True)
        position = max((content.position for content in group.contents), default=-1) + 1
        content = Content(
            id=uuid4(), tenant_id=group.tenant_id, group_id=group.id, position=position, **changes
        )
        _set_episodes(content, minutes or ())
        group.contents.append(content)
        accept(uow, group)
        return written(uow, content, group.id)

    def change_content(
        self,
        *,
        content_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[ContentFields],
    ) -> RowVersion:
        """Change the given fields of a content; ``episodes`` replaces all of a lecture's.

        A range must keep the units of plans that are done, started or pinned, and the type
        of a content with plans cannot change: what was planned in pages is no episodes.
        """
        uow = self._uow
        group = editable_group(uow, self._the_group(group_id))
        index, content = _content(group, content_id)
        require_version(content, expected_version, group.id)
        path = f"contents[{index}]"
        changes, minutes = _content_values(fields, path)
        history = uow.plans.content_history(content_id)
        errors.InvalidInputError.raise_if_any(_history_errors(path, content, changes, history))
        assign(content, changes)
        if minutes is not None:
            _set_episodes(content, minutes)
            # Episodes have no version of their own: a change of theirs is the content's.
            flag_modified(content, "last_unit")
        accept(uow, group)
        return written(uow, content, group.id)

    def remove_content(
        self, *, content_id: UUID, expected_version: int, group_id: UUID | None = None
    ) -> None:
        """Remove a content that was never planned.

        One that plans refer to, live or not, is refused (``contents[i]``): they are history.
        """
        uow = self._uow
        group = editable_group(uow, self._the_group(group_id))
        index, content = _content(group, content_id)
        require_version(content, expected_version, group.id)
        if uow.plans.content_history(content_id).plans:
            raise errors.InvalidInputError.of(
                f"contents[{index}]", "has plans, which are history; shorten its range instead"
            )
        group.contents.remove(content)
        flush(uow, group.id)

    def reorder_contents(
        self, *, order: Sequence[RowVersion], group_id: UUID | None = None
    ) -> list[RowVersion]:
        """Put the contents in ``order``: all of them, each in the version the caller saw.

        Raises ``EditedMeanwhileError`` as well if contents came or went meanwhile.
        """
        uow = self._uow
        group = editable_group(uow, self._the_group(group_id))
        seen = [(row.id, row.version) for row in _row_versions(order)]
        if len(dict(seen)) < len(seen):
            raise errors.InvalidInputError.of("contents", "must name each content once")
        if set(seen) != {(content.id, content.version) for content in group.contents}:
            raise errors.EditedMeanwhileError(group_id=group.id)
        positions = sorted(content.position for content in group.contents)
        if not uow.groups.move_contents(group.id, dict(zip(seen, positions, strict=True))):
            raise errors.EditedMeanwhileError(group_id=group.id)
        return [RowVersion(id_, version + 1) for id_, version in seen]


def _row_versions(given: object) -> Sequence[RowVersion]:
    rows = list(given) if isinstance(given, Iterable) else [given]
    versions = [row for row in rows if isinstance(row, RowVersion)]
    if len(versions) < len(rows):
        raise errors.InvalidInputError.of("contents", "must be RowVersions, one per content")
    return versions


def _content(group: PlanGroup, content_id: UUID) -> tuple[int, Content]:
    for index, content in enumerate(group.contents):
        if content.id == content_id:
            return index, content
    raise errors.ContentNotFoundError(content_id=content_id)


def _content_values(
    fields: ContentFields, path: str, *, new: bool = False
) -> tuple[dict[str, Any], Sequence[int | None] | None]:
    """What is given for a content's columns, and for its episodes."""
    from domain.documents.readers import EPISODES  # noqa: PLC0415 - most processes read no document

    found: list[errors.FieldError] = []
    episodes = fields.get("episodes", () if new else None)
    minutes = EPISODES.read(episodes, f"{path}.episodes", found)
    return checked_values(Content, ContentFields, fields, path, new=new, also=found), minutes


def _set_episodes(content: Content, minutes: Sequence[int | None]) -> None:
    """One episode a unit, from the content's first; known ones keep their rows."""
    known = {episode.unit: episode for episode in content.episodes}
    episodes = []
    for unit, length in enumerate(minutes, content.first_unit):
        episode = known.get(unit) or LectureEpisode(
            tenant_id=content.tenant_id, content_id=content.id, group_id=content.group_id, unit=unit
        )
        episode.minutes = length
        episodes.append(episode)
    content.episodes = episodes


def _history_errors(
    path: str, content: Content, changes: dict[str, Any], history: ContentHistory
) -> Iterator[errors.FieldError]:
    if history.plans and changes.get("type", content.type) is not content.type:
        yield errors.FieldError(f"{path}.type", "has plans, which count its units")
    first = changes.get("first_unit", content.first_unit)
    last = changes.get("last_unit", content.last_unit)
    if first > (history.first_kept or first) or last < (history.last_kept or last):
        yield errors.FieldError(f"{path}.range", "must contain what is done, started or pinned")
