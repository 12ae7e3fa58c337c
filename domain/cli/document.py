"""Plan group documents: the JSON a tutor writes, read strictly, with all faults at once.

Only the form is checked here: types, formats, words, required keys. The rules of a group
(the order of its period, the days of a strategy content, …) are the domain objects' own.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic import ValidationError as PydanticValidationError

from domain.errors import Fault, InvalidInputError
from domain.scheduling.vocabulary import (
    MINUTES_OF_A_DAY,
    Allocation,
    BlockKind,
    ContentType,
    Difficulty,
    ExclusionType,
    Level,
)

T = TypeVar("T")
Word = TypeVar("Word", bound=StrEnum)

LARGEST_INTEGER: Final = 2**31 - 1
LARGEST_FACTOR: Final = 100
_EXCLUSION_WORDS: Final = {
    "휴가": ExclusionType.VACATION,
    "개인사정": ExclusionType.PERSONAL,
    "기타": ExclusionType.OTHER,
    "휴일지정": ExclusionType.DESIGNATED_HOLIDAY,
}
_DIFFICULTY_WORDS: Final = {
    "기초": Difficulty.FOUNDATION,
    "기본": Difficulty.STANDARD,
    "심화": Difficulty.ADVANCED,
    "최상": Difficulty.TOP,
    "개념": Difficulty.FOUNDATION,
}


def _word(kind: type[Word], also: Mapping[str, Word] | None = None) -> BeforeValidator:
    words = {**(also or {}), **{word.value: word for word in kind}}

    def read(value: object) -> Word:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return words[value]

    return BeforeValidator(read)


def _civil_date(value: object) -> date:
    # fromisoformat alone would also take 20250101 and 2025-W01-3
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        with suppress(ValueError):
            return date.fromisoformat(value)
    raise ValueError("must be a date such as 2025-01-31")


def _minute_of_day(value: object) -> int:
    if value == "24:00":
        return MINUTES_OF_A_DAY
    if isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        return int(value[:2]) * 60 + int(value[3:])
    raise ValueError("must be a time such as 09:30")


def _before_midnight(start: int) -> int:
    if start == MINUTES_OF_A_DAY:
        raise ValueError("must be earlier than 24:00")
    return start


def _after_start(end: int, info: ValidationInfo) -> int:
    if end <= info.data.get("start", -1):
        raise ValueError("must be later than start")
    return end


def _factor(value: object) -> Decimal:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", value):
        value = Decimal(value)
    if type(value) in {int, Decimal}:
        number = Decimal(value)  # type: ignore[arg-type]
        if number.is_finite() and 0 < number <= LARGEST_FACTOR and number == round(number, 6):
            return number
    raise ValueError(
        f"must be a number greater than 0, at most {LARGEST_FACTOR}, of up to 6 decimal places"
    )


def _zone_name(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError("must be the name of a time zone such as Asia/Seoul") from None
    return name


def _listed(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError("must be a list")  # noqa: TRY004 - pydantic collects ValueError alone
    return tuple(value)


def _week(days: tuple[int, ...]) -> tuple[int, ...]:
    if not days or len(set(days)) < len(days):
        raise ValueError("must name at least one weekday, and none twice")
    return tuple(sorted(days))


def _unit_range(value: object) -> object:
    if isinstance(value, list) and len(value) == 2:
        first, last = value
        if all(type(unit) is int and 1 <= unit <= LARGEST_INTEGER for unit in (first, last)):
            return first, last
    raise ValueError("must be [first, last], two whole numbers from 1 up")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _instead_of_minutes(episodes: T, info: ValidationInfo) -> T:
    if episodes is not None and info.data.get("minutes_per_unit") is not None:
        raise ValueError("must not stand beside minutes_per_unit")
    return episodes


Text: TypeAlias = Annotated[str, Field(max_length=200)]
Name: TypeAlias = Annotated[Text, AfterValidator(_not_blank)]
CivilDate: TypeAlias = Annotated[date, BeforeValidator(_civil_date)]
Factor: TypeAlias = Annotated[Decimal, BeforeValidator(_factor)]
Amount: TypeAlias = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
PositiveAmount: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
Weekday: TypeAlias = Annotated[int, Field(ge=0, le=6)]
Listed: TypeAlias = Annotated[tuple[T, ...], BeforeValidator(_listed)]
Weekdays: TypeAlias = Annotated[Listed[Weekday], AfterValidator(_week)]
Start: TypeAlias = Annotated[int, BeforeValidator(_minute_of_day), AfterValidator(_before_midnight)]
End: TypeAlias = Annotated[int, BeforeValidator(_minute_of_day), AfterValidator(_after_start)]
EVERY_DAY: Final = tuple(range(7))


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PeriodEntry(_Entry):
    start: CivilDate
    end: CivilDate


class CycleEntry(_Entry):
    study_days: Annotated[int, Field(ge=1, le=30)] = 6
    review_days: Annotated[int, Field(ge=0, le=7)] = 1


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
    kind: Annotated[BlockKind, _word(BlockKind)]
    weekdays: Weekdays = EVERY_DAY


class NonStudyBlockEntry(_Span):
    label: Text | None = None
    weekdays: Weekdays = EVERY_DAY


class AcademyScheduleEntry(_Span):
    weekday: Weekday
    name: Text | None = None
    subject: Text | None = None
    travel_minutes: Annotated[int, Field(ge=0, le=720)] = 0


class ExclusionEntry(_Entry):
    date: CivilDate
    type: Annotated[ExclusionType, _word(ExclusionType, _EXCLUSION_WORDS)]
    reason: Text | None = None


class ContentEntry(_Entry):
    """A lecture may say ``minutes_per_unit`` for all its episodes alike, or ``episodes``."""

    type: Annotated[ContentType, _word(ContentType)]
    title: Name
    subject: Text | None = None
    allocation: Annotated[Allocation, _word(Allocation)]
    weekly_days: Amount | None = None
    range: Annotated[tuple[int, int], BeforeValidator(_unit_range)]
    minutes_per_unit: PositiveAmount | None = None
    difficulty: Annotated[Difficulty, _word(Difficulty, _DIFFICULTY_WORDS)] | None = None
    episodes: Annotated[
        Listed[PositiveAmount | None] | None, AfterValidator(_instead_of_minutes)
    ] = None
    wrap_up_minutes: Amount = 0


class PlanGroupDocument(_Entry):
    """One plan group as a person writes it; times are minutes of the day, as in the domain."""

    name: Name
    purpose: Text | None = None
    period: PeriodEntry
    target_date: CivilDate | None = None
    time_zone: Annotated[Text, AfterValidator(_zone_name)] = "Asia/Seoul"
    cycle: CycleEntry = CycleEntry()
    level: Annotated[Level, _word(Level)] = Level.MIDDLE
    factors: FactorsEntry = FactorsEntry()
    blocks: Listed[BlockEntry] = ()
    self_study_on_holidays: bool = False
    non_study_blocks: Listed[NonStudyBlockEntry] = ()
    academy_schedules: Listed[AcademyScheduleEntry] = ()
    exclusions: Listed[ExclusionEntry] = ()
    contents: Listed[ContentEntry] = ()


def read_document(data: bytes) -> PlanGroupDocument:
    """Read a UTF-8 JSON document; raise ``InvalidInputError`` naming every field at fault."""
    faults: list[Fault] = []
    try:
        content = _plain(_parsed(data), (), faults)
    except RecursionError:
        raise InvalidInputError.of(_path(()), "is nested too deeply") from None
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


_Step: TypeAlias = str | int
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
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


class _Pairs(list[tuple[str, Any]]):
    """An object as it stands in the text, where a key may come twice."""


def _parsed(data: bytes) -> object:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError.of(_path(()), f"is not UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise InvalidInputError.of(_path(()), "is empty")
    try:
        return json.loads(
            text,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=Decimal,
            object_pairs_hook=_Pairs,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidInputError.of(_path(()), f"is not JSON: {error.msg} ({where})") from None


def _integer(text: str) -> int:
    # int() refuses thousands of digits; twenty are too large just as well
    return int(text[:20])


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond any decimal's
        return Decimal("NaN")


def _plain(value: object, path: tuple[_Step, ...], faults: list[Fault]) -> object:
    """The value in plain dicts and lists, without the keys that are to be ignored."""
    match value:
        case _Pairs():
            return dict(_entries(value, path, faults))
        case list():
            return [_plain(item, (*path, at), faults) for at, item in enumerate(value)]
        case str() if _UNSTORABLE.search(value):
            faults.append(Fault(_path(path), "must not contain NUL or half a surrogate pair"))
        case Decimal() if not value.is_finite():
            faults.append(Fault(_path(path), "must be a finite number"))
    return value


def _entries(
    pairs: _Pairs, path: tuple[_Step, ...], faults: list[Fault]
) -> Iterator[tuple[str, object]]:
    seen = set()
    for key, value in pairs:
        if key.startswith("_"):
            continue
        if key in seen:
            faults.append(Fault(_path((*path, key)), "is given twice"))
        elif _UNSTORABLE.search(key):
            faults.append(Fault(_path((*path, key)), "is not a known key"))
        else:
            yield key, _plain(value, (*path, key), faults)
        seen.add(key)


def _faults(error: PydanticValidationError) -> Iterator[Fault]:
    for item in error.errors(include_url=False, include_input=False):
        sentence = _SENTENCES.get(item["type"], "is not valid")
        yield Fault(_path(item["loc"]), sentence.format(**item.get("ctx", {})))


def _path(steps: Iterable[_Step]) -> str:
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{_shown(step)}"
    return path.removeprefix(".") or "document"


def _shown(key: str) -> str:
    """A key as a terminal and a log line can bear it."""
    brief = key if len(key) <= 40 else f"{key[:39]}…"
    return brief if brief.isprintable() else ascii(brief)[1:-1]
