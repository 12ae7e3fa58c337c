"""A shortage is reported only where time was really short."""

from typing import Any

import pytest

from domain.documents import PlanGroupDocument
from domain.documents.rows import to_request
from domain.scheduling.schedule import schedule

BLOCKS = [
    {"kind": "study", "start": "17:00", "end": "18:00"},
    {"kind": "study", "start": "20:00", "end": "21:00"},
]
CONTENTS = [
    {
        "type": "custom",
        "title": "Topics",
        "allocation": "weakness",
        "range": [1, 12],
        "minutes_per_unit": 35,
    },
    {
        "type": "custom",
        "title": "Papers",
        "allocation": "strategy",
        "weekly_days": 2,
        "range": [1, 3],
        "minutes_per_unit": 60,
    },
]
RESERVE = {"kind": "self_study", "start": "21:00", "end": "23:00"}


def reported(**fields: Any) -> tuple[set[str], bool, bool]:
    """Return the codes of the warnings, whether units are unplaced, and whether in the reserve."""
    document = PlanGroupDocument.from_mapping(
        {
            "name": "shortages",
            "strategy": "even",
            "period": {"start": "2026-10-29", "end": "2026-11-04"},
            "blocks": BLOCKS,
            "contents": CONTENTS,
            **fields,
        }
    )
    request = to_request(document)
    result = schedule(request)
    in_reserve = any(plan.reserve and plan.kind == "study" for plan in result.plans)
    return {warning.code for warning in result.warnings}, bool(result.unplaced), in_reserve


def test_shortage_is_not_reported_if_all_units_are_placed_in_study_time() -> None:
    codes, unplaced, in_reserve = reported()
    assert not unplaced
    assert not in_reserve
    assert "shortage" not in codes


@pytest.mark.parametrize(
    "blocks", [BLOCKS[:1], [*BLOCKS[:1], RESERVE]], ids=["unplaced", "reserve"]
)
def test_shortage_is_reported_if_study_time_does_not_suffice(blocks: list[dict[str, str]]) -> None:
    codes, unplaced, in_reserve = reported(blocks=blocks)
    assert unplaced or in_reserve
    assert "shortage" in codes
