"""What ``balanced`` does where days are tight: packing, idle study time, and short sessions."""

from itertools import product
from typing import Any

import pytest

from domain.scheduling.distribution.ledger import ANY, Ledger
from domain.scheduling.distribution.packing import ReserveNeeds, packed
from domain.scheduling.distribution.relief import Relief
from domain.scheduling.distribution.sessions import Sessions
from domain.scheduling.placement import Room
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Content, PlanKind, Request
from tests.unit.scheduling.build import (
    MONDAY,
    TUESDAY,
    block,
    book,
    custom,
    lecture,
    make_request,
    study,
)
from tests.unit.scheduling.checker import check
from tests.unit.scheduling.corpus import balanced, group_of
from tests.unit.scheduling.test_balanced_search import request_of, sessions_of

EVENING = Room([(1020, 1050)], [(1200, 1260)])


def week(*contents: Content, days: int, hours: float, **options: Any) -> Request:
    """Return a group from 2026-06-01 on whose evenings begin at 17:00, under ``balanced``."""
    return balanced(
        make_request(
            *contents,
            period=f"2026-06-01..2026-06-0{days}",
            blocks=block(17, 17 + hours),
            non_study_blocks=(),
            **options,
        )
    )


def relief_of(contents: list[Sessions], rooms: dict[int, Room]) -> Relief:
    """Return a relief without effort for sessions whose days may use their reserve."""
    ledger = Ledger(
        contents,
        dict.fromkeys(rooms, 30),
        dict.fromkeys(rooms, 0),
        dict.fromkeys(rooms, 30.0),
        times=dict.fromkeys(rooms, 30),
        held=ReserveNeeds(contents, rooms),
    )
    for day in rooms:
        ledger.reserve[day] = ledger.needed(day) or 0
    ledger.settle()
    return Relief(ledger, effort=0)


@pytest.mark.parametrize("episodes", [[20] * 8, [10, 35, 10, 25, 40, 10, 15, 30]])
def test_reserve_that_units_need_is_the_same_however_often_it_is_asked_for(
    episodes: list[int],
) -> None:
    """Of episodes of different lengths, others of the same number need another reserve."""
    request = balanced(make_request(lecture(*episodes), lecture(30, 30, 30, 30, position=2)))
    contents = sessions_of(request, [[0], [0]], [[8], [4]])
    rooms = {0: Room([(1020, 1050), (1080, 1110)], [(1200, 1400)]), 1: EVENING}
    all_needs = ReserveNeeds(contents, rooms)
    choices = [range(first, stop) for first in range(8) for stop in range(first + 1, 9)]
    for _ in range(2):
        for day, first, second in product(rooms, choices, (range(1), range(2))):
            items = {0: first, 1: second}
            alone = ReserveNeeds(contents, rooms)
            assert all_needs(day, items, ANY) == alone(day, items, ANY)


def test_day_is_packed_exactly_if_two_spans_hold_its_contents_divided() -> None:
    """180 minutes are 11 × 10, 18 × 3 and 4 × 4; 60 minutes are 15 × 4."""
    contents = sessions_of(request_of((19, 4), (11, 10), (18, 3)), [[0]] * 3, [[19], [11], [18]])
    room = Room([(540, 720), (780, 840)], [])
    placed = packed(contents, {0: range(19), 1: range(11), 2: range(18)}, room)
    assert placed is not None
    assert sum(run.stop - run.start for runs in placed.values() for run in runs) == 240
    assert min(run.start for runs in placed.values() for run in runs) == 540
    assert (
        packed(contents, {0: range(19), 1: range(11), 2: range(18)}, Room([(0, 239)], [])) is None
    )


def test_idle_study_time_is_filled_from_the_reserve_without_any_effort_left() -> None:
    """Days of 30 minutes with 9 and 3 units of 5 minutes, of which 15 are in the reserve."""
    contents = sessions_of(request_of((12, 5)), [[0, 1]], [[9, 12]])
    relief = relief_of(contents, {0: EVENING, 1: EVENING})
    relief.save_reserve()
    assert relief.ledger.used([0, 1]) == 15
    relief.fill_study_time()
    assert relief.ledger.used([0, 1]) == 0
    assert contents[0].counts == [6, 12]


def test_idle_study_time_is_filled_even_by_a_session_that_is_too_short() -> None:
    """Less of the reserve is an earlier goal than the length of sessions."""
    contents = sessions_of(request_of((7, 5), (1, 20)), [[0, 1], [1]], [[7, 7], [1]])
    relief = relief_of(contents, {0: EVENING, 1: EVENING})
    assert relief.ledger.used([0, 1]) == 5
    relief.fill_study_time()
    assert relief.ledger.used([0, 1]) == 0
    assert contents[0].counts == [5, 7]


def test_contents_whose_units_cannot_be_cut_get_their_share_beside_those_that_can() -> None:
    contents = (custom(1, 6, 42), book(1, 9, 14, position=2))
    request = make_request(
        *contents, period="2026-06-01..2026-06-02", blocks=block(17, 19), non_study_blocks=()
    )
    result = schedule(request)
    assert check(request, result) == []
    assert max(row.last_unit for row in study(result, 2)) >= 5


@pytest.mark.parametrize(("minutes", "units"), [((12, 10), (39, 7)), ((10, 8), (43, 8))])
def test_contents_whose_units_cannot_be_cut_share_what_a_full_calendar_lacks(
    minutes: tuple[int, int], units: tuple[int, int]
) -> None:
    contents = (book(1, units[0], minutes[0]), book(1, units[1], minutes[1], position=2))
    request = week(*contents, days=5, hours=1)
    assert check(request, schedule(request)) == []


def test_session_that_cannot_be_long_enough_joins_another_one() -> None:
    request = week(
        book(1, 60, 11, weekly=2),
        book(1, 9, 10, position=2, weekly=2),
        book(1, 40, 6, position=3),
        days=5,
        hours=2,
    )
    assert check(request, schedule(request)) == []


def test_buffer_days_are_kept_free_if_units_can_be_cut_on_the_others() -> None:
    request = week(custom(1, 3, 100), days=7, hours=1, buffer_days=1)
    result = schedule(request)
    assert result.unplaced == ()
    assert max(row.date for row in study(result)).isoformat() == "2026-06-05"


@pytest.mark.parametrize(
    ("seed", "group"),
    [
        (13, 328),
        (14, 88),
        (14, 270),
        (14, 383),
        (15, 29),
        (15, 328),
        (16, 126),
        (17, 158),
        (13, 494),
        (17, 400),
        (21, 376),
    ],
)
def test_groups_of_other_seeds_have_no_violation(seed: int, group: int) -> None:
    request = balanced(group_of(seed, group))
    assert check(request, schedule(request)) == []


@pytest.mark.parametrize("group", [(14, 473), (19, 440)])
def test_second_best_order_places_what_the_improved_best_one_does_not(
    group: tuple[int, int],
) -> None:
    assert schedule(balanced(group_of(*group))).unplaced == ()


def test_least_units_give_way_to_fewer_cuts() -> None:
    result = schedule(balanced(group_of(14, 334)))
    assert sum(row.part > 1 for row in study(result)) <= 1


def units_by_day(request: Request) -> list[dict[int, int]]:
    """Return the number of units of each content, by the day of the month."""
    result = schedule(request)
    assert check(request, result) == []
    found: list[dict[int, int]] = [{} for _ in request.contents]
    for row in result.plans:
        units = found[row.content - 1]
        if row.kind is PlanKind.STUDY:
            units[row.date.day] = units.get(row.date.day, 0) + row.last_unit - row.first_unit + 1
    return found


@pytest.mark.parametrize(
    ("contents", "days", "expected"),
    [
        ((book(1, 4, 12, weekly=2), book(1, 5, 5, position=2)), 3, [{1: 2, 3: 2}, {2: 5}]),
        ((book(1, 4, 8, weekly=3), book(1, 4, 8, position=2)), 4, [{1: 2, 4: 2}, {2: 2, 3: 2}]),
    ],
)
def test_sparse_weakness_leaves_the_days_of_strategies(
    contents: tuple[Content, ...], days: int, expected: list[dict[int, int]]
) -> None:
    assert units_by_day(week(*contents, days=days, hours=2)) == expected


def test_weakness_has_no_session_rather_than_two_that_are_too_short() -> None:
    """The contents leave 34 of 180 minutes; the weakness could have 8 minutes on two days."""
    contents = (book(1, 6, 15, weekly=2), book(1, 7, 8, position=2))
    _, weakness = units_by_day(week(*contents, days=3, hours=1))
    assert weakness == {1: 2, 2: 5}


def test_sessions_are_too_short_on_one_day_rather_than_two() -> None:
    """Days of 10 and 15 minutes get 20: 10 and 10 would be nearer to each other."""
    blocks = (*block("17:00", "17:10", [MONDAY]), *block("17:00", "17:15", [TUESDAY]))
    content = book(1, 4, 5, weekly=2)
    request = make_request(content, period="2026-06-01..2026-06-02", blocks=blocks)
    assert units_by_day(balanced(request)) == [{1: 1, 2: 3}]


@pytest.mark.parametrize("group", [(14, 69), (14, 109), (14, 267)])
def test_even_fills_idle_study_time_from_the_reserve(group: tuple[int, int]) -> None:
    request = group_of(*group)
    result = schedule(request)
    assert check(request, result) == []
    assert not any(row.reserve for row in result.plans if row.kind is PlanKind.STUDY)


def test_even_uses_the_reserve_only_where_no_idle_study_time_holds_a_unit() -> None:
    request = group_of(13, 307)
    assert check(request, schedule(request)) == []
