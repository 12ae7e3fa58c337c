"""The forms of a document's values: each reads one and reports the others as errors.

A reader never raises: it appends to ``errors`` and returns ``INVALID``, so that one reading
reports every field. It also has the JSON schema of what it reads, for OpenAPI.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, fields
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Protocol, get_type_hints

from domain import values
from domain.errors import FieldError
from domain.scheduling.validation import MAX_FACTOR, has_factor_places
from domain.scheduling.vocabulary import MINUTES_PER_DAY
from domain.values import BadValueError

INVALID: Final = object()
DOCUMENT: Final = "document"
"""The path of the whole."""
MAX_PATH: Final = 200
"""The most characters of a path."""
Schema = dict[str, Any]


class Reader(Protocol):
    """Reads one form of value."""

    def read(self, value: object, path: str, errors: list[FieldError]) -> Any:
        """The value as documents hold it, or ``INVALID`` after an error under ``path``."""

    def schema(self) -> Schema:
        """The JSON schema of what is accepted."""


@dataclass(frozen=True)
class Value:
    """One value; ``convert`` raises ``BadValueError`` with the sentence of the error."""

    convert: Callable[[object], object]
    json_schema: Schema

    def read(self, value: object, path: str, errors: list[FieldError]) -> Any:
        try:
            return self.convert(value)
        except BadValueError as refused:
            errors.append(FieldError(path or DOCUMENT, str(refused)))
            return INVALID

    def schema(self) -> Schema:
        return self.json_schema


@dataclass(frozen=True)
class Nullable:
    """What ``reader`` reads, or null."""

    reader: Reader

    def read(self, value: object, path: str, errors: list[FieldError]) -> Any:
        return None if value is None else self.reader.read(value, path, errors)

    def schema(self) -> Schema:
        return {"anyOf": [self.reader.schema(), {"type": "null"}]}


@dataclass(frozen=True)
class ListOf:
    """A list of what ``reader`` reads, as a tuple; ``convert`` sees the list as a whole."""

    reader: Reader
    convert: Callable[[tuple[Any, ...]], object] = tuple

    def read(self, value: object, path: str, errors: list[FieldError]) -> Any:
        if not isinstance(value, list | tuple):
            errors.append(FieldError(path, "must be a list"))
            return INVALID
        items = tuple(
            self.reader.read(item, f"{path}[{index}]", errors) for index, item in enumerate(value)
        )
        if INVALID in items:
            return INVALID
        return Value(lambda _: self.convert(items), {}).read(value, path, errors)

    def schema(self) -> Schema:
        return {"type": "array", "items": self.reader.schema()}


@dataclass(frozen=True)
class Entry:
    """An object with the fields of a dataclass, whose annotations have the readers.

    Keys that begin with an underscore are notes and ignored; other unknown ones are errors.
    A dataclass may have a method ``field_errors()`` for what concerns several of its fields.
    """

    kind: type[Any]

    @cached_property
    def readers(self) -> dict[str, Reader]:
        """The reader of each field."""
        hints = get_type_hints(self.kind, include_extras=True)
        return {field.name: hints[field.name].__metadata__[0] for field in fields(self.kind)}

    def read(self, value: object, path: str, errors: list[FieldError]) -> Any:
        if not isinstance(value, Mapping):
            errors.append(FieldError(path or DOCUMENT, "must be an object"))
            return INVALID
        before = len(errors)
        read = self._read_fields(value, path, errors)
        if len(errors) > before:
            return INVALID
        entry = self.kind(**read)
        errors.extend(
            FieldError(below(path, name), message) for name, message in _own_errors(entry)
        )
        return INVALID if len(errors) > before else entry

    def _read_fields(
        self, value: Mapping[Any, Any], path: str, errors: list[FieldError]
    ) -> dict[str, Any]:
        read = {}
        for name, reader in self.readers.items():
            if name in value:
                read[name] = reader.read(value[name], below(path, name), errors)
            elif name in self._required:
                errors.append(FieldError(below(path, name), "is required"))
        unknown = [key for key in value if key not in self.readers and not _is_note(key)]
        errors.extend(FieldError(below(path, key), "is not a known key") for key in unknown)
        return read

    @cached_property
    def _required(self) -> list[str]:
        return [field.name for field in fields(self.kind) if _is_required(field)]

    def schema(self) -> Schema:
        return {
            "type": "object",
            "title": self.kind.__name__.removesuffix("Entry"),
            "properties": {name: reader.schema() for name, reader in self.readers.items()},
            "required": self._required,
            "additionalProperties": False,
        }


def list_of(kind: type[Any]) -> ListOf:
    """A list of objects with the fields of a dataclass."""
    return ListOf(Entry(kind))


def below(path: str, key: object) -> str:
    """The path of a key below another, as a terminal and a log line can show it.

    Only the end of a longer path than any that a document has is kept: many errors below deeply
    nested keys would otherwise need gigabytes.
    """
    text = key if isinstance(key, str) else repr(key)
    brief = text if len(text) <= 40 else f"{text[:39]}…"
    shown = brief if brief.isprintable() else ascii(brief)[1:-1]
    shown = shown or '""'
    whole = f"{path}.{shown}" if path else shown
    return whole if len(whole) <= MAX_PATH else f"…{whole[1 - MAX_PATH :]}"


def integer(low: int, high: int = values.MAX_INTEGER) -> Value:
    """A whole number, both limits included."""
    limits = {"minimum": low, "maximum": high}
    return Value(values.integer(low, high), {"type": "integer", **limits})


def member(kind: type[StrEnum]) -> Value:
    """A member of ``kind``, by its text."""
    return Value(
        values.member(kind), {"type": "string", "enum": list(values.members_by_text(kind))}
    )


def _civil_date(value: object) -> date:
    """``2025-01-31`` and no other spelling, or a ``date``."""
    # fromisoformat would also take 20250101 and 2025-W01-3
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        with suppress(ValueError):
            return date.fromisoformat(value)
    with suppress(ValueError):
        return values.civil_date(value)
    raise BadValueError("must be a date such as 2025-01-31")


def _minute_of_day(value: object) -> int:
    if value == "24:00":
        return MINUTES_PER_DAY
    if isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        return int(value[:2]) * 60 + int(value[3:])
    raise BadValueError("must be a time such as 09:30")


def _start(value: object) -> int:
    if (start := _minute_of_day(value)) == MINUTES_PER_DAY:
        raise BadValueError("must be earlier than 24:00")
    return start


def _factor(value: object) -> Decimal:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", value):
        value = Decimal(value)
    elif isinstance(value, float):
        # The number of a JSON text, as json.loads gives it: repr() gives its digits back.
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and not value.is_finite():
        raise BadValueError("must be a finite number")
    with suppress(ValueError):
        number = values.decimal(value)
        if 0 < number <= MAX_FACTOR and has_factor_places(number):
            return number
    raise BadValueError(
        f"must be a number greater than 0, at most {MAX_FACTOR}, of up to 6 decimal places"
    )


def _unit_range(value: object) -> tuple[int, int]:
    if isinstance(value, list | tuple) and len(value) == 2:
        first, last = value
        if all(type(unit) is int and 1 <= unit <= values.MAX_INTEGER for unit in (first, last)):
            return first, last
    raise BadValueError("must be [first, last], two whole numbers from 1 up")


def _week(days: tuple[int, ...]) -> tuple[int, ...]:
    if not days or len(set(days)) < len(days):
        raise BadValueError("must name at least one weekday, and none twice")
    return tuple(sorted(days))


def _own_errors(entry: Any) -> list[tuple[str, str]]:
    return list(entry.field_errors()) if hasattr(entry, "field_errors") else []


def _is_note(key: object) -> bool:
    return isinstance(key, str) and key.startswith("_")


def _is_required(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


_TEXT_SCHEMA: Final = {"type": "string", "maxLength": values.MAX_TEXT}
_TIME_SCHEMA: Final = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"}
TEXT: Final = Value(values.text, _TEXT_SCHEMA)
NAME: Final = Value(values.name, {**_TEXT_SCHEMA, "minLength": 1})
ZONE_NAME: Final = Value(values.zone_name, _TEXT_SCHEMA)
FLAG: Final = Value(values.flag, {"type": "boolean"})
CIVIL_DATE: Final = Value(_civil_date, {"type": "string", "format": "date"})
FACTOR: Final = Value(
    _factor, {"type": ["number", "string"], "exclusiveMinimum": 0, "maximum": int(MAX_FACTOR)}
)
MINUTES: Final = integer(1, MINUTES_PER_DAY)
ANY_MINUTES: Final = integer(0, MINUTES_PER_DAY)
EPISODES: Final = Nullable(ListOf(Nullable(MINUTES)))
WEEKDAY: Final = integer(0, 6)
WEEKDAYS: Final = ListOf(WEEKDAY, _week)
START: Final = Value(_start, _TIME_SCHEMA)
END: Final = Value(_minute_of_day, _TIME_SCHEMA)
UNIT_RANGE: Final = Value(
    _unit_range,
    {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2},
)
