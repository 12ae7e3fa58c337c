"""JSON text as a document: numbers stay exact and duplicate keys are reported."""

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.documents.document import PlanGroupDocument
from domain.documents.readers import DOCUMENT, below
from domain.errors import Fault, InvalidInputError


def read_json(data: bytes) -> PlanGroupDocument:
    """Read a UTF-8 JSON document; raises ``InvalidInputError`` with every field at fault."""
    faults: list[Fault] = []
    try:
        fields = _plain(_parsed(data), "", faults)
    except RecursionError:
        raise InvalidInputError.of(DOCUMENT, "is nested too deeply") from None
    return PlanGroupDocument.read(fields, faults)


class _Pairs(list[tuple[str, Any]]):
    """An object as it stands in the text, where a key may come twice."""


def _parsed(data: bytes) -> object:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError.of(DOCUMENT, f"is not UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise InvalidInputError.of(DOCUMENT, "is empty")
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
        raise InvalidInputError.of(DOCUMENT, f"is not JSON: {error.msg} ({where})") from None


def _integer(text: str) -> int:
    # int() refuses thousands of digits; twenty are too large just as well
    return int(text[:20])


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond any decimal's
        return Decimal("NaN")


def _plain(value: object, path: str, faults: list[Fault]) -> object:
    match value:
        case _Pairs():
            return dict(_entries(value, path, faults))
        case list():
            return [_plain(item, f"{path}[{at}]", faults) for at, item in enumerate(value)]
        case _:
            return value


def _entries(pairs: _Pairs, path: str, faults: list[Fault]) -> Iterator[tuple[str, object]]:
    seen = set()
    for key, value in pairs:
        if key.startswith("_"):
            continue
        if key in seen:
            faults.append(Fault(below(path, key), "is given twice"))
        else:
            yield key, _plain(value, below(path, key), faults)
        seen.add(key)
