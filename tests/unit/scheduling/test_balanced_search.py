"""How ``balanced`` searches: chains of moves, orders of packing, and what levels contain."""

import random

import pytest

from domain.scheduling.demand import problem_of
from domain.scheduling.distribution.balanced import _Attempt
from domain.scheduling.distribution.day_choice import choose_days
from domain.scheduling.distribution.ledger import Ledger
from domain.scheduling.distribution.packing import ReserveNeeds, packed
from domain.scheduling.distribution.relief import Relief
from domain.scheduling.distribution.sessions import Sessions
from domain.scheduling.distribution.smoothing import Smoothing
from domain.scheduling.placement import Room
from domain.scheduling.schedule import schedule
from domain.scheduling.types import PlanKind, Request
from tests.benchmarks.balance_figures import Figures
from tests.unit.scheduling.build import block, book, busy, kept, make_request
from tests.unit.scheduling.checker import check_rules
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.goals import check_goals
from tests.unit.scheduling.corpus import _group, balanced


def request_of(*units: tuple[int, int], wrap_up: int = 0) -> Request:
    """Return a week in which each content has so many units of so many minutes."""
    contents = [
        book(1, count, minutes, weekly=3, position=position, wrap_up_minutes=wrap_up)
        for position, (count, minutes) in enumerate(units, 1)
    ]
    return balanced(
        make_request(
            *contents, period="2026-06-01..2026-06-06", blocks=block(17, 20), non_study_blocks=()
        )
    )


def group_of(number: int) -> Request:
    """Return a group of the corpus under ``balanced``."""
    return balanced(_group(random.Random(f"13/{number}")))  # noqa: S311 - it must be repeatable


def sessions_of(request: Request, days: list[list[int]], counts: list[list[int]]) -> list[Sessions]:
    """Return the sessions of the contents of a request, with these days and counts."""
    return [
        Sessions(demand, own, shortest=15, counts=count)
        for demand, own, count in zip(problem_of(request).demands, days, counts, strict=True)
    ]


def test_chain_of_two_moves_relieves_a_day_that_no_single_move_relieves() -> None:
    """Days with 4, 3 and 2 units: the first and the last day have no content in common."""
    contents = sessions_of(request_of((4, 20), (5, 20)), [[0, 1], [1, 2]], [[4, 4], [3, 5]])
    days = range(3)
    ledger = Ledger(
        contents,
        dict.fromkeys(days, 180),
        dict.fromkeys(days, 0),
        dict.fromkeys(days, 60.0),
        times=dict.fromkeys(days, 180),
        held=lambda _day, _items, _most: 0,
    )
    Smoothing(ledger, effort=4_000).smooth()
    assert ledger.load == {0: 60, 1: 60, 2: 60}


def test_day_is_packed_with_the_longest_units_first_if_that_holds_them() -> None:
    """In turn, the first content takes the only span that holds the unit of the second one."""
    contents = sessions_of(request_of((1, 30), (1, 85)), [[0], [0]], [[1], [1]])
    room = Room([(1020, 1110), (1140, 1170)], [])
    placed = packed(contents, {0: range(1), 1: range(1)}, room)
    assert placed is not None
    assert {number: runs[0].start for number, runs in placed.items()} == {0: 1140, 1: 1020}


def test_levels_contain_the_wrap_ups_of_the_sessions() -> None:
    attempt = _Attempt(choose_days(problem_of(request_of((30, 8), (40, 6), wrap_up=10)), 0))
    minutes = sum(one.minutes(index) for one in attempt.contents for index in range(len(one.days)))
    assert minutes > 480
    assert sum(attempt.levels.values()) == pytest.approx(minutes)


def test_study_time_that_smoothing_frees_is_used_before_the_reserve() -> None:
    request = group_of(307)
    result = schedule(request)
    assert any(row.reserve for row in result.plans)
    assert check_rules(request, result) == []


def test_content_of_which_everything_is_done_has_no_days() -> None:
    # The other plans of the student fill a study day, which so has no level.
    request = balanced(
        make_request(
            book(1, 10, position=1),
            book(1, 100, position=2),
            kept=(kept(1, 10, "01-06", 10, 11),),
            busy=(busy("01-08", 10, 12), busy("01-08", 13, 19)),
            period="01-06..01-19",
        )
    )
    result = schedule(request)
    assert check_rules(request, result) == []
    study = [plan for plan in result.plans if plan.kind is PlanKind.STUDY]
    assert {plan.content for plan in study} == {2}


def test_days_without_study_time_are_levelled_with_the_others_if_they_are_needed() -> None:
    """Dealt in turn, the weaknesses of this group would be absent on four study days."""
    request = group_of(5)
    attempt = _Attempt(choose_days(problem_of(request), 0))
    assert not attempt.fits_study
    assert attempt.spread_with_reserve() is not None
    case = Case(request, schedule(request))
    assert Figures(case).weakness_days["absent"] == 0


def test_minimums_that_the_levels_cannot_contain_are_met_where_there_is_time() -> None:
    """The minimums of the weaknesses of this group would take time that other contents need.

    Three of their 24 days have no time for them, and so no session rather than a short one.
    """
    request = group_of(46)
    case = Case(request, schedule(request))
    assert Figures(case).weakness_days == {"due": 24, "absent": 3, "below": 3}
    assert Figures(case).short_sessions == 0
    assert list(check_goals(case)) == []


def test_days_without_study_time_stay_closed_if_the_others_hold_the_minutes() -> None:
    """A unit of this group is longer than any span, so it has no days as long as it is whole."""
    request = group_of(239)
    assert check_rules(request, schedule(request)) == []


def test_reserve_is_saved_by_an_exchange_where_no_single_move_saves_any() -> None:
    """Study time of 90 and 150 minutes is filled exactly by 3 × 30, and by 6 × 20 and 30."""
    contents = sessions_of(request_of((6, 20), (4, 30)), [[0, 1], [0, 1]], [[5, 6], [0, 4]])
    days = range(2)
    rooms = {0: Room([(1020, 1110)], [(1200, 1260)]), 1: Room([(1020, 1170)], [(1200, 1260)])}
    ledger = Ledger(
        contents,
        dict.fromkeys(days, 180),
        dict.fromkeys(days, 0),
        dict.fromkeys(days, 120.0),
        times={0: 90, 1: 150},
        held=ReserveNeeds(contents, rooms),
    )
    relief = Relief(ledger, 4_000)
    assert relief.relieve(with_reserve=True)
    assert ledger.used(days) == 20
    relief.save_reserve()
    assert ledger.used(days) == 0


def test_smoothing_founds_sessions_that_levelling_makes_room_for() -> None:
    """The first content is due on day 1, which both others must leave before it holds a unit."""
    contents = sessions_of(
        request_of((2, 30), (2, 15), (2, 15)), [[0, 1], [1, 2], [1, 3]], [[2, 2], [2, 2], [2, 2]]
    )
    contents[0].required, contents[0].least_units = frozenset([0, 1]), 1
    times = {0: 600, 1: 60, 2: 15, 3: 15}
    rooms = {day: Room([(600, 600 + minutes)], []) for day, minutes in times.items()}
    ledger = Ledger(
        contents,
        times,
        dict.fromkeys(times, 0),
        {0: 60.0, 1: 30.0, 2: 15.0, 3: 15.0},
        times=times,
        held=ReserveNeeds(contents, rooms),
    )
    Smoothing(ledger, 4_000).smooth()
    assert [one.counts for one in contents] == [[1, 2], [1, 2], [1, 2]]


@pytest.mark.parametrize("group", [44, 287, 388, 493])
def test_sessions_of_a_weakness_for_some_days_have_its_least_units(group: int) -> None:
    """Units of different lengths make a session long enough with fewer than these units, too."""
    request = group_of(group)
    assert list(check_goals(Case(request, schedule(request)))) == []


@pytest.mark.parametrize("group", [120, 172, 342, 403, 442])
def test_weaknesses_that_are_dealt_in_turn_have_their_least_units_on_each_day(group: int) -> None:
    """In these groups the least units need no more reserve, and no more cuts."""
    request = group_of(group)
    days = Figures(Case(request, schedule(request))).weakness_days
    assert days["due"]
    assert (days["absent"], days["below"]) == (0, 0)


def test_days_that_hold_some_minimums_of_weaknesses_have_as_many_as_they_can() -> None:
    """Evenings of 40 minutes of this group hold two of its four weaknesses."""
    request = group_of(191)
    assert list(check_goals(Case(request, schedule(request)))) == []
