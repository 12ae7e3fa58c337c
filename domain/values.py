"""Checks of single values: each function accepts one kind of value and rejects all others.

Documents, editing services and the rows of ``uow.groups.add()`` are checked by these functions, so
that all of them accept and reject the same values. Each function returns the value as it is
assigned to a row, or raises ``BadValueError``. The message never repeats the value, which may be
long or contain characters that a terminal interprets.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.errors import InvalidInputError
from domain.scheduling.spans import Span, merged
from domain.scheduling.types import MINUTES_PER_DAY, Difficulty, ExclusionType
from domain.scheduling.validation import MAX_SPANS

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

KOREAN: Final[Mapping[type[StrEnum], Mapping[str, StrEnum]]] = {
    ExclusionType: {
        "휴가": ExclusionType.VACATION,
        "개인사정": ExclusionType.PERSONAL,
        "기타": ExclusionType.OTHER,
        "휴일지정": ExclusionType.DESIGNATED_HOLIDAY,
    },
    Difficulty: {
        "기초": Difficulty.FOUNDATION,
        "기본": Difficulty.STANDARD,
        "심화": Difficulty.ADVANCED,
        "최상": Difficulty.TOP,
        "개념": Difficulty.FOUNDATION,
    },
}
"""The Korean texts that are accepted in addition to the enum's own values."""
MAX_TEXT: Final = 200
"""The maximum length, in characters, of a name, a title, a reason and any other text."""
MAX_INTEGER: Final = 2**31 - 1
MAX_SMALL_INTEGER: Final = 2**15 - 1
UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
"""What no text of a database has: PostgreSQL refuses NUL, and UTF-8 cannot encode a surrogate.

Python has a surrogate for each byte of an argument or a variable that is not UTF-8.
"""


class BadValueError(ValueError):
    """A value is invalid; the message continues a sentence that begins with the field's name."""


def text(value: object) -> str:
    """Accept text of at most ``MAX_TEXT`` characters that PostgreSQL can store."""
    if not isinstance(value, str):
        raise BadValueError("must be text")
    if UNSTORABLE.search(value):
        raise BadValueError("must not contain NUL characters or unpaired surrogates")
    if len(value) > MAX_TEXT:
        raise BadValueError(f"must be at most {MAX_TEXT} characters long")
    return value


def name(value: object) -> str:
    """Accept text with at least one character that is not white space."""
    if not (accepted := text(value)).strip():
        raise BadValueError("must not be empty")
    return accepted


def zone_name(value: object) -> str:
    """Accept the name of a time zone that ``zoneinfo`` finds."""
    accepted = text(value)
    if not _is_zone(accepted):
        raise BadValueError("must be the name of a time zone such as Asia/Seoul")
    return accepted


def members_by_text(kind: type[E]) -> dict[str, E]:
    """Return the members of an enum by each accepted text: the Korean texts, and the values."""
    korean: Any = KOREAN.get(kind, {})
    return {**korean, **{item.value: item for item in kind}}


def member(kind: type[E]) -> Callable[[object], E]:
    """Return a function that accepts the text of a member of ``kind`` and returns the member."""
    members = members_by_text(kind)

    def read(value: object) -> E:
        if not isinstance(value, str) or value not in members:
            raise BadValueError(f"must be one of {', '.join(members)}")
        return members[value]

    return read


def integer(low: int, high: int) -> Callable[[object], int]:
    """Return a function that accepts an integer from ``low`` to ``high``, but not a ``bool``."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadValueError("must be a whole number")
        if value < low:
            raise BadValueError(f"must be at least {low}")
        if value > high:
            raise BadValueError(f"must be at most {high}")
        return value

    return read


def spans(value: object) -> tuple[Span, ...]:
    """Accept a list of pairs of whole minutes, and return the spans as a multirange has them.

    Spans that overlap or are adjacent are merged. If there are too many, or one is not a span of a
    day, they are returned as they are: the rules of a group report which one is invalid.
    """
    if not isinstance(value, list | tuple) or not all(map(_is_pair, value)):
        raise BadValueError("must be a list of (start, end), two whole minutes of the day")
    given = tuple((start, end) for start, end in value)
    valid = all(0 <= start < end <= MINUTES_PER_DAY for start, end in given)
    return tuple(merged(given)) if valid and len(given) <= MAX_SPANS else given


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(type(minute) is int and abs(minute) <= MAX_INTEGER for minute in value)
    )


def flag(value: object) -> bool:
    """Accept ``True`` or ``False``, but not a number that is equal to one of them."""
    if not isinstance(value, bool):
        raise BadValueError("must be true or false")
    return value


def civil_date(value: object) -> date:
    """Accept a ``date``, but not a ``datetime``, whose date depends on a time zone."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise BadValueError("must be a date")
    return value


def decimal(value: object) -> Decimal:
    """Accept a ``Decimal`` or an ``int``, but not a ``float``, which is not exact."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise BadValueError("must be an exact decimal")
    return Decimal(value)


def instant(value: object) -> datetime:
    """Accept a ``datetime`` with a UTC offset whose year in UTC is from 1 to 9999.

    PostgreSQL can store an instant outside of these years, but Python cannot read it.
    """
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise BadValueError("must be a datetime with a time zone")
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise BadValueError("must be in the years 1 to 9999 in UTC") from None
    return value


def uuid(value: object) -> UUID:
    """Accept a ``UUID`` object, but not its text."""
    if not isinstance(value, UUID):
        raise BadValueError("must be a UUID")
    return value


def items(field: str, given: object) -> list[Any]:
    """Return the items of a collection; raise ``InvalidInputError`` for ``field`` if it is none.

    A text is not accepted: its items are its characters, which no caller means.
    """
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise InvalidInputError.of(field, "must be a collection")
    return list(given)


def validate(field: str, read: Callable[[object], T], value: object) -> T:
    """Return ``read(value)``; raise ``InvalidInputError`` for ``field`` if the value is invalid."""
    try:
        return read(value)
    except BadValueError as refused:
        raise InvalidInputError.of(field, str(refused)) from None


@lru_cache(maxsize=1024)
def _is_zone(key: str) -> bool:
    with suppress(ValueError, OSError, KeyError):
        ZoneInfo(key)
        return True
    return False
