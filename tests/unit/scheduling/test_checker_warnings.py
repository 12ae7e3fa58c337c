"""The checker reports missing, superfluous and wrong warnings, and measures that are not exact."""

from dataclasses import replace
from typing import Any

import pytest

from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request, Strategy
from tests.unit.scheduling.build import block, book, lecture, make_request, reserve
from tests.unit.scheduling.checker import check_rules
from tests.unit.scheduling.corpus import balanced

OVERFULL = make_request(
    book(1, 300),
    book(1, 200, 5, position=2, weekly=2),
    blocks=block(10, 12),
    period="01-06..01-26",
    non_study_blocks=(),
)
LOOSE = make_request(
    book(1, 100),
    lecture(30, None, 30, position=2, weekly=2, wrap_up_minutes=5),
    period="01-06..01-19",
    blocks=block(10, 19) + reserve(19, 22),
)


def of_strategy(request: Request, strategy: Strategy) -> Request:
    return balanced(request) if strategy is Strategy.BALANCED else request


def violations(request: Request, result: Schedule) -> str:
    return " | ".join(check_rules(request, result))


def with_data(result: Schedule, code: str, **data: Any) -> Schedule:
    """Return the schedule with other data in all its warnings of a code."""
    changed = (
        replace(one, data={**one.data, **data}) if one.code == code else one
        for one in result.warnings
    )
    return replace(result, warnings=tuple(changed))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_checker_reports_a_wrong_or_missing_shortage_where_units_are_unplaced(
    strategy: Strategy,
) -> None:
    request = of_strategy(OVERFULL, strategy)
    result = schedule(request)
    assert result.unplaced
    assert violations(request, result) == ""
    assert "the shortage of" in violations(request, with_data(result, "shortage", need=9999))
    others = tuple(one for one in result.warnings if one.code != "shortage")
    assert "no shortage is reported" in violations(request, replace(result, warnings=others))
