"""A session of a reschedule is laid out around the rows that can stay."""

import pytest

from domain.scheduling.demand import problem_of
from domain.scheduling.distribution.deal import Deal
from domain.scheduling.layout.comfort import Comfort
from domain.scheduling.placement import Room
from domain.scheduling.rescheduling.session import OpenDay, Standing, lay_out_session
from domain.scheduling.rows import Row
from domain.scheduling.spans import Span
from domain.scheduling.types import PlanKind
from tests.unit.scheduling.build import book, make_request

DAY = 0
Placed = tuple[int, int, int, int]


def deal(wrap_up: int = 0) -> Deal:
    """Return six pages of ten minutes each."""
    (demand,) = problem_of(make_request(book(1, 6, 10, wrap_up_minutes=wrap_up))).demands
    return Deal(demand, demand.units, demand.prefix, [], [])


def standing(start: int, first: int, last: int, wrap_up: int = 0) -> Standing:
    """Return a row of pages, whose first page is the first item."""
    row = Row(
        day=DAY,
        start=start,
        stop=start + 10 * (last - first + 1) + wrap_up,
        content=0,
        kind=PlanKind.STUDY,
        first_unit=first,
        last_unit=last,
        part=1,
        parts=1,
        wrap_up=wrap_up,
        reserve=False,
    )
    return Standing(row, range(first - 1, last))


def laid_out(
    given: Deal, items: range, rows: list[Standing], free: Room | OpenDay
) -> list[Placed] | None:
    day = OpenDay(free, free) if isinstance(free, Room) else free
    wrap_up = given.demand.content.wrap_up_minutes
    layout = lay_out_session(given, items, rows, day, wrap_up)
    if layout is None:
        return None
    found = layout.rows(given, DAY, [(1, 1)] * 6)
    return sorted((row.start, row.stop, row.first_unit, row.last_unit) for row in found)


def test_row_stays_if_the_units_before_it_and_behind_it_find_room() -> None:
    rows = [standing(600, 3, 4)]
    found = laid_out(deal(), range(6), rows, Room([(540, 720)], []))
    assert found == [(540, 560, 1, 2), (600, 620, 3, 4), (620, 640, 5, 6)]


def test_first_row_gives_way_if_the_units_before_it_find_no_room() -> None:
    rows = [standing(600, 2, 3), standing(660, 4, 5)]
    found = laid_out(deal(), range(5), rows, Room([(600, 720)], []))
    assert found == [(600, 630, 1, 3), (660, 680, 4, 5)]


def test_last_row_gives_way_if_the_units_behind_it_find_no_room() -> None:
    rows = [standing(600, 1, 2), standing(640, 3, 4)]
    found = laid_out(deal(), range(6), rows, Room([(600, 670)], []))
    assert found == [(600, 620, 1, 2), (620, 660, 3, 6)]


def test_session_is_laid_out_anew_from_its_start_if_nothing_fits_before_it() -> None:
    rows = [standing(600, 3, 4)]
    found = laid_out(deal(), range(4), rows, Room([(600, 720)], []))
    assert found == [(600, 640, 1, 4)]


def test_session_begins_earlier_only_if_the_day_does_not_hold_it_from_its_start() -> None:
    rows = [standing(600, 5, 6)]
    found = laid_out(deal(), range(4), rows, Room([(500, 515), (580, 620)], []))
    assert found == [(500, 510, 1, 1), (580, 610, 2, 4)]


def test_row_outside_the_units_does_not_stay() -> None:
    rows = [standing(600, 5, 6)]
    found = laid_out(deal(), range(2), rows, Room([(540, 720)], []))
    assert found == [(600, 620, 1, 2)]


def test_session_that_does_not_fit_has_no_layout() -> None:
    assert laid_out(deal(), range(6), [], Room([(600, 650)], [])) is None


@pytest.mark.parametrize(
    ("stop", "end"), [(720, 645), (645, 645), (644, 644), (641, 641), (640, 640)]
)
def test_wrap_up_follows_the_last_unit_as_far_as_there_is_room_for_it(stop: int, end: int) -> None:
    rows = [standing(600, 1, 2)]
    found = laid_out(deal(wrap_up=5), range(4), rows, Room([(600, stop)], []))
    assert found == [(600, 620, 1, 2), (620, end, 3, 4)]


def test_row_stays_rather_than_a_longer_wrap_up() -> None:
    """Elsewhere the day has room for two of the three minutes."""
    rows = [standing(600, 1, 2)]
    found = laid_out(deal(wrap_up=3), range(2), rows, Room([(600, 620), (700, 712)], []))
    assert found == [(600, 620, 1, 2)]


def comfortable(free: list[Span], *, opened: Span = (540, 720), sitting: int = 100) -> OpenDay:
    """Return a day of a group with pauses of ten minutes."""
    return OpenDay(Room(free, []), Room([opened], []), Comfort(sitting, 10))


@pytest.mark.parametrize(
    ("free", "expected"),
    [((567, 720), (580, 640)), ((567, 630), (567, 627)), ((540, 630), (540, 600))],
    ids=["after a pause, on a mark", "no room for a pause", "no row before"],
)
def test_session_is_laid_out_with_a_pause_and_a_mark_if_there_is_room(
    free: Span, expected: Span
) -> None:
    found = laid_out(deal(), range(6), [], comfortable([free]))
    assert found == [(*expected, 1, 6)]


def test_session_laid_out_anew_begins_where_it_did() -> None:
    rows = [standing(575, 3, 6)]
    found = laid_out(deal(), range(1, 6), rows, comfortable([(575, 720)]))
    assert found == [(575, 625, 2, 6)]


def test_session_is_kept_in_one_span() -> None:
    free = [(540, 560), (600, 720)]
    assert laid_out(deal(), range(6), [], comfortable(free)) == [(610, 670, 1, 6)]
    assert laid_out(deal(), range(6), [], Room(free, [])) == [(540, 560, 1, 2), (600, 640, 3, 6)]


def test_long_session_has_pauses() -> None:
    found = laid_out(deal(), range(6), [], comfortable([(540, 720)], sitting=30))
    assert found == [(540, 570, 1, 3), (580, 610, 4, 6)]


def test_row_that_can_stay_has_precedence_over_pauses() -> None:
    rows = [standing(600, 1, 4)]
    found = laid_out(deal(), range(6), rows, comfortable([(600, 660)]))
    assert found == [(600, 640, 1, 4), (640, 660, 5, 6)]


def test_long_session_has_pauses_where_it_began() -> None:
    rows = [standing(575, 3, 6)]
    found = laid_out(deal(), range(1, 6), rows, comfortable([(575, 720)], sitting=30))
    assert found == [(575, 605, 2, 4), (615, 635, 5, 6)]


def test_units_behind_a_row_that_stays_begin_on_a_mark() -> None:
    rows = [standing(600, 1, 4)]
    found = laid_out(deal(), range(6), rows, comfortable([(600, 640), (653, 720)]))
    assert found == [(600, 640, 1, 4), (665, 685, 5, 6)]
