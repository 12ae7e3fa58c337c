"""Conversion of documents to rows: a group, the student's classes, and the group's exclusions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from domain import models
from domain.documents.document import ContentEntry, PlanGroupDocument
from domain.errors import FieldError
from domain.models.fields import values_in
from domain.scheduling import types as planning
from domain.scheduling.types import MAX_UNITS, ContentType
from domain.scheduling.validation import MAX_CONTENTS, field_errors


@dataclass(frozen=True, slots=True)
class GroupRows:
    """A new group with its parts, the student's classes, and the group's own exclusions."""

    group: models.PlanGroup
    academy_schedules: Sequence[models.AcademySchedule]
    exclusions: Sequence[models.Exclusion]


def to_rows(
    document: PlanGroupDocument,
    tenant_id: UUID,
    student_id: UUID,
    *,
    group_id: UUID | None = None,
    status: models.GroupStatus = models.GroupStatus.DRAFT,
) -> GroupRows:
    """Return the rows of a document, which are not stored yet.

    Columns have the values of the document's fields of the same name. The position of a content
    is its index in the document. A block becomes one row per weekday, and the episodes of a
    lecture become one row per unit. No rules are checked here; ``field_errors_of`` does that.
    """
    of_student: dict[str, Any] = {"tenant_id": tenant_id, "student_id": student_id}
    group = models.PlanGroup(
        id=group_id or uuid4(),
        **of_student,
        status=status,
        **values_in(document, models.PlanGroup),
        **_parts(document),
    )
    group.assign_keys()
    return GroupRows(
        group,
        [
            models.AcademySchedule(**of_student, **values_in(entry, models.AcademySchedule))
            for entry in document.academy_schedules
        ],
        [
            models.Exclusion(**of_student, group_id=group.id, **values_in(entry, models.Exclusion))
            for entry in document.exclusions
        ],
    )


def to_request(document: PlanGroupDocument) -> planning.Request:
    """Return the request for planning the document on the first day of its period.

    No row of an episode is built: rows take a thousand times longer than their minutes, and a short
    document can have many episodes.
    """
    bare = [replace(entry, episodes=()) for entry in document.contents]
    rows = to_rows(replace(document, contents=tuple(bare)), uuid4(), uuid4())
    request = rows.group.to_request(rows.group.period_start)
    return replace(
        request,
        contents=tuple(
            replace(content, episode_minutes=tuple(_episode_minutes(entry)))
            for content, entry in zip(request.contents, document.contents, strict=True)
        ),
        academy_schedules=tuple(schedule.to_planning() for schedule in rows.academy_schedules),
        exclusions=tuple(exclusion.to_planning() for exclusion in rows.exclusions),
    )


def field_errors_of(document: PlanGroupDocument) -> list[FieldError]:
    """Return an error for each rule that a well-formed document violates.

    Errors have the names of the document's fields. A document without errors can be stored.
    """
    # Errors of weekly spans would have the indexes of rows instead of the document's. They cannot
    # occur, because the spans are checked when the document is read. Only as many contents are
    # converted as are needed to report that there are too many: a short document with many long
    # lectures would otherwise need gigabytes of memory.
    found = field_errors(
        to_request(replace(document, contents=document.contents[: MAX_CONTENTS + 1]))
    )
    fields = {field_error.field for field_error in found}
    renamed = _renamed_episodes(document)
    errors = [
        replace(field_error, field=renamed.get(field_error.field, field_error.field))
        for field_error in found
    ]
    return errors if "period" in fields else [*errors, *_outside_period(document)]


def _renamed_episodes(document: PlanGroupDocument) -> dict[str, str]:
    """Return the fields in which errors of ``episodes`` are reported, by the field of the request.

    A document may have ``minutes_per_unit`` for all episodes of a lecture, but a request only has
    the minutes of each episode.
    """
    return {
        f"contents[{index}].episodes": f"contents[{index}].minutes_per_unit"
        for index, content in enumerate(document.contents)
        if content.minutes_per_unit
    }


def _outside_period(document: PlanGroupDocument) -> Iterator[FieldError]:
    period = document.period
    for index, exclusion in enumerate(document.exclusions):
        if not period.start <= exclusion.date <= period.end:
            yield FieldError(f"exclusions[{index}].date", "must be within the period")


def _parts(document: PlanGroupDocument) -> dict[str, Any]:
    """Return the rows of a document that are parts of the group."""
    return {
        "contents": [_content(at, entry) for at, entry in enumerate(document.contents)],
        "blocks": [
            models.Block(weekday=weekday, **values_in(entry, models.Block))
            for entry in document.blocks
            for weekday in entry.weekdays
        ],
        "non_study_blocks": [
            models.NonStudyBlock(weekday=weekday, **values_in(entry, models.NonStudyBlock))
            for entry in document.non_study_blocks
            for weekday in entry.weekdays
        ],
        "special_days": [
            models.SpecialDay(**values_in(entry, models.SpecialDay))
            for entry in document.special_days
        ],
    }


def _content(position: int, entry: ContentEntry) -> models.Content:
    first, last = entry.range
    columns = values_in(entry, models.Content) | {"first_unit": first, "last_unit": last}
    if entry.type is ContentType.LECTURE:
        columns["minutes_per_unit"] = None
    episodes = [
        models.LectureEpisode(unit=unit, minutes=minutes)
        for unit, minutes in enumerate(_episode_minutes(entry), first)
    ]
    return models.Content(position=position, episodes=episodes, **columns)


def _episode_minutes(entry: ContentEntry) -> Sequence[int | None]:
    if entry.episodes is not None or entry.type is not ContentType.LECTURE:
        return entry.episodes or ()
    first, last = entry.range
    # A range with too many units is an error that field_errors_of reports. Building its list
    # first could exhaust the memory.
    return [entry.minutes_per_unit] * (last - first + 1) if last - first < MAX_UNITS else ()
