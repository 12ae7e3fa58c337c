"""Readers for the values of a document: each accepts one form and reports any other as an error.

A reader does not raise exceptions. It appends to ``errors`` and returns ``INVALID``, so that all
invalid fields are reported together. It also writes its values in a form that it reads, and has the
JSON schema of them, for OpenAPI.
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
from domain.scheduling.types import MINUTES_PER_DAY
from domain.scheduling.validation import MAX_FACTOR, PAST_MIDNIGHT, has_factor_places
from domain.values import BadValueError

INVALID: Final = object()
DOCUMENT: Final = "document"
"""The path of the entire document."""
MAX_PATH: Final = 200
"""The maximum number of characters in a path."""
Schema = dict[str, Any]


class Reader(Protocol):
    """Reads values of one form."""

    def read(self, value: object, path: str, errors: list[FieldError]) -> Any:
        """Return the value for the document.

        If it is not valid, append an error with ``path`` to ``errors`` and return ``INVALID``.
        """

    def write(self, value: Any) -> Any:
        """Return a value for the document in a form that ``read`` accepts, as JSON has it."""

    def schema(self) -> Schema:
        """Return the JSON schema of the accepted values."""


@dataclass(frozen=True)
class Value:
    """A single value; ``convert`` raises ``BadValueError`` with the message of the error.

    ``form`` returns what ``convert`` accepts for a value that it has returned.
    """

    convert: Callable[[object], object]
    json_schema: Schema
    form: Callable[[Any], object] = lambda value: value

    def read(self, value: object, path: str, errors: list[FieldError]) -> Any:
        try:
            return self.convert(value)
        except BadValueError as invalid:
            errors.append(FieldError(path or DOCUMENT, str(invalid)))
            return INVALID

    def write(self, value: Any) -> Any:
        return self.form(value)

    def schema(self) -> Schema:
        return self.json_schema


@dataclass(frozen=True)
class Nullable:
    """A value that ``reader`` accepts, or null."""

    reader: Reader

    def read(self, value: object, path: str, errors: list[FieldError]) -> Any:
        return None if value is None else self.reader.read(value, path, errors)

    def write(self, value: Any) -> Any:
        return None if value is None else self.reader.write(value)

    def schema(self) -> Schema:
        return {"anyOf": [self.reader.schema(), {"type": "null"}]}


@dataclass(frozen=True)
class ListOf:
    """A list of values that ``reader`` accepts, as a tuple; ``convert`` is given the tuple."""

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

    def write(self, value: Any) -> Any:
        return [self.reader.write(item) for item in value]

    def schema(self) -> Schema:
        return {"type": "array", "items": self.reader.schema()}


@dataclass(frozen=True)
class Entry:
    """An object with the fields of a dataclass, whose annotations contain the readers.

    Keys that begin with an underscore are notes and are ignored; other unknown keys are errors.
    A dataclass may have a method ``field_errors()`` for rules about several of its fields.
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
            FieldError(below(path, name), message) for name, message in _entry_errors(entry)
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

    def write(self, value: Any) -> dict[str, Any]:
        return {name: reader.write(getattr(value, name)) for name, reader in self.readers.items()}

    def schema(self) -> Schema:
        return {
            "type": "object",
            "title": self.kind.__name__.removesuffix("Entry"),
            "properties": {name: reader.schema() for name, reader in self.readers.items()},
            "required": self._required,
            "patternProperties": {"^_": {}},
            "additionalProperties": False,
        }


def list_of(kind: type[Any]) -> ListOf:
    """Return a reader for a list of objects with the fields of a dataclass."""
    return ListOf(Entry(kind))


def below(path: str, key: object) -> str:
    """Return the path of a key within the object at ``path``, in printable characters.

    Keys of more than 40 characters are shortened. Of a path of more than ``MAX_PATH`` characters,
    which no valid document has, only the end is kept: otherwise many errors below deeply nested
    keys could require gigabytes of memory.
    """
    text = key if isinstance(key, str) else repr(key)
    brief = text if len(text) <= 40 else f"{text[:39]}…"
    shown = brief if brief.isprintable() else ascii(brief)[1:-1]
    shown = shown or '""'
    full = f"{path}.{shown}" if path else shown
    return full if len(full) <= MAX_PATH else f"…{full[1 - MAX_PATH :]}"


def integer(low: int, high: int = values.MAX_INTEGER) -> Value:
    """Return a reader for an integer between the limits, both included."""
    limits = {"minimum": low, "maximum": high}
    return Value(values.integer(low, high), {"type": "integer", **limits})


def member(kind: type[StrEnum]) -> Value:
    """Return a reader for a member of ``kind``, which is given by its text."""
    return Value(
        values.member(kind),
        {"type": "string", "enum": list(values.members_by_text(kind))},
        lambda found: found.value,
    )


def _civil_date(value: object) -> date:
    """Return the date of a text such as ``2025-01-31``, or a ``date`` as it is."""
    # fromisoformat also accepts 20250101 and 2025-W01-3, so the pattern is checked first.
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


def _time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _start(value: object) -> int:
    if (start := _minute_of_day(value)) == MINUTES_PER_DAY:
        raise BadValueError("must be earlier than 24:00")
    return start


def _span(value: object) -> tuple[int, int]:
    message = 'must be [start, end], two times such as "09:30"'
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise BadValueError(message)
    try:
        start, end = map(_minute_of_day, value)
    except BadValueError:
        raise BadValueError(message) from None
    if end <= start:
        raise BadValueError(f"must start before it ends, both on the same day; {PAST_MIDNIGHT}")
    return start, end


def _factor(value: object) -> Decimal:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", value):
        value = Decimal(value)
    elif isinstance(value, float):
        # A number that json.loads has converted: repr() returns the digits of the JSON text.
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


def _factor_text(value: Decimal) -> str:
    # A text, because a JSON number is rounded by most programs that read it.
    return f"{value.normalize():f}"


def _unit_range(value: object) -> tuple[int, int]:
    if isinstance(value, list | tuple) and len(value) == 2:
        first, last = value
        if all(type(unit) is int and 1 <= unit <= values.MAX_INTEGER for unit in (first, last)):
            return first, last
    raise BadValueError("must be [first, last], two integers of at least 1")


def _week(days: tuple[int, ...]) -> tuple[int, ...]:
    if not days or len(set(days)) < len(days):
        raise BadValueError("must have at least one weekday, and no weekday more than once")
    return tuple(sorted(days))


def _entry_errors(entry: Any) -> list[tuple[str, str]]:
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
CIVIL_DATE: Final = Value(_civil_date, {"type": "string", "format": "date"}, date.isoformat)
FACTOR: Final = Value(
    _factor,
    {"type": ["number", "string"], "exclusiveMinimum": 0, "maximum": int(MAX_FACTOR)},
    _factor_text,
)
MINUTES: Final = integer(1, MINUTES_PER_DAY)
ANY_MINUTES: Final = integer(0, MINUTES_PER_DAY)
EPISODES: Final = Nullable(ListOf(Nullable(MINUTES)))
WEEKDAY: Final = integer(0, 6)
WEEKDAYS: Final = ListOf(WEEKDAY, _week)
START: Final = Value(_start, _TIME_SCHEMA, _time)
END: Final = Value(_minute_of_day, _TIME_SCHEMA, _time)
SPANS: Final = ListOf(
    Value(
        _span,
        {"type": "array", "items": _TIME_SCHEMA, "minItems": 2, "maxItems": 2},
        lambda span: [_time(minute) for minute in span],
    )
)
UNIT_RANGE: Final = Value(
    _unit_range,
    {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2},
    list,
)
