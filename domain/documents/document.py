"""The fields of a plan group document, and the parsing of JSON text into one.

Only the form is checked here: types, formats, allowed values, required keys. The rules of a
group (the order of its period, the days of a strategy content, …) are checked by
``domain.documents.rows.field_errors_of``.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol, Self

from domain.documents import readers
from domain.errors import FieldError, InvalidInputError
from domain.scheduling import validation
from domain.scheduling.spans import Span
from domain.scheduling.types import (
    Allocation,
    Balance,
    BlockKind,
    ContentType,
    Difficulty,
    ExclusionType,
    Level,
    Strategy,
)

if TYPE_CHECKING:  # pydantic is an extra
    from pydantic_core import CoreSchema

EVERY_DAY: Final = tuple(range(7))
# The upper limits of these numbers are rules of the group, which are checked later.
_COUNT: Final = readers.integer(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodEntry:
    start: Annotated[date, readers.CIVIL_DATE]
    end: Annotated[date, readers.CIVIL_DATE]


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleEntry:
    study_days: Annotated[int, _COUNT] = 6
    review_days: Annotated[int, _COUNT] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorsEntry:
    """The factors that a document sets; ``None`` means the default."""

    level: Annotated[Decimal | None, readers.Nullable(readers.FACTOR)] = None
    weakness: Annotated[Decimal | None, readers.Nullable(readers.FACTOR)] = None
    strategy: Annotated[Decimal | None, readers.Nullable(readers.FACTOR)] = None
    review: Annotated[Decimal | None, readers.Nullable(readers.FACTOR)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    start: Annotated[int, readers.START]
    end: Annotated[int, readers.END]

    def field_errors(self) -> Iterator[tuple[str, str]]:
        if self.end <= self.start:
            yield "end", f"must be later than start; {validation.PAST_MIDNIGHT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockEntry(_Span):
    kind: Annotated[BlockKind, readers.member(BlockKind)]
    weekdays: Annotated[tuple[int, ...], readers.WEEKDAYS] = EVERY_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class NonStudyBlockEntry(_Span):
    label: Annotated[str | None, readers.Nullable(readers.TEXT)] = None
    weekdays: Annotated[tuple[int, ...], readers.WEEKDAYS] = EVERY_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialDayEntry:
    """A date whose spans replace those of the blocks; both kinds may be empty."""

    date: Annotated[date, readers.CIVIL_DATE]
    study: Annotated[tuple[Span, ...], readers.SPANS] = ()
    self_study: Annotated[tuple[Span, ...], readers.SPANS] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AcademyScheduleEntry(_Span):
    weekday: Annotated[int, readers.WEEKDAY]
    name: Annotated[str | None, readers.Nullable(readers.TEXT)] = None
    subject: Annotated[str | None, readers.Nullable(readers.TEXT)] = None
    travel_minutes: Annotated[int, readers.ANY_MINUTES] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExclusionEntry:
    date: Annotated[date, readers.CIVIL_DATE]
    type: Annotated[ExclusionType, readers.member(ExclusionType)]
    reason: Annotated[str | None, readers.Nullable(readers.TEXT)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentEntry:
    """A content. A lecture has ``minutes_per_unit`` for all its episodes, or ``episodes``."""

    type: Annotated[ContentType, readers.member(ContentType)]
    title: Annotated[str, readers.NAME]
    subject: Annotated[str | None, readers.Nullable(readers.TEXT)] = None
    allocation: Annotated[Allocation, readers.member(Allocation)]
    weekly_days: Annotated[int | None, readers.Nullable(_COUNT)] = None
    range: Annotated[tuple[int, int], readers.UNIT_RANGE]
    minutes_per_unit: Annotated[int | None, readers.Nullable(readers.MINUTES)] = None
    difficulty: Annotated[Difficulty | None, readers.Nullable(readers.member(Difficulty))] = None
    episodes: Annotated[tuple[int | None, ...] | None, readers.EPISODES] = None
    wrap_up_minutes: Annotated[int, readers.ANY_MINUTES] = 0
    deadline: Annotated[date | None, readers.Nullable(readers.CIVIL_DATE)] = None
    day_shift: Annotated[
        int | None, readers.Nullable(readers.integer(0, validation.MAX_STUDY_DAYS - 1))
    ] = None

    def field_errors(self) -> Iterator[tuple[str, str]]:
        if self.episodes is not None and self.minutes_per_unit is not None:
            yield "episodes", "cannot be combined with minutes_per_unit"


class DocumentModel(Protocol):
    """A pydantic model that wraps a document, such as ``PlanGroupModel``."""

    @property
    def root(self) -> "PlanGroupDocument": ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanGroupDocument:
    """One plan group as a person or a form writes it; times are minutes of the day.

    ``from_mapping`` creates one. It can also be used as a pydantic type: a field, a
    ``TypeAdapter`` or the body of a FastAPI endpoint reports the same errors, the JSON schema
    describes every field, and a document is written as ``to_mapping`` returns it.
    """

    name: Annotated[str, readers.NAME]
    purpose: Annotated[str | None, readers.Nullable(readers.TEXT)] = None
    period: Annotated[PeriodEntry, readers.Entry(PeriodEntry)]
    target_date: Annotated[date | None, readers.Nullable(readers.CIVIL_DATE)] = None
    time_zone: Annotated[str, readers.ZONE_NAME] = "Asia/Seoul"
    cycle: Annotated[CycleEntry, readers.Entry(CycleEntry)] = CycleEntry()
    strategy: Annotated[Strategy, readers.member(Strategy)] = Strategy.BALANCED
    balance: Annotated[Balance, readers.member(Balance)] = Balance.ROOM
    shortest_session: Annotated[int, readers.integer(0, validation.MAX_SESSION)] = 15
    longest_sitting: Annotated[int, readers.MINUTES] = 100
    pause_minutes: Annotated[int, readers.integer(0, validation.MAX_PAUSE)] = 10
    buffer_days: Annotated[int, readers.integer(0, validation.MAX_DAYS - 1)] = 0
    level: Annotated[Level, readers.member(Level)] = Level.MIDDLE
    factors: Annotated[FactorsEntry, readers.Entry(FactorsEntry)] = FactorsEntry()
    blocks: Annotated[tuple[BlockEntry, ...], readers.list_of(BlockEntry)] = ()
    self_study_on_holidays: Annotated[bool, readers.FLAG] = False
    non_study_blocks: Annotated[
        tuple[NonStudyBlockEntry, ...], readers.list_of(NonStudyBlockEntry)
    ] = ()
    special_days: Annotated[tuple[SpecialDayEntry, ...], readers.list_of(SpecialDayEntry)] = ()
    academy_schedules: Annotated[
        tuple[AcademyScheduleEntry, ...], readers.list_of(AcademyScheduleEntry)
    ] = ()
    exclusions: Annotated[tuple[ExclusionEntry, ...], readers.list_of(ExclusionEntry)] = ()
    contents: Annotated[tuple[ContentEntry, ...], readers.list_of(ContentEntry)] = ()

    @classmethod
    def of(cls, given: "Mapping[str, object] | PlanGroupDocument | DocumentModel") -> Self:
        """Return a document: the given one, the one in a model, or one read from a mapping.

        Raises ``InvalidInputError`` with every invalid field.
        """
        document: object = getattr(given, "root", given)
        # A caller without a type checker may pass any object: ``read`` reports what it is not.
        return document if isinstance(document, cls) else cls.read(given, [])

    @classmethod
    def from_mapping(cls, fields: Mapping[str, object]) -> Self:
        """Read a mapping with the keys and values of a document, as ``json.loads`` returns it.

        Dates may also be ``date`` objects. Raises ``InvalidInputError`` with every invalid
        field.
        """
        return cls.read(fields, [])

    def to_mapping(self) -> dict[str, Any]:
        """Return the mapping of all fields that ``from_mapping`` reads, ready for ``json.dumps``.

        Dates, times and factors are texts, and a field without a value is ``None``.
        """
        return readers.Entry(type(self)).write(self)

    @classmethod
    def read(cls, fields: object, found: list[FieldError]) -> Self:
        """Read a mapping; ``found`` has errors that were found before.

        Raises ``InvalidInputError`` with the first error of each invalid field.
        """
        document = readers.Entry(cls).read(fields, "", found)
        if document is readers.INVALID or found:
            first: dict[str, FieldError] = {}
            for field_error in found:  # the first error of a field causes its other errors
                first.setdefault(field_error.field, field_error)
            raise InvalidInputError(first.values())
        read: Self = document
        return read

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> "CoreSchema":
        from domain.documents.pydantic_schema import core_schema_of  # noqa: PLC0415 - an extra

        return core_schema_of(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: object, handler: object) -> dict[str, Any]:
        return readers.Entry(cls).schema()


def read_json(data: bytes) -> PlanGroupDocument:
    """Read a UTF-8 JSON document. Raise ``InvalidInputError`` with every invalid field."""
    given: object = data  # callers without a type checker may pass a text or a path
    if not isinstance(given, bytes | bytearray):
        raise InvalidInputError.of("data", "must be the bytes of a document")
    errors: list[FieldError] = []
    try:
        fields = _plain(_parsed(data), "", errors)
    except RecursionError:
        raise InvalidInputError.of(readers.DOCUMENT, "is nested too deeply") from None
    return PlanGroupDocument.read(fields, errors)


class _Pairs(list[tuple[str, Any]]):
    """The key-value pairs of a JSON object, whose text may contain a key more than once."""


def _parsed(data: bytes) -> object:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError.of(
            readers.DOCUMENT, f"is not UTF-8 at byte {error.start}"
        ) from None
    if not text.strip():
        raise InvalidInputError.of(readers.DOCUMENT, "is empty")
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
        raise InvalidInputError.of(
            readers.DOCUMENT, f"is not JSON: {error.msg} ({where})"
        ) from None


def _integer(text: str) -> int:
    # int() raises ValueError for thousands of digits. Twenty digits are also too large for any
    # field, so the prefix is reported in the same way.
    return int(text[:20])


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # the exponent exceeds the limits of decimal
        return Decimal("NaN")


def _plain(value: object, path: str, errors: list[FieldError]) -> object:
    match value:
        case _Pairs():
            return dict(_entries(value, path, errors))
        case list():
            return [_plain(item, f"{path}[{at}]", errors) for at, item in enumerate(value)]
        case _:
            return value


def _entries(pairs: _Pairs, path: str, errors: list[FieldError]) -> Iterator[tuple[str, object]]:
    seen = set()
    for key, value in pairs:
        if key.startswith("_"):
            continue
        if key in seen:
            errors.append(FieldError(readers.below(path, key), "is given twice"))
        else:
            yield key, _plain(value, readers.below(path, key), errors)
        seen.add(key)
