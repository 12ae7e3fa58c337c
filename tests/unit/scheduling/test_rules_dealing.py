"""Cases D1 to D8 of the planning rules: units are dealt as evenly as the days allow."""

from decimal import Decimal
from itertools import combinations_with_replacement, pairwise

import pytest

from domain.scheduling.calendar import calendar
from domain.scheduling.demand import Demand, demands
from domain.scheduling.distribution.deal import NEVER, deal_one
from domain.scheduling.distribution.nearest import MAX_SMALL, nearest_counts
from domain.scheduling.placement import Room
from domain.scheduling.rounding import even_deal
from domain.scheduling.schedule import schedule
from domain.scheduling.types import AcademySchedule, Busy, Factors, NonStudyBlock
from tests.unit.scheduling.build import (
    block,
    book,
    custom,
    holiday,
    lecture,
    make_request,
    on,
    reserve,
)
from tests.unit.scheduling.checker import check

BOUNDARIES = {
    "D1": (100, 7, [14, 29, 43, 57, 71, 86, 100]),
    "D2": (100, 3, [33, 67, 100]),
    "D3": (10, 4, [3, 5, 8, 10]),
    "D4": (103, 10, [10, 21, 31, 41, 52, 62, 72, 82, 93, 103]),
}


def demand(units: int, days: int) -> Demand:
    """Return a demand of ``units`` units of one minute for the first ``days`` days."""
    request = make_request(book(1, units, 1), period=f"01-06..01-{5 + days:02}", cycle=(6, 0))
    (found,) = demands(request, calendar(request), 0)
    return found


def nearest(units: int, capacities: list[int], reserve: list[int] | None = None) -> list[int]:
    """Return the units per day of the nearest deal of one-minute units to days of these minutes."""
    extra = reserve or [0] * len(capacities)
    rooms = {
        day: Room(
            [(600, 600 + study)] if study else [], [(1200, 1200 + evening)] if evening else []
        )
        for day, (study, evening) in enumerate(zip(capacities, extra, strict=True))
    }
    even = even_deal(units, len(capacities))
    deal = deal_one(demand(units, len(capacities)), even, rooms, NEVER)
    return [after - before for before, after in pairwise([0, *deal.counts])]


@pytest.mark.parametrize("case", BOUNDARIES)
def test_even_deal_rounds_the_cumulative_counts_half_up(case: str) -> None:
    total, days, boundaries = BOUNDARIES[case]
    assert even_deal(total, days) == boundaries


def test_even_deal_of_five_units_to_ten_days_has_five_days_with_one_unit() -> None:
    """Case D5 of the planning rules."""
    counts = [0, *even_deal(5, 10)]
    assert sorted(after - before for before, after in pairwise(counts)) == [0] * 5 + [1] * 5


def test_even_deal_puts_a_single_unit_on_the_middle_day() -> None:
    """Case D6 of the planning rules."""
    assert even_deal(1, 3) == [0, 1, 1]


def test_even_deal_of_units_without_days_raises_an_error() -> None:
    """Case D7 of the planning rules."""
    with pytest.raises(ValueError, match="no day to deal units to"):
        even_deal(1, 0)
    assert even_deal(0, 0) == []


def test_deal_moves_the_units_of_a_short_day_to_its_neighbours() -> None:
    """Case D8 of the planning rules."""
    assert nearest(15, [10, 3, 10]) == [6, 3, 6]


def test_deal_prefers_earlier_units_among_equally_near_deals() -> None:
    """The even counts are 5, 11 and 16; both 6, 9 and 7, 10 differ by one and by two."""
    assert nearest(16, [10, 3, 10]) == [7, 3, 6]


def least_counts(
    targets: list[int], least: list[int], study: list[int], extra: list[int] | None = None
) -> list[int]:
    """Return the items per day nearest to cumulative targets, with the least items of each day."""
    units = targets[-1]
    spans = [[minutes] for minutes in study]
    both = spans if extra is None else [[*pair] for pair in zip(study, extra, strict=True)]
    counts = nearest_counts([*range(units + 1)], targets, spans, both, least)
    assert counts is not None
    return [after - before for before, after in pairwise([0, *counts])]


def test_deal_gives_each_day_its_least_units_where_the_targets_do_not() -> None:
    assert least_counts([9, 9, 10, 12], [2, 2, 2, 2], [10, 10, 10, 10]) == [6, 2, 2, 2]


def test_deal_gives_as_many_days_as_possible_their_least_units() -> None:
    """The second day holds one unit, and five units are enough for two days."""
    assert least_counts([9, 9, 9, 9], [2, 2, 2, 2], [9, 1, 9, 9]) == [5, 0, 2, 2]
    assert least_counts([5, 5, 5], [2, 2, 2], [9, 9, 9]) == [3, 2, 0]


def test_deal_gives_days_their_least_units_in_the_reserve_if_study_time_is_full() -> None:
    assert least_counts([7, 7, 10], [2, 2, 2], [4, 0, 2], [9, 9, 9]) == [6, 2, 2]


def test_deal_of_many_units_gives_each_day_its_least_units() -> None:
    units = MAX_SMALL
    assert least_counts([units] * 3, [2, 2, 2], [units] * 3) == [units - 4, 2, 2]
    assert least_counts([units] * 3, [2, 2, 2], [units, 1, units]) == [units - 2, 0, 2]


@pytest.mark.parametrize("total", [0, 1, 6, 7, 100, 103])
@pytest.mark.parametrize("days", range(1, 15))
def test_even_deal_is_complete_and_ascending_and_even_to_one_unit(total: int, days: int) -> None:
    counts = even_deal(total, days)
    shares = [after - before for before, after in pairwise([0, *counts])]
    assert len(counts) == days
    assert counts[-1] == total
    assert max(shares) - min(shares) <= 1
    assert min(shares) >= 0


@pytest.mark.parametrize("units", range(1, 10))
@pytest.mark.parametrize("capacities", [[4, 1, 4], [1, 5, 3], [0, 3, 6], [3, 3, 3], [2, 0, 7]])
def test_deal_is_the_nearest_of_all_deals_that_fit(units: int, capacities: list[int]) -> None:
    """Compare with all possible deals; among equals, the one with the earlier units is expected."""
    even = even_deal(units, 3)
    possible = [
        [*counts, units]
        for counts in combinations_with_replacement(range(units + 1), 2)
        if all(
            after - before <= room
            for before, after, room in zip([0, *counts], [*counts, units], capacities, strict=True)
        )
    ]
    least = min(distance(counts, even) for counts in possible)
    earliest = max(counts for counts in possible if distance(counts, even) == least)
    found = nearest(units, capacities)
    assert [sum(found[: day + 1]) for day in range(3)] == earliest


def distance(counts: list[int], even: list[int]) -> int:
    return sum((count - target) ** 2 for count, target in zip(counts, even, strict=True))


def test_deal_uses_the_study_time_of_all_days_before_any_reserve() -> None:
    assert nearest(9, [5, 1, 5], [9, 9, 9]) == [4, 1, 4]
    assert nearest(12, [5, 1, 5], [9, 9, 9]) == [5, 2, 5]


def test_contents_that_are_dealt_again_leave_no_gap_before_other_contents() -> None:
    """Two contents are dealt again, and the rows of the third move into the time this leaves."""
    request = make_request(
        book(32, 70, 85, position=8),
        custom(38, 58, 66, position=5, weekly=3),
        lecture(None, None, 101, 4, None, first=33, position=16, weekly=2),
        period="03-03..03-28",
        today="03-11",
        cycle=(6, 0),
        blocks=block("2:00", "7:02") + reserve("8:23", "9:41", (2, 4, 5)),
        non_study_blocks=(NonStudyBlock(3, 330, 415), NonStudyBlock(5, 330, 415)),
        academy_schedules=(AcademySchedule(5, 110, 233, 0),),
        exclusions=holiday("03-05"),
        busy=(Busy(on("03-20"), 270, 412),),
        factors=Factors(
            level=Decimal("0.85"),
            weakness=Decimal("1.2"),
            strategy=Decimal("0.95"),
            review=Decimal("0.15"),
        ),
    )
    assert check(request, schedule(request)) == []
