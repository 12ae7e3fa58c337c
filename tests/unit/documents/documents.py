"""Documents for tests: the example in the package, and a small document."""

import json
from importlib import resources
from typing import Any

from domain.documents import PlanGroupDocument, read_json

EXAMPLE = resources.files("domain.documents").joinpath("example.json").read_bytes()
BOOK: dict[str, Any] = {
    "type": "book",
    "title": "수학",
    "allocation": "weakness",
    "range": [1, 40],
    "minutes_per_unit": 5,
}
LECTURE: dict[str, Any] = {
    "type": "lecture",
    "title": "영어",
    "allocation": "weakness",
    "range": [3, 6],
}
SMALL: dict[str, Any] = {
    "name": "기말고사",
    "period": {"start": "2025-01-06", "end": "2025-01-12"},
    "blocks": [{"kind": "study", "start": "10:00", "end": "12:00"}],
    "contents": [BOOK],
}


def written(**keys: Any) -> bytes:
    """Return the JSON of a small document of one week, with these keys replaced or added."""
    return json.dumps({**SMALL, **keys}).encode()


def small(**keys: Any) -> PlanGroupDocument:
    """Return the same document, parsed."""
    return read_json(written(**keys))
