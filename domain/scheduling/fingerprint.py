"""The fingerprint of a request: equal requests have equal ones, in whatever order rows stand."""

import hashlib
import json
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import Any

from domain.scheduling.planning import Request


def fingerprint(request: Request) -> str:
    """The sha256, in hexadecimal, of the request's canonical JSON."""
    document = json.dumps(_plain(request), separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


def _plain(record: Any) -> dict[str, Any]:
    """A record as plain values; rows are sorted, except where the order means something."""
    values = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, tuple) and field.name != "episode_minutes":
            value = sorted(
                ([_text(getattr(row, part.name)) for part in fields(row)] for row in value),
                key=json.dumps,
            )
        elif hasattr(value, "__dataclass_fields__"):
            value = _plain(value)
        values[field.name] = _text(value)
    return values


def _text(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value.normalize())
    return value
