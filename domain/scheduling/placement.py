"""Packs consecutive units into spans, in order of time.

The units of one content are given by a ``prefix`` of minutes (``prefix[i]`` is the sum of the first
``i`` units) and a range of indexes. Each span, in order, gets as many whole units as it holds. For
units in a fixed order this greedy method is optimal: with fewer units in a span, no later span
could end at a higher unit.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from domain.scheduling.spans import Span, front, total


class Run(NamedTuple):
    """The units ``[first, last)`` at ``start``; ``end`` includes their wrap-up."""

    start: int
    end: int
    first: int
    last: int
    reserve: bool


class Room:
    """The free time of one day: study time and reserve, as tidy spans."""

    __slots__ = ("reserve", "study")

    def __init__(self, study: Iterable[Span], reserve: Iterable[Span]) -> None:
        self.study = list(study)
        self.reserve = list(reserve)

    def copy(self) -> "Room":
        """Return a room with the same free time, which can be changed separately."""
        return Room(self.study, self.reserve)

    def lengths(self) -> list[int]:
        """Return the lengths of all spans in order of time."""
        return [end - start for start, end in sorted(self.study + self.reserve)]

    def leaving(self, study: int, reserve: int) -> "Room":
        """Return the room without its last minutes.

        ``study`` minutes of study time and ``reserve`` minutes of the reserve are removed.
        """
        return Room(
            front(self.study, total(self.study) - study) if study else self.study,
            front(self.reserve, total(self.reserve) - reserve) if reserve else self.reserve,
        )

    def take(self, runs: Iterable[Run]) -> None:
        """Remove the time of ``runs``, each of which must start at the start of a free span."""
        for run in runs:
            spans = self.reserve if run.reserve else self.study
            index = 0
            while spans[index][0] != run.start:
                index += 1
            if spans[index][1] == run.end:
                del spans[index]
            else:
                spans[index] = run.end, spans[index][1]


def pack(
    prefix: Sequence[int], first: int, last: int, room: Room, wrap_up: int = 0
) -> list[Run] | None:
    """Return runs for the units ``[first, last)``, or ``None`` if they do not fit uncut.

    Study time is used from its first minute on. The reserve is only used if study time does not
    suffice, and then as little of it as possible. The units are in order of time even if the
    reserve is before study time. ``wrap_up`` minutes follow the last unit in its span.
    """
    if room.study:
        start, end = room.study[0]
        length = prefix[last] - prefix[first] + wrap_up
        if length <= end - start:
            return [Run(start, start + length, first, last, reserve=False)]
    study = [(start, end, False) for start, end in room.study]
    runs = _fill(prefix, first, last, study, wrap_up)
    if runs is not None or not room.reserve:
        return runs
    # The least number of reserve minutes with which the units fit is found by bisection, because
    # units that fit into the first minutes of the reserve also fit into more of them.
    too_few, enough = 0, total(room.reserve)
    runs = _fill(prefix, first, last, _with_reserve(study, room, enough), wrap_up)
    if runs is None:
        return None
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        candidate = _fill(prefix, first, last, _with_reserve(study, room, middle), wrap_up)
        if candidate is None:
            too_few = middle
        else:
            enough, runs = middle, candidate
    return runs


def reach(prefix: Sequence[int], first: int, lengths: Iterable[int]) -> int:
    """Return the index up to which uncut units from ``first`` on fit into these lengths."""
    for length in lengths:
        first = bisect_right(prefix, prefix[first] + length, first) - 1
    return first


def reach_back(prefix: Sequence[int], last: int, lengths: Sequence[int]) -> int:
    """Return the lowest index from which uncut units up to ``last`` fit into these lengths."""
    for length in reversed(lengths):
        last = bisect_left(prefix, prefix[last] - length, 0, last)
    return last


def _fill(
    prefix: Sequence[int],
    first: int,
    last: int,
    spans: Iterable[tuple[int, int, bool]],
    wrap_up: int,
) -> list[Run] | None:
    """Return runs with as many whole units per span as it holds, or ``None`` if units remain."""
    runs: list[Run] = []
    for start, end, reserve in spans:
        room = end - start
        if prefix[last] - prefix[first] + wrap_up <= room:
            stop = start + prefix[last] - prefix[first] + wrap_up
            return [*runs, Run(start, stop, first, last, reserve)]
        # The last unit is not placed here, even if it fits, because its wrap-up must follow it in
        # the same span and does not fit.
        to = min(bisect_right(prefix, prefix[first] + room, first, last + 1) - 1, last - 1)
        if to > first and prefix[to] > prefix[first]:
            runs.append(Run(start, start + prefix[to] - prefix[first], first, to, reserve))
            first = to
    return None


def _with_reserve(
    study: list[tuple[int, int, bool]], room: Room, minutes: int
) -> list[tuple[int, int, bool]]:
    reserve = [(start, end, True) for start, end in front(room.reserve, minutes)]
    return sorted(study + reserve)
