"""Tiny requests, for which the schedule is compared with the best of all possibilities."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain.errors import NothingPlacedError
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Block, BlockKind, Request
from tests.unit.scheduling.build import book, lecture, make_request, on
from tests.unit.scheduling.checker import (
    both_fit,
    check,
    fewest_cuts,
    fewest_cuts_of_two,
    least_reserve_counts,
    least_reserve_of_two,
    longest_piece,
    most_units,
    nearest_counts,
)
from tests.unit.scheduling.checking.world import strategy_indices, weekday

START = on("01-06")
tiny = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)
rooms = st.lists(st.integers(1, 24), min_size=1, max_size=4)
long_rooms = st.lists(st.integers(1, 70), min_size=1, max_size=4)
long_unit_lists = st.lists(
    st.one_of(st.integers(4, 19), st.integers(20, 40), st.integers(20, 90)), min_size=1, max_size=5
)
unit_lists = st.one_of(
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.tuples(st.integers(1, 12), st.integers(1, 8)).map(lambda pair: [pair[0]] * pair[1]),
)


def daily_blocks(room: list[int]) -> tuple[Block, ...]:
    """Return one span per day, as long as the day's room, from the first day of the period on."""
    days = [START + timedelta(days=offset) for offset in range(len(room))]
    return tuple(
        Block(BlockKind.STUDY, weekday(day), 600, 600 + capacity)
        for day, capacity in zip(days, room, strict=True)
    )


def tiny_request(minutes: list[int], room: list[int]) -> Request:
    """Return a request for a weakness lecture with these episodes, without review days."""
    end = START + timedelta(days=len(room) - 1)
    return make_request(
        lecture(*minutes),
        period=f"{START}..{end}",
        blocks=daily_blocks(room),
        non_study_blocks=(),
        cycle=(6, 0),
    )


def with_evenings(request: Request, later: list[int]) -> Request:
    """Return a tiny request with one span of reserve on the evening of each day."""
    evenings = tuple(
        replace(span, kind=BlockKind.SELF_STUDY, start_minute=1200, end_minute=1200 + capacity)
        for span, capacity in zip(request.blocks, later, strict=True)
        if capacity
    )
    return replace(request, blocks=request.blocks + evenings)


def counts(result: Schedule, days: int) -> list[int]:
    """Return the number of units per day."""
    dates = [START + timedelta(days=offset) for offset in range(days)]
    return [
        sum(r.last_unit - r.first_unit + 1 for r in result.plans if r.date == day) for day in dates
    ]


def cuts(result: Schedule) -> int:
    """Return the number of pieces beyond the first of each unit."""
    return sum(1 for row in result.plans if row.part > 1)


@tiny
@given(unit_lists, rooms)
def test_schedule_of_uncut_units_is_the_nearest_to_the_even_deal(
    minutes: list[int], room: list[int]
) -> None:
    best = nearest_counts(minutes, room)
    assume(best is not None)
    result = schedule(tiny_request(minutes, room))
    assert result.unplaced == ()
    assert cuts(result) == 0
    assert counts(result, len(room)) == best


@tiny
@given(long_unit_lists, long_rooms)
def test_schedule_places_all_units_with_the_fewest_cuts_if_no_uncut_deal_exists(
    minutes: list[int], room: list[int]
) -> None:
    fewest = fewest_cuts(minutes, room)
    assume(fewest)
    request = tiny_request(minutes, room)
    result = schedule(request)
    assert result.unplaced == ()
    assert cuts(result) == fewest
    assert check(request, result) == []


@tiny
@given(st.one_of(unit_lists, long_unit_lists), st.one_of(rooms, long_rooms))
def test_schedule_places_as_many_units_as_possible_if_some_find_no_place(
    minutes: list[int], room: list[int]
) -> None:
    assume(fewest_cuts(minutes, room) is None)
    wanted = most_units(minutes, room)
    request = tiny_request(minutes, room)
    if wanted == 0:
        with pytest.raises(NothingPlacedError):
            schedule(request)
        return
    result = schedule(request)
    assert max(row.last_unit for row in result.plans) == wanted
    assert cuts(result) == fewest_cuts(minutes[:wanted], room)
    assert check(request, result) == []


@tiny
@given(st.integers(20, 150), long_rooms)
def test_schedule_splits_a_unit_that_no_day_holds_into_equal_parts(
    minutes: int, room: list[int]
) -> None:
    longest = longest_piece(minutes, room)
    assume(longest is not None and longest < minutes)
    result = schedule(tiny_request([minutes], room))
    assert cuts(result) == fewest_cuts([minutes], room)
    assert max(row.minutes for row in result.plans) == longest


@tiny
@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(2, 9),
    st.integers(2, 9),
    st.lists(st.integers(1, 14), min_size=2, max_size=4),
    st.sampled_from([2, 3]),
)
def test_schedule_places_two_contents_completely_if_and_only_if_their_minutes_fit(  # noqa: PLR0917 - one per strategy
    units: int, others: int, tens: int, other_tens: int, room: list[int], weekly: int
) -> None:
    end = START + timedelta(days=len(room) - 1)
    request = make_request(
        book(1, units, 10 * tens, position=1),
        book(1, others, 10 * other_tens, position=2, weekly=weekly),
        period=f"{START}..{end}",
        blocks=daily_blocks([10 * capacity for capacity in room]),
        non_study_blocks=(),
        cycle=(6, 0),
    )
    own = strategy_indices(len(room), weekly)
    shared = [day in own for day in range(len(room))]
    try:
        result = schedule(request)
    except NothingPlacedError:
        assert tens > sum(room)
        return
    assert (result.unplaced == ()) == both_fit(units * tens, others * other_tens, room, shared)
    assert check(request, result) == []


@tiny
@given(
    st.integers(1, 8),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=4),
)
def test_reserve_has_only_units_that_no_study_time_of_an_own_day_holds(
    total: int, unit: int, room: list[tuple[int, int]]
) -> None:
    study, later = [capacity for capacity, _ in room], [capacity for _, capacity in room]
    best = least_reserve_counts(total, unit, study, later)
    assume(best is not None)
    request = replace(tiny_request([unit] * total, study), contents=(book(1, total, unit),))
    result = schedule(with_evenings(request, later))
    assert result.unplaced == ()
    assert counts(result, len(room)) == best


@tiny
@given(
    st.tuples(st.integers(1, 4), st.integers(2, 25)),
    st.tuples(st.integers(1, 4), st.integers(2, 25)),
    st.lists(
        st.tuples(st.integers(1, 60), st.one_of(st.just(0), st.integers(1, 40))),
        min_size=1,
        max_size=3,
    ),
)
def test_reserve_of_two_contents_is_at_most_a_unit_per_content_more_than_necessary(
    first: tuple[int, int], second: tuple[int, int], room: list[tuple[int, int]]
) -> None:
    study, later = [capacity for capacity, _ in room], [capacity for _, capacity in room]
    least = least_reserve_of_two((first, second), study, later)
    assume(least is not None)
    request = with_evenings(tiny_request([1], study), later)
    contents = (book(1, *first), book(1, *second, position=2))
    result = schedule(replace(request, contents=contents))
    # To place everything is a bin packing problem: what is unplaced is less than two units.
    assert len(result.unplaced) <= 1
    assert sum(tail.minutes for tail in result.unplaced) <= max(first[1], second[1])
    used = sum(row.minutes for row in result.plans if row.reserve)
    assert least is not None
    # The least reserve of several contents is a knapsack problem, so this is a bound.
    assert least <= used <= least + first[1] + second[1]


@tiny
@given(
    st.lists(st.integers(2, 7), min_size=1, max_size=3),
    st.lists(st.integers(2, 7), min_size=1, max_size=3),
    st.lists(st.integers(2, 9), min_size=2, max_size=3),
)
def test_schedule_cuts_two_contents_at_most_once_more_than_necessary(
    first: list[int], second: list[int], room: list[int]
) -> None:
    own = strategy_indices(len(room), 2)
    best = fewest_cuts_of_two(first, second, room, [day in own for day in range(len(room))])
    assume(best is not None)
    # In tens of minutes, so that every unit can be cut.
    request = tiny_request([10 * tens for tens in first], [10 * tens for tens in room])
    both = (*request.contents, lecture(*(10 * tens for tens in second), position=2, weekly=2))
    result = schedule(replace(request, contents=both))
    assert result.unplaced == ()
    assert best is not None
    # Finding the least number of cuts for several contents is bin packing, which is NP-hard. The
    # engine is exact for one content, and for two it may need one cut more than the optimum.
    assert best <= cuts(result) <= best + 1


def test_oracle_finds_the_deal_of_the_specification() -> None:
    assert nearest_counts([1] * 15, [10, 3, 10]) == [6, 3, 6]


def test_oracle_counts_cuts() -> None:
    assert fewest_cuts([30, 30], [20, 40]) == 1
    assert fewest_cuts([30, 30], [30, 30]) == 0
    assert fewest_cuts([45], [15, 15, 15]) == 2
    assert fewest_cuts([45], [15, 15]) is None
    assert fewest_cuts_of_two([2], [3, 5], [7, 6], [True, True]) == 0
    assert fewest_cuts_of_two([3], [3], [3, 2, 2], [True, False, True]) == 1


def test_oracle_does_not_cut_short_units() -> None:
    assert fewest_cuts([19, 19], [30, 10]) is None
    assert most_units([19, 19, 20], [30, 30, 30]) == 3
    assert most_units([19, 20, 19], [30, 10, 18]) == 2


def test_oracle_divides_a_long_unit_equally() -> None:
    assert longest_piece(500, [300, 300, 300]) == 250
    assert longest_piece(90, [10, 60, 40]) == 50
    assert longest_piece(90, [10, 60, 10]) is None


def test_oracle_fills_study_time_before_the_reserve() -> None:
    assert least_reserve_counts(3, 6, [1, 12], [14, 17]) == [1, 2]
    assert least_reserve_counts(8, 5, [3, 17, 17], [18, 4, 4]) == [2, 3, 3]
    assert least_reserve_of_two(((2, 5), (1, 7)), [10, 7], [0, 0]) == 0
    assert least_reserve_of_two(((2, 5), (1, 7)), [9, 7], [0, 10]) == 5
