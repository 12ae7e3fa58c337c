"""Documents as rows: what a group, its classes and its own exclusions become."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID, uuid4

from domain.documents.document import (
    BlockEntry,
    ContentEntry,
    NonStudyBlockEntry,
    PlanGroupDocument,
)
from domain.errors import Fault
from domain.models import (
    AcademySchedule,
    Block,
    Content,
    Exclusion,
    GroupStatus,
    LectureEpisode,
    NonStudyBlock,
    PlanGroup,
)
from domain.scheduling import ContentType, Factors, Request, faults
from domain.scheduling.validation import MOST_CONTENTS
from domain.scheduling.vocabulary import MOST_UNITS

_DEFAULTS: Final = Factors()


@dataclass(frozen=True, slots=True)
class GroupRows:
    """A new group with all it owns, the student's classes, and the group's own exclusions."""

    group: PlanGroup
    academy_schedules: Sequence[AcademySchedule]
    exclusions: Sequence[Exclusion]


def to_rows(
    document: PlanGroupDocument,
    tenant_id: UUID,
    student_id: UUID,
    *,
    group_id: UUID | None = None,
    status: GroupStatus = GroupStatus.DRAFT,
) -> GroupRows:
    """The rows of a document, not stored yet.

    A content's position is its index in the document. A block becomes one row per weekday, a
    lecture's episodes one row per unit. Nothing is checked: ``faults_of`` does that.
    """
    group = _group(document, tenant_id, student_id, group_id or uuid4(), status)
    schedules = [
        AcademySchedule(
            tenant_id=tenant_id,
            student_id=student_id,
            weekday=entry.weekday,
            start_minute=entry.start,
            end_minute=entry.end,
            travel_minutes=entry.travel_minutes,
            name=entry.name,
            subject=entry.subject,
        )
        for entry in document.academy_schedules
    ]
    exclusions = [
        Exclusion(
            tenant_id=tenant_id,
            student_id=student_id,
            group_id=group.id,
            date=entry.date,
            type=entry.type,
            reason=entry.reason,
        )
        for entry in document.exclusions
    ]
    return GroupRows(group, schedules, exclusions)


def to_request(document: PlanGroupDocument) -> Request:
    """What the planning core would be asked on the first day of the period."""
    rows = to_rows(document, uuid4(), uuid4())
    return replace(
        rows.group.to_request(rows.group.period_start),
        academy_schedules=tuple(schedule.to_request() for schedule in rows.academy_schedules),
        exclusions=tuple(exclusion.to_request() for exclusion in rows.exclusions),
    )


def faults_of(document: PlanGroupDocument) -> list[Fault]:
    """Every rule that a well-formed document breaks, by the names of the document's fields.

    A document without faults can be stored. Weekly spans cannot be at fault here: their
    form is checked when the document is read, and their indexes would be those of rows.
    Of too many contents only the first ones are checked: a short document with many long
    lectures would otherwise take minutes.
    """
    found = faults(to_request(replace(document, contents=document.contents[: MOST_CONTENTS + 1])))
    fields = {fault.field for fault in found}
    renamed = _episodes_of_one_number(document)
    broken = [
        replace(fault, field=renamed.get(fault.field, fault.field))
        for fault in found
        if not _follows(fault, fields)
    ]
    return broken if "period" in fields else [*broken, *_outside(document)]


def _follows(fault: Fault, fields: set[str]) -> bool:
    """Without a sane range there is no number of episodes to ask for."""
    content, _, name = fault.field.rpartition(".")
    return name == "episodes" and f"{content}.range" in fields


def _episodes_of_one_number(document: PlanGroupDocument) -> dict[str, str]:
    """A lecture's one number stands for all its episodes, so their fault is that number's."""
    return {
        f"contents[{index}].episodes": f"contents[{index}].minutes_per_unit"
        for index, content in enumerate(document.contents)
        if content.minutes_per_unit
    }


def _outside(document: PlanGroupDocument) -> Iterator[Fault]:
    period = document.period
    for index, exclusion in enumerate(document.exclusions):
        if not period.start <= exclusion.date <= period.end:
            yield Fault(f"exclusions[{index}].date", "must be within the period")


def _group(
    document: PlanGroupDocument,
    tenant_id: UUID,
    student_id: UUID,
    group_id: UUID,
    status: GroupStatus,
) -> PlanGroup:
    factors = document.factors
    return PlanGroup(
        id=group_id,
        tenant_id=tenant_id,
        student_id=student_id,
        name=document.name,
        purpose=document.purpose,
        status=status,
        period_start=document.period.start,
        period_end=document.period.end,
        target_date=document.target_date,
        time_zone=document.time_zone,
        study_days=document.cycle.study_days,
        review_days=document.cycle.review_days,
        level=document.level,
        level_factor=factors.level,
        weakness_factor=_DEFAULTS.weakness if factors.weakness is None else factors.weakness,
        strategy_factor=_DEFAULTS.strategy if factors.strategy is None else factors.strategy,
        review_factor=_DEFAULTS.review if factors.review is None else factors.review,
        self_study_on_holidays=document.self_study_on_holidays,
        contents=[
            _content(position, entry, tenant_id, group_id)
            for position, entry in enumerate(document.contents)
        ],
        blocks=[row for entry in document.blocks for row in _blocks(entry, tenant_id, group_id)],
        non_study_blocks=[
            row
            for entry in document.non_study_blocks
            for row in _non_study_blocks(entry, tenant_id, group_id)
        ],
    )


def _content(position: int, entry: ContentEntry, tenant_id: UUID, group_id: UUID) -> Content:
    content_id = uuid4()
    first, last = entry.range
    lecture = entry.type is ContentType.LECTURE
    return Content(
        id=content_id,
        tenant_id=tenant_id,
        group_id=group_id,
        position=position,
        type=entry.type,
        title=entry.title,
        subject=entry.subject,
        allocation=entry.allocation,
        weekly_days=entry.weekly_days,
        first_unit=first,
        last_unit=last,
        minutes_per_unit=None if lecture else entry.minutes_per_unit,
        difficulty=entry.difficulty,
        wrap_up_minutes=entry.wrap_up_minutes,
        episodes=[
            LectureEpisode(
                tenant_id=tenant_id,
                content_id=content_id,
                group_id=group_id,
                unit=unit,
                minutes=minutes,
            )
            for unit, minutes in enumerate(_episode_minutes(entry), first)
        ],
    )


def _episode_minutes(entry: ContentEntry) -> Sequence[int | None]:
    if entry.episodes is not None or entry.type is not ContentType.LECTURE:
        return entry.episodes or ()
    first, last = entry.range
    # a range without measure is a fault that the checks report, and no list
    return [entry.minutes_per_unit] * (last - first + 1) if last - first < MOST_UNITS else ()


def _blocks(entry: BlockEntry, tenant_id: UUID, group_id: UUID) -> Iterator[Block]:
    for weekday in entry.weekdays:
        yield Block(
            tenant_id=tenant_id,
            group_id=group_id,
            kind=entry.kind,
            weekday=weekday,
            start_minute=entry.start,
            end_minute=entry.end,
        )


def _non_study_blocks(
    entry: NonStudyBlockEntry, tenant_id: UUID, group_id: UUID
) -> Iterator[NonStudyBlock]:
    for weekday in entry.weekdays:
        yield NonStudyBlock(
            tenant_id=tenant_id,
            group_id=group_id,
            label=entry.label,
            weekday=weekday,
            start_minute=entry.start,
            end_minute=entry.end,
        )
