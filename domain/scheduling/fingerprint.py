"""The fingerprint of a request, which does not depend on the order of its rows."""

import hashlib
import json
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import Any

from domain.scheduling.types import Request


def fingerprint(request: Request) -> str:
    """Return the SHA-256 hash of the request's canonical JSON, in hexadecimal."""
    document = json.dumps(_plain(request), separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


def _plain(record: Any) -> dict[str, Any]:
    """Return a record as JSON values. Rows are sorted; episodes, whose order matters, are not."""
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
    if isinstance(value, tuple) and all(isinstance(part, tuple) for part in value):
        return sorted(value)  # the spans of a special day
    return value
