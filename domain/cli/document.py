"""Plan group documents: the JSON a tutor writes, read strictly, with all faults at once.

Only the form is checked here: types, formats, words, required keys. The rules of a group
(the order of its period, the days of a strategy content, …) are those of
``domain.cli.store.faults_of``.
"""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic import ValidationError as PydanticValidationError

from domain.cli.fields import (
    KOREAN_DIFFICULTIES,
    KOREAN_EXCLUSIONS,
    Amount,
    AnyMinutes,
    CivilDate,
    End,
    Factor,
    Listed,
    Minutes,
    Name,
    Start,
    Text,
    UnitRange,
    Weekday,
    Weekdays,
    ZoneName,
    instead_of_minutes,
    word,
)
from domain.cli.json_text import path, plain
from domain.errors import Fault, InvalidInputError
from domain.scheduling import Allocation, BlockKind, ContentType, Difficulty, ExclusionType, Level

EVERY_DAY: Final = tuple(range(7))
_SENTENCES: Final = {
    "missing": "is required",
    "extra_forbidden": "is not a known key",
    "model_type": "must be an object",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_too_long": "must be at most {max_length} characters long",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "value_error": "{error}",
}


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PeriodEntry(_Entry):
    start: CivilDate
    end: CivilDate


class CycleEntry(_Entry):
    study_days: Amount = 6
    review_days: Amount = 1


class FactorsEntry(_Entry):
    """What the document says of the factors; ``None``: the usual one."""

    level: Factor | None = None
    weakness: Factor | None = None
    strategy: Factor | None = None
    review: Factor | None = None


class _Span(_Entry):
    start: Start
    end: End


class BlockEntry(_Span):
    kind: Annotated[BlockKind, word(BlockKind)]
    weekdays: Weekdays = EVERY_DAY


class NonStudyBlockEntry(_Span):
    label: Text | None = None
    weekdays: Weekdays = EVERY_DAY


class AcademyScheduleEntry(_Span):
    weekday: Weekday
    name: Text | None = None
    subject: Text | None = None
    travel_minutes: AnyMinutes = 0


class ExclusionEntry(_Entry):
    date: CivilDate
    type: Annotated[ExclusionType, word(ExclusionType, KOREAN_EXCLUSIONS)]
    reason: Text | None = None


class ContentEntry(_Entry):
    """A lecture may say ``minutes_per_unit`` for all its episodes alike, or ``episodes``."""

    type: Annotated[ContentType, word(ContentType)]
    title: Name
    subject: Text | None = None
    allocation: Annotated[Allocation, word(Allocation)]
    weekly_days: Amount | None = None
    range: UnitRange
    minutes_per_unit: Minutes | None = None
    difficulty: Annotated[Difficulty, word(Difficulty, KOREAN_DIFFICULTIES)] | None = None
    episodes: Annotated[Listed[Minutes | None] | None, AfterValidator(instead_of_minutes)] = None
    wrap_up_minutes: AnyMinutes = 0


class PlanGroupDocument(_Entry):
    """One plan group as a person writes it; times are minutes of the day, as in the domain."""

    name: Name
    purpose: Text | None = None
    period: PeriodEntry
    target_date: CivilDate | None = None
    time_zone: ZoneName = "Asia/Seoul"
    cycle: CycleEntry = CycleEntry()
    level: Annotated[Level, word(Level)] = Level.MIDDLE
    factors: FactorsEntry = FactorsEntry()
    blocks: Listed[BlockEntry] = ()
    self_study_on_holidays: bool = False
    non_study_blocks: Listed[NonStudyBlockEntry] = ()
    academy_schedules: Listed[AcademyScheduleEntry] = ()
    exclusions: Listed[ExclusionEntry] = ()
    contents: Listed[ContentEntry] = ()


def read_document(data: bytes) -> PlanGroupDocument:
    """Read a UTF-8 JSON document; raise ``InvalidInputError`` naming every field at fault."""
    content, faults = plain(data)
    try:
        document = PlanGroupDocument.model_validate(content)
    except PydanticValidationError as error:
        faults.extend(_faults(error))
    else:
        if not faults:
            return document
    first: dict[str, Fault] = {}
    for fault in faults:  # a field's first fault is the cause of its others
        first.setdefault(fault.field, fault)
    raise InvalidInputError(first.values())


def _faults(error: PydanticValidationError) -> Iterator[Fault]:
    for item in error.errors(include_url=False, include_input=False):
        sentence = _SENTENCES.get(item["type"], "is not valid")
        yield Fault(path(item["loc"]), sentence.format(**item.get("ctx", {})))
