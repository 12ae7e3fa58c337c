"""The checker reports missing, superfluous and wrong warnings, and measures that are not exact."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.scheduling.result import PlanWarning, Schedule, warning
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


SUPERFLUOUS: dict[str, tuple[PlanWarning, str]] = {
    "a unit outside the range": (
        warning("unreviewed", cycle=1, content=2, first_unit=99, last_unit=99),
        "cycle 1 does not study them",
    ),
    "a unit of another cycle": (
        warning("unreviewed", cycle=2, content=2, first_unit=1, last_unit=1),
        "cycle 2 does not study them",
    ),
    "a wrap-up of no session": (
        warning("wrap_up_shrunk", date="2030-01-01", content=2, need=5, given=0),
        "there is no session",
    ),
    "episodes of known length": (
        warning("assumed_minutes", content=2, first_unit=3, last_unit=3, minutes=30),
        "the warning assumed_minutes is",
    ),
    "reviews of a cycle without any": (
        warning("review_shrunk", cycle=9, need=9, free=8),
        "without any",
    ),
    "a period of two weeks": (warning("long_period", days=14), "the warning long_period is"),
    "two contents": (warning("many_contents", count=2), "the warning many_contents is"),
    "contents that remain": (warning("nothing_left"), "the warning nothing_left is"),
    "an unknown code": (warning("unknown"), "['unknown'] do not exist"),
}


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("subject", SUPERFLUOUS)
def test_checker_reports_a_superfluous_warning_about(subject: str, strategy: Strategy) -> None:
    superfluous, expected = SUPERFLUOUS[subject]
    request = of_strategy(LOOSE, strategy)
    result = schedule(request)
    assert violations(request, result) == ""
    more = replace(result, warnings=(*result.warnings, superfluous))
    assert expected in violations(request, more)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_checker_reports_wrong_data_and_repeated_warnings(strategy: Strategy) -> None:
    request = of_strategy(LOOSE, strategy)
    result = schedule(request)
    wrong = with_data(result, "assumed_minutes", minutes=999)
    assert "the warning assumed_minutes is" in violations(request, wrong)
    twice = replace(result, warnings=result.warnings * 2)
    assert "is reported 2 times" in violations(request, twice)


@pytest.mark.parametrize("days", [366, 367])
def test_checker_accepts_the_warning_about_a_period_only_if_it_is_long(days: int) -> None:
    end = LOOSE.period_start + timedelta(days=days - 1)
    request = replace(LOOSE, period_end=end)
    result = schedule(request)
    assert ("long_period" in {one.code for one in result.warnings}) == (days > 366)
    assert violations(request, result) == ""
    without = replace(
        result, warnings=tuple(one for one in result.warnings if one.code != "long_period")
    )
    assert ("the warning long_period is" in violations(request, without)) == (days > 366)


@pytest.mark.parametrize("count", [6, 7])
def test_checker_accepts_the_warning_about_contents_only_if_they_are_many(count: int) -> None:
    contents = (book(1, 6, position=position) for position in range(1, count + 1))
    request = make_request(*contents)
    result = schedule(request)
    assert ("many_contents" in {one.code for one in result.warnings}) == (count > 6)
    assert violations(request, result) == ""
    assert ("many_contents" in violations(request, replace(result, warnings=()))) == (count > 6)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("measure", ["slack_days", "variation", "fullness", "short_rows"])
def test_checker_reports_a_measure_that_is_not_exact(measure: str, strategy: Strategy) -> None:
    request = of_strategy(LOOSE, strategy)
    result = schedule(request)
    value = getattr(result.quality, measure)
    quality = replace(result.quality, **{measure: value + 1})
    assert f"{measure} is {value}" in violations(request, replace(result, quality=quality))


def test_checker_reports_a_missing_explanation() -> None:
    request = replace(OVERFULL, contents=OVERFULL.contents[:1], blocks=block(10, 11))
    result = schedule(request)
    assert violations(request, result) == ""
    assert "no certificate" in violations(request, replace(result, certificate=None))
    assert "can be left out" in violations(request, replace(result, repairs=()))
