"""The fields that people may edit, and the form of their values.

The rules of a group are those of ``PlanGroup.check``; here only what its rows can hold at
all: known words, whole numbers, exact decimals, text. Faults name fields as the planning
core does: ``contents[0].range``, ``blocks[1].start``, ``factors.level``.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypedDict
from zoneinfo import ZoneInfo

from domain.errors import Fault, InvalidInputError
from domain.models import Base
from domain.models.base import Word
from domain.scheduling import (
    Allocation,
    BlockKind,
    ContentType,
    Difficulty,
    ExclusionType,
    Level,
)

LARGEST_INTEGER: Final = 2**31 - 1


class SettingsFields(TypedDict, total=False):
    """A group's own settings."""

    name: str
    purpose: str | None
    period_start: date
    period_end: date
    target_date: date | None
    time_zone: str
    study_days: int
    review_days: int
    level: Level
    level_factor: Decimal | None
    weakness_factor: Decimal
    strategy_factor: Decimal
    review_factor: Decimal
    self_study_on_holidays: bool


class ContentFields(TypedDict, total=False):
    """A content; ``episodes`` has the minutes of each unit of a lecture, ``None`` unknown."""

    type: ContentType
    title: str
    subject: str | None
    allocation: Allocation
    weekly_days: int | None
    first_unit: int
    last_unit: int
    minutes_per_unit: int | None
    difficulty: Difficulty | None
    wrap_up_minutes: int
    episodes: Sequence[int | None]


class SpanFields(TypedDict, total=False):
    """A weekly span: 0 is Sunday, ``[start, end)`` in minutes of the day."""

    weekday: int
    start_minute: int
    end_minute: int


class BlockFields(SpanFields, total=False):
    kind: BlockKind


class NonStudyBlockFields(SpanFields, total=False):
    label: str | None


class ClassFields(SpanFields, total=False):
    travel_minutes: int
    name: str | None
    subject: str | None


class ExclusionFields(TypedDict, total=False):
    date: date
    type: ExclusionType
    reason: str | None


_NAMES: Final = {
    "first_unit": "range",
    "last_unit": "range",
    "start_minute": "start",
    "end_minute": "end",
    "period_start": "period",
    "period_end": "period",
    "study_days": "cycle.study_days",
    "review_days": "cycle.review_days",
    "level_factor": "factors.level",
    "weakness_factor": "factors.weakness",
    "strategy_factor": "factors.strategy",
    "review_factor": "factors.review",
}
_FORMS: Final[Mapping[type, str]] = {
    int: "must be a whole number",
    str: "must be text",
    bool: "must be true or false",
    date: "must be a date",
    Decimal: "must be an exact decimal",
}


def checked(
    kind: type[Base], allowed: type, fields: Mapping[str, Any], path: str = "", *, new: bool = False
) -> dict[str, Any]:
    """The fields' values, fit for the columns of ``kind``; enum words as their enums.

    A ``new`` row needs every field whose column has neither null nor a default. Raises
    ``InvalidInputError`` with one entry for every field, under ``path``, and ``TypeError``
    for a name that is not ``allowed``: ids, versions and states are not edited this way.
    """
    if unknown := fields.keys() - allowed.__annotations__.keys():
        raise TypeError(f"unexpected fields: {', '.join(sorted(unknown))}")
    columns = kind.__table__.columns
    found = {
        _NAMES.get(name, name): sentence
        for name, column in columns.items()
        if name in allowed.__annotations__
        and (name in fields or (new and _is_required(column)))
        and (sentence := _fault(name, column, fields.get(name)))
    }
    if found:
        prefix = f"{path}." if path else ""
        raise InvalidInputError(Fault(f"{prefix}{name}", told) for name, told in found.items())
    return {
        name: _as_word(columns[name].type, value)
        for name, value in fields.items()
        if name in columns
    }


def assign(row: Base, values: Mapping[str, Any]) -> None:
    """Set the row's fields."""
    for name, value in values.items():
        setattr(row, name, value)


def _as_word(type_: object, value: Any) -> Any:
    return type_.words(value) if isinstance(type_, Word) and value is not None else value


def _is_required(column: Any) -> bool:
    return not column.nullable and column.default is None and column.server_default is None


def _fault(name: str, column: Any, value: Any) -> str | None:
    """What is wrong with a value by itself."""
    if value is None:
        return None if column.nullable else "is required"
    if isinstance(column.type, Word):
        words = column.type.words
        return None if value in set(words) else f"must be one of {', '.join(words)}"
    form = column.type.python_type
    if not _has_form(form, value):
        return _FORMS[form]
    if form is int and abs(value) > LARGEST_INTEGER:
        return "is too large"
    if form is str:
        return next(_text_faults(name, value, may_be_blank=column.nullable), None)
    return None


def _has_form(form: type, value: object) -> bool:
    # A bool is an int and a datetime a date to Python, but neither is meant by anybody.
    if form is int and isinstance(value, bool):
        return False
    if form is date and isinstance(value, datetime):
        return False
    return isinstance(value, form)


def _text_faults(name: str, text: str, *, may_be_blank: bool) -> Iterator[str]:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        yield "must be text that can be stored"
    if not may_be_blank and not text.strip():
        yield "must not be empty"
    if name == "time_zone" and not _is_zone(text):
        yield "must be the name of a time zone such as Asia/Seoul"


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True
