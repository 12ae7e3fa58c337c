"""The checker knows which days and which minutes are those of the contents."""

from dataclasses import replace

from domain.scheduling.schedule import schedule
from tests.unit.scheduling.build import block, custom, make_request, on, reserve
from tests.unit.scheduling.checker import check
from tests.unit.scheduling.corpus import balanced


def test_checker_accepts_days_without_study_that_are_no_buffer() -> None:
    """All days are buffer days, so none are kept free, and some are idle all the same."""
    request = replace(
        balanced(make_request(custom(1, 2, 30), period="01-06..01-11")), buffer_days=40
    )
    result = schedule(request)
    assert len({row.date for row in result.plans}) == 2
    assert check(request, result) == []


def test_checker_accepts_study_on_a_buffer_day_if_whole_units_do_not_fit_without_it() -> None:
    """A span of 29 minutes holds one unit of 15, and the reserve does not make two of it."""
    request = make_request(
        custom(1, 3, 15),
        period="01-06..01-07",
        cycle=(6, 0),
        blocks=block(10, "10:29") + block(11, "11:29") + reserve(19, 20),
        non_study_blocks=(),
    )
    request = replace(balanced(request), buffer_days=1)
    result = schedule(request)
    assert {row.date for row in result.plans} == {on("01-06"), on("01-07")}
    assert check(request, result) == []
    two = replace(request, contents=(custom(1, 2, 15),))
    spread = schedule(replace(two, buffer_days=0))
    assert "uses the buffer day" in " | ".join(check(two, spread))
