"""The types of a document's values: each reads one form and refuses the others in a sentence.

A sentence never repeats the value: that may be long, and unfit for a terminal.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from domain.scheduling.validation import HIGHEST_FACTOR
from domain.scheduling.vocabulary import MINUTES_OF_A_DAY, Difficulty, ExclusionType

T = TypeVar("T")
Word = TypeVar("Word", bound=StrEnum)

LARGEST_INTEGER: Final = 2**31 - 1
KOREAN_EXCLUSIONS: Final = {
    "휴가": ExclusionType.VACATION,
    "개인사정": ExclusionType.PERSONAL,
    "기타": ExclusionType.OTHER,
    "휴일지정": ExclusionType.DESIGNATED_HOLIDAY,
}
KOREAN_DIFFICULTIES: Final = {
    "기초": Difficulty.FOUNDATION,
    "기본": Difficulty.STANDARD,
    "심화": Difficulty.ADVANCED,
    "최상": Difficulty.TOP,
    "개념": Difficulty.FOUNDATION,
}


def word(kind: type[Word], also: Mapping[str, Word] | None = None) -> BeforeValidator:
    """One of the words of ``kind``, or of the other spellings."""
    words = {**(also or {}), **{word.value: word for word in kind}}

    def read(value: object) -> Word:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return words[value]

    return BeforeValidator(read)


def civil_date(value: object) -> date:
    """``2025-01-31`` and no other spelling; raises ``ValueError``."""
    # fromisoformat alone would also take 20250101 and 2025-W01-3
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        with suppress(ValueError):
            return date.fromisoformat(value)
    raise ValueError("must be a date such as 2025-01-31")


def instead_of_minutes(episodes: T, info: ValidationInfo) -> T:
    """A validator of ``episodes``, which must not stand beside ``minutes_per_unit``."""
    if episodes is not None and info.data.get("minutes_per_unit") is not None:
        raise ValueError("must not stand beside minutes_per_unit")
    return episodes


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
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        if number.is_finite() and 0 < number <= HIGHEST_FACTOR and number == round(number, 6):
            return number
    raise ValueError(
        f"must be a number greater than 0, at most {HIGHEST_FACTOR}, of up to 6 decimal places"
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


Text: TypeAlias = Annotated[str, Field(max_length=200)]
Name: TypeAlias = Annotated[Text, AfterValidator(_not_blank)]
ZoneName: TypeAlias = Annotated[Text, AfterValidator(_zone_name)]
CivilDate: TypeAlias = Annotated[date, BeforeValidator(civil_date)]
Factor: TypeAlias = Annotated[Decimal, BeforeValidator(_factor)]
Amount: TypeAlias = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
Minutes: TypeAlias = Annotated[int, Field(ge=1, le=MINUTES_OF_A_DAY)]
AnyMinutes: TypeAlias = Annotated[int, Field(ge=0, le=MINUTES_OF_A_DAY)]
UnitRange: TypeAlias = Annotated[tuple[int, int], BeforeValidator(_unit_range)]
Weekday: TypeAlias = Annotated[int, Field(ge=0, le=6)]
Listed: TypeAlias = Annotated[tuple[T, ...], BeforeValidator(_listed)]
Weekdays: TypeAlias = Annotated[Listed[Weekday], AfterValidator(_week)]
Start: TypeAlias = Annotated[int, BeforeValidator(_minute_of_day), AfterValidator(_before_midnight)]
End: TypeAlias = Annotated[int, BeforeValidator(_minute_of_day), AfterValidator(_after_start)]
