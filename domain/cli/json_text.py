"""JSON text as plain values: numbers exact, doubled keys told, notes left out."""

import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from domain.errors import Fault, InvalidInputError

Step: TypeAlias = str | int
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def plain(data: bytes) -> tuple[object, list[Fault]]:
    """The value of UTF-8 JSON in dicts and lists, and what is wrong with single values of it.

    Keys that begin with an underscore are notes and left out. Raises ``InvalidInputError``
    for what is no JSON at all.
    """
    faults: list[Fault] = []
    try:
        return _plain(_parsed(data), (), faults), faults
    except RecursionError:
        raise InvalidInputError.of(path(()), "is nested too deeply") from None


def path(steps: Iterable[Step]) -> str:
    """``contents[0].range``; ``document`` for the whole."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{_shown(step)}"
    return text.removeprefix(".") or "document"


class _Pairs(list[tuple[str, Any]]):
    """An object as it stands in the text, where a key may come twice."""


def _parsed(data: bytes) -> object:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError.of(path(()), f"is not UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise InvalidInputError.of(path(()), "is empty")
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
        raise InvalidInputError.of(path(()), f"is not JSON: {error.msg} ({where})") from None


def _integer(text: str) -> int:
    # int() refuses thousands of digits; twenty are too large just as well
    return int(text[:20])


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond any decimal's
        return Decimal("NaN")


def _plain(value: object, steps: tuple[Step, ...], faults: list[Fault]) -> object:
    match value:
        case _Pairs():
            return dict(_entries(value, steps, faults))
        case list():
            return [_plain(item, (*steps, at), faults) for at, item in enumerate(value)]
        case str() if _UNSTORABLE.search(value):
            faults.append(Fault(path(steps), "must not contain NUL or half a surrogate pair"))
        case Decimal() if not value.is_finite():
            faults.append(Fault(path(steps), "must be a finite number"))
    return value


def _entries(
    pairs: _Pairs, steps: tuple[Step, ...], faults: list[Fault]
) -> Iterator[tuple[str, object]]:
    seen = set()
    for key, value in pairs:
        if key.startswith("_"):
            continue
        if key in seen:
            faults.append(Fault(path((*steps, key)), "is given twice"))
        elif _UNSTORABLE.search(key):
            faults.append(Fault(path((*steps, key)), "is not a known key"))
        else:
            yield key, _plain(value, (*steps, key), faults)
        seen.add(key)


def _shown(key: str) -> str:
    """A key as a terminal and a log line can bear it."""
    brief = key if len(key) <= 40 else f"{key[:39]}…"
    return brief if brief.isprintable() else ascii(brief)[1:-1]
