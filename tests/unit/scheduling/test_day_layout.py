"""The layout of a single day, against a search over all divisions, and its rules one by one."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, combinations_with_replacement, pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.layout.arrangement import arrange
from domain.scheduling.layout.comfort import Comfort
from domain.scheduling.layout.day_sessions import FreeSpan, Session
from domain.scheduling.layout.division import divided
from domain.scheduling.layout.few_spans import MAX_CUTS
from domain.scheduling.placement import Run

COMFORT = Comfort(longest_sitting=100, pause_minutes=10)


def session(*minutes: int, is_weakness: bool = False) -> Session:
    """Return a session of units with these minutes."""
    return Session([0, *accumulate(minutes)], [range(len(minutes))], is_weakness=is_weakness)


def span(start: int, stop: int, *, reserve: bool = False) -> FreeSpan:
    """Return a free span."""
    return FreeSpan(start, stop, reserve)


def arranged(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], comfort: Comfort = COMFORT
) -> list[list[tuple[int, int]]]:
    """Return the start and the stop of each run of each session."""
    runs = arrange(sessions, spans, comfort, None, 0)
    assert runs is not None
    return [[(run.start, run.stop) for run in own] for own in runs]


@st.composite
def days(draw: st.DrawFn) -> tuple[list[Session], list[FreeSpan], int]:
    """Return sessions, spans in order of time, and the minutes of the reserve that are used."""
    units = st.lists(st.integers(2, 14), min_size=1, max_size=4)
    sessions = [session(*minutes) for minutes in draw(st.lists(units, min_size=1, max_size=3))]
    spans, at = [], 0
    for length, reserve in draw(
        st.lists(st.tuples(st.integers(5, 40), st.booleans()), min_size=1, max_size=3)
    ):
        spans.append(FreeSpan(at, at + length, reserve))
        at += length + 5
    return sessions, spans, draw(st.integers(0, 40))


def ways(one: Session, spans: int) -> Iterator[tuple[range, ...]]:
    """Yield the ways to divide a session between spans, in order of time."""
    for inner in combinations_with_replacement(range(one.items.stop + 1), spans - 1):
        yield tuple(range(*bounds) for bounds in pairwise([0, *inner, one.items.stop]))


def holds(
    sessions: Sequence[Session],
    spans: Sequence[FreeSpan],
    reserve: int,
    division: Sequence[Sequence[range]],
) -> bool:
    """Whether the spans hold the pieces, with at most so many minutes of the reserve."""
    used = 0
    for free, held in zip(spans, division, strict=True):
        minutes = sum(one.length(items) for one, items in zip(sessions, held, strict=True) if items)
        if minutes > free.stop - free.start:
            return False
        used += minutes * free.reserve
    return used <= reserve


def cost(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], division: Sequence[Sequence[range]]
) -> tuple[int, int]:
    """Return the number of short pieces, and of cuts: needless ones count three times at first."""
    longest = max(free.stop - free.start for free in spans)
    short = cuts = 0
    for one, held in zip(sessions, zip(*division, strict=True), strict=True):
        minutes = [one.length(items) for items in held if items]
        if len(minutes) > 1:
            short += sum(length < 10 for length in minutes)
            cuts += len(minutes) - 1 + (2 if sum(minutes) <= longest else 0)
    return short, cuts


def least_cost(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], reserve: int
) -> tuple[int, int] | None:
    """Return the least cost of a division, ``None`` if nothing holds the sessions."""
    found = [
        cost(sessions, spans, division)
        for choice in product(*(list(ways(one, len(spans))) for one in sessions))
        for division in [list(zip(*choice, strict=True))]
        if holds(sessions, spans, reserve, division)
    ]
    return min(found, default=None)


@given(days(), st.integers(0, 3))
def test_sessions_are_divided_with_the_fewest_short_pieces_and_cuts(
    day: tuple[list[Session], list[FreeSpan], int], max_short: int
) -> None:
    sessions, spans, reserve = day
    least, found = least_cost(*day), divided(*day, (max_short, MAX_CUTS))
    if least is None:
        assert found is None
        return
    if least[0] > max_short or least[1] > MAX_CUTS:
        return
    assert found is not None
    assert cost(sessions, spans, found) == least
    assert holds(sessions, spans, reserve, found)
    for index, one in enumerate(sessions):
        assert [item for held in found for item in held[index]] == list(one.items)


def test_two_sessions_are_cut_where_none_alone_fills_the_span() -> None:
    # The first span has 30 minutes, and no session has a beginning of 30 minutes.
    sessions = [session(*[8] * 5), session(*[7] * 10)]
    found = divided(sessions, [span(0, 30), span(40, 120)], 0)
    assert found == [[range(2), range(2)], [range(2, 5), range(2, 10)]]


def test_session_that_must_be_cut_is_cut_where_no_piece_is_short() -> None:
    # In turn, 8 minutes of the second session would be in the first span.
    sessions = [session(*[4] * 13), session(*[4] * 5), session(*[4] * 8)]
    day = arranged(sessions, [span(0, 60), span(100, 146)])
    assert sum(len(own) for own in day) == 4
    assert all(stop - start >= 10 for own in day for start, stop in own)


def test_span_is_not_filled_by_a_short_piece_after_a_pause() -> None:
    # After 96 minutes and a pause the first span has room for one unit of 6 minutes.
    day = arranged([session(*[6] * 31)], [span(600, 720), span(780, 900)])
    assert day == [[(600, 696), (780, 870)]]


def test_session_begins_in_a_sitting_if_there_is_no_time_for_two_pauses() -> None:
    day = arranged([session(64), session(7, 8, 7, 7, 7), session(*[12] * 5)],
                   [span(0, 180)], Comfort(longest_sitting=90, pause_minutes=15))  # fmt: skip
    assert day == [[(0, 64)], [(65, 87), (105, 119)], [(120, 180)]]


def test_session_is_interrupted_by_a_pause_rather_than_another_one_opens_the_day() -> None:
    # With the second session in one sitting, 33, 86 and 36 minutes need three sittings.
    day = arranged([session(33), session(*[8] * 9, 14), session(36)], [span(960, 1140)])
    assert day == [[(960, 993)], [(995, 1059), (1070, 1092)], [(1095, 1131)]]


def test_weakness_is_first_if_another_turn_of_the_strategies_allows_it() -> None:
    # After the weakness, the first strategy would have to be the last one of its sitting.
    weak, strategies = session(29, is_weakness=True), [session(87), session(24)]
    day = arranged([weak, *strategies], [span(0, 150)])
    assert day == [[(0, 29)], [(63, 150)], [(29, 53)]]


def test_sittings_of_divided_sessions_are_chosen_so_that_rows_are_on_marks() -> None:
    # The first session is cut: it does not fit beside the others. Its rest is 23 minutes.
    first, second = session(*[9] * 3, 9, 14), session(*[9] * 7, 9, 10)
    day = arranged([first, second, session(51)], [span(0, 30), span(60, 240)])
    assert all(start % 5 == 0 for own in day for start, _ in own)


def test_short_piece_before_a_long_unit_is_placed_with_it() -> None:
    day = arranged([session(4, 120), session(30)], [span(0, 170)])
    assert day == [[(0, 124)], [(135, 165)]]


def test_way_to_the_next_mark_is_no_part_of_a_sitting() -> None:
    day = arranged([session(17), session(17), session(24)], [span(0, 120)],
                   Comfort(longest_sitting=60, pause_minutes=10))  # fmt: skip
    assert day == [[(0, 17)], [(20, 37)], [(40, 64)]]


def test_sitting_goes_on_in_a_span_that_touches() -> None:
    day = arranged([session(60), session(60)], [span(0, 60), span(60, 140)])
    assert day == [[(0, 60)], [(70, 130)]]


def test_idle_minutes_before_a_span_are_a_part_of_the_pause() -> None:
    day = arranged([session(60), session(54)], [span(0, 64), span(64, 125)])
    assert day == [[(0, 60)], [(70, 124)]]


def test_reserve_is_not_used_for_a_pause() -> None:
    bare = [[Run(0, 60, range(1), reserve=False)], [Run(60, 120, range(1), reserve=False)],
            [Run(200, 220, range(1), reserve=True)]]  # fmt: skip
    spans = [span(0, 120), span(200, 300, reserve=True)]
    found = arrange([session(60), session(60), session(20)], spans, COMFORT, bare, 20)
    assert found == bare
