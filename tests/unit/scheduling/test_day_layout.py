"""The layout of a single day, against a search over all divisions, and its rules one by one."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, product

from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.arrangement import Comfort, arrange
from domain.scheduling.day_sessions import FreeSpan, Session, divided
from domain.scheduling.placement import Run

COMFORT = Comfort(longest_sitting=100, pause_minutes=10)


def session(*minutes: int) -> Session:
    """Return a session of units with these minutes."""
    return Session([0, *accumulate(minutes)], [range(len(minutes))])


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
    sessions = [session(*minutes) for minutes in draw(st.lists(units, min_size=1, max_size=4))]
    spans, at = [], 0
    for length, reserve in draw(
        st.lists(st.tuples(st.integers(5, 40), st.booleans()), min_size=1, max_size=3)
    ):
        spans.append(FreeSpan(at, at + length, reserve))
        at += length + 5
    return sessions, spans, draw(st.integers(0, 40))


def ways(one: Session, spans: int) -> Iterator[tuple[range, ...]]:
    """Yield the ways to place a session whole, or cut into two pieces that are not too short."""
    nothing = range(0)
    for index in range(spans):
        yield tuple(one.items if i == index else nothing for i in range(spans))
    for at in one.items[1:]:
        head, tail = range(at), range(at, one.items.stop)
        if min(one.length(head), one.length(tail)) >= one.shortest_piece:
            for first in range(spans):
                for second in range(first + 1, spans):
                    yield tuple(
                        head if i == first else tail if i == second else nothing
                        for i in range(spans)
                    )


def cuts(division: Sequence[Sequence[range]]) -> int:
    """Return how many pieces there are beyond one per session."""
    return sum(bool(items) for held in division for items in held) - len(division[0])


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


def least_cuts(sessions: Sequence[Session], spans: Sequence[FreeSpan], reserve: int) -> int | None:
    """Return the least number of cuts, ``None`` if more than one is needed."""
    found = [
        cuts(division)
        for choice in product(*(list(ways(one, len(spans))) for one in sessions))
        for division in [list(zip(*choice, strict=True))]
        if cuts(division) <= 1 and holds(sessions, spans, reserve, division)
    ]
    return min(found, default=None)


@given(days())
def test_sessions_are_divided_with_the_fewest_cuts(
    day: tuple[list[Session], list[FreeSpan], int],
) -> None:
    sessions, spans, reserve = day
    least, found = least_cuts(*day), divided(*day)
    if least is not None:
        assert found is not None
        assert cuts(found) == least
    if found is not None:
        assert holds(sessions, spans, reserve, found)
        for index, one in enumerate(sessions):
            pieces = [held[index] for held in found if held[index]]
            assert [item for items in pieces for item in items] == list(one.items)
            assert len(pieces) == 1 or all(one.length(p) >= one.shortest_piece for p in pieces)


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


def test_way_to_the_next_mark_is_no_part_of_a_sitting() -> None:
    day = arranged([session(17), session(17), session(24)], [span(0, 120)],
                   Comfort(longest_sitting=60, pause_minutes=10))  # fmt: skip
    assert day == [[(0, 17)], [(20, 37)], [(40, 64)]]


def test_sitting_goes_on_in_a_span_that_touches() -> None:
    day = arranged([session(60), session(60)], [span(0, 60), span(60, 140)])
    assert day == [[(0, 60)], [(70, 130)]]


def test_reserve_is_not_used_for_a_pause() -> None:
    bare = [[Run(0, 60, range(1), reserve=False)], [Run(60, 120, range(1), reserve=False)],
            [Run(200, 220, range(1), reserve=True)]]  # fmt: skip
    spans = [span(0, 120), span(200, 300, reserve=True)]
    found = arrange([session(60), session(60), session(20)], spans, COMFORT, bare, 20)
    assert found == bare
