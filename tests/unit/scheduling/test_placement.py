"""Placing units in the free spans of one day, against a placement that tries every amount."""

from collections.abc import Sequence
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.placement import Room, Run, pack, reach
from domain.scheduling.spans import Span, front


@st.composite
def rooms(draw: st.DrawFn) -> Room:
    """Return rooms whose spans are in any order of study time and reserve."""
    minutes = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.booleans())))
    spans: dict[bool, list[Span]] = {False: [], True: []}
    start = 0
    for number, (gap, length, reserve) in enumerate(minutes):
        start += gap + number
        spans[reserve].append((start, start + length))
        start += length
    return Room(spans[False], spans[True])


def placed_in_order(lengths: Sequence[int], room: Room, wrap_up: int) -> list[Run]:
    """Return runs with as many units per span as it holds, which may not be all units."""
    runs: list[Run] = []
    first = 0
    slots = [(*span, False) for span in room.study] + [(*span, True) for span in room.reserve]
    for start, stop, reserve in sorted(slots):
        at, last = start, first
        while last < len(lengths):
            length = lengths[last] + (wrap_up if last == len(lengths) - 1 else 0)
            if at + length > stop:
                break
            at, last = at + length, last + 1
        if last > first:
            runs.append(Run(start, at, range(first, last), reserve))
            first = last
    return runs


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), rooms(), st.integers(0, 5))
def test_units_are_packed_into_the_least_minutes_of_the_reserve(
    lengths: list[int], room: Room, wrap_up: int
) -> None:
    expected = None
    for minutes in range(sum(stop - start for start, stop in room.reserve) + 1):
        opened = Room(room.study, front(room.reserve, minutes))
        runs = placed_in_order(lengths, opened, wrap_up)
        if runs and runs[-1].items.stop == len(lengths):
            expected = runs
            break
    prefix = [0, *accumulate(lengths)]
    assert pack(prefix, range(len(lengths)), room, wrap_up) == expected


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), rooms(), st.data())
def test_pack_takes_as_many_units_as_the_spans_reach(
    lengths: list[int], room: Room, data: st.DataObject
) -> None:
    prefix = [0, *accumulate(lengths)]
    first = data.draw(st.integers(0, len(lengths) - 1))
    last = reach(prefix, first, room.lengths())
    packed = [
        stop
        for stop in range(first + 1, len(prefix))
        if pack(prefix, range(first, stop), room) is not None
    ]
    assert packed == list(range(first + 1, last + 1))
