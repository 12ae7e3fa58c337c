"""Single values: each function accepts one kind and refuses everything else in a sentence.

Documents, editing services and the rows of ``uow.groups.add()`` are checked by these
functions, so that all of them accept and refuse the same. Each returns the value as the
rows hold it and raises ``BadValueError``. A sentence never repeats the value, which may
be long and unfit for a terminal.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.errors import InvalidInputError
from domain.scheduling.vocabulary import Difficulty, ExclusionType

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
"""The Korean words that are accepted beside an enum's own."""
MAX_TEXT: Final = 200
"""The most characters of a name, a title, a reason and every other text."""
MAX_INTEGER: Final = 2**31 - 1
MAX_SMALL_INTEGER: Final = 2**15 - 1
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class BadValueError(ValueError):
    """A value was refused; its text is the rest of the sentence that begins with the field."""


def text(value: object) -> str:
    """Up to ``MAX_TEXT`` characters that PostgreSQL can store."""
    if not isinstance(value, str):
        raise BadValueError("must be text")
    if _UNSTORABLE.search(value):
        raise BadValueError("must not contain NUL or half of a surrogate pair")
    if len(value) > MAX_TEXT:
        raise BadValueError(f"must be at most {MAX_TEXT} characters long")
    return value


def name(value: object) -> str:
    """Text with at least one character that is not blank."""
    if not (named := text(value)).strip():
        raise BadValueError("must not be empty")
    return named


def zone_name(value: object) -> str:
    """The name of a time zone that this machine knows."""
    named = text(value)
    if not _is_zone(named):
        raise BadValueError("must be the name of a time zone such as Asia/Seoul")
    return named


def members_by_text(kind: type[E]) -> dict[str, E]:
    """The spellings of an enum's members: Korean ones, where people write them, and its own."""
    korean: Any = KOREAN.get(kind, {})
    return {**korean, **{one.value: one for one in kind}}


def member(kind: type[E]) -> Callable[[object], E]:
    """A member of ``kind``, by its text."""
    members = members_by_text(kind)

    def read(value: object) -> E:
        if not isinstance(value, str) or value not in members:
            raise BadValueError(f"must be one of {', '.join(members)}")
        return members[value]

    return read


def integer(low: int, high: int) -> Callable[[object], int]:
    """A whole number, both limits included. ``True`` is none."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadValueError("must be a whole number")
        if value < low:
            raise BadValueError(f"must be at least {low}")
        if value > high:
            raise BadValueError(f"must be at most {high}")
        return value

    return read


def flag(value: object) -> bool:
    """``True`` or ``False``, and no number that equals one of them."""
    if not isinstance(value, bool):
        raise BadValueError("must be true or false")
    return value


def civil_date(value: object) -> date:
    """A ``date``; a moment has none without a zone."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise BadValueError("must be a date")
    return value


def decimal(value: object) -> Decimal:
    """An exact number; a float is not what it looks like."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise BadValueError("must be an exact decimal")
    return Decimal(value)


def instant(value: object) -> datetime:
    """A ``datetime`` with its offset."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise BadValueError("must be a datetime with a time zone")
    return value


def uuid(value: object) -> UUID:
    """A ``UUID``, not its text."""
    if not isinstance(value, UUID):
        raise BadValueError("must be a UUID")
    return value


def checked(field: str, read: Callable[[object], T], value: object) -> T:
    """The value as ``read`` returns it; raises ``InvalidInputError`` that names ``field``."""
    try:
        return read(value)
    except BadValueError as refused:
        raise InvalidInputError.of(field, str(refused)) from None


@lru_cache(maxsize=1024)
def _is_zone(named: str) -> bool:
    with suppress(ValueError, OSError, KeyError):
        ZoneInfo(named)
        return True
    return False
