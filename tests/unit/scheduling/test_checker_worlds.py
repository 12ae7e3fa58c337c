"""The checker knows which days and which minutes are those of the contents."""

from dataclasses import replace

import pytest

from domain.errors import NoBlocksError
from domain.scheduling.schedule import schedule
from domain.scheduling.types import PlanKind, Request, SpecialDay, Strategy
from tests.unit.scheduling.build import block, book, custom, kept, make_request, on, reserve
from tests.unit.scheduling.checker import check, check_refusal, check_rules
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


SPECIAL = replace(
    make_request(book(1, 20), period="01-06..01-08", cycle=(2, 1), non_study_blocks=()), blocks=()
)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("first", [((600, 660),), ()], ids=["study", "self-study"])
def test_checker_accepts_a_group_with_special_days_only(
    strategy: Strategy, first: tuple[tuple[int, int], ...]
) -> None:
    days = (
        SpecialDay(on("01-06"), first, ((660, 720),)),
        SpecialDay(on("01-07"), first, ((660, 720),)),
        SpecialDay(on("01-08"), first, ((660, 720),)),
    )
    request = replace(SPECIAL, special_days=days)
    request = balanced(request) if strategy is Strategy.BALANCED else request
    result = schedule(request)
    assert check_rules(request, result) == []
    assert check_refusal(request, NoBlocksError())


def test_checker_accepts_that_a_group_without_any_time_has_no_blocks() -> None:
    assert check_refusal(SPECIAL, NoBlocksError()) == []
    closed = replace(SPECIAL, special_days=(SpecialDay(on("01-06")),))
    assert check_refusal(closed, NoBlocksError()) == []


def begun(part: int) -> Request:
    """Return a group with one unit of an hour, of which one of two pieces is done."""
    piece = kept(1, 1, "01-06", 10, 10.5, part=part, parts=2)
    return make_request(
        custom(1, 1, 60),
        period="01-06..01-10",
        today="01-07",
        cycle=(3, 1),
        blocks=block(10, "10:40"),
        non_study_blocks=(),
        kept=(piece,),
    )


@pytest.mark.parametrize("part", [1, 2])
def test_checker_counts_only_the_pieces_that_are_left_of_a_unit(part: int) -> None:
    request = begun(part)
    result = schedule(request)
    (row,) = (row for row in result.plans if row.kind is PlanKind.STUDY)
    assert row.minutes == 30
    assert check_rules(request, result) == []
    long = replace(row, end_minute=row.end_minute + 6)
    others = (one for one in result.plans if one != row)
    found = " | ".join(check_rules(request, replace(result, plans=(long, *others))))
    assert "the pieces of unit 1 take 66 min, but it costs 60" in found


@pytest.mark.parametrize("part", [1, 2])
def test_checker_takes_a_unit_for_studied_on_the_last_day_of_its_pieces(part: int) -> None:
    request = begun(part)
    result = schedule(request)
    reviews = [row for row in result.plans if row.kind is PlanKind.REVIEW]
    assert [(row.first_unit, row.last_unit) for row in reviews] == [(1, 1)]
    study = tuple(row for row in result.plans if row.kind is PlanKind.STUDY)
    found = " | ".join(check_rules(request, replace(result, plans=study)))
    assert "units 1 of content 1 have neither a review nor a warning" in found
    late = tuple(replace(row, date=on("01-10"), cycle=2, cycle_day=1) for row in study)
    found = " | ".join(check_rules(request, replace(result, plans=(*reviews, *late))))
    assert "covers units 1 that its cycle has not studied before" in found


def test_checker_does_not_expect_again_what_a_kept_review_covers() -> None:
    request = make_request(
        book(1, 20, 6),
        period="01-06..01-08",
        cycle=(2, 1),
        today="01-08",
        kept=(kept(1, 20, "01-06", 10, 12), kept(8, 12, "01-08", 10, 10.2, kind=PlanKind.REVIEW)),
    )
    result = schedule(request)
    assert [(row.first_unit, row.last_unit) for row in result.plans] == [(1, 7), (13, 20)]
    assert check_rules(request, result) == []
