"""Places consecutive units in the free spans of one day, in order of time.

The units of one content are given by a ``prefix`` of minutes (``prefix[i]`` is the sum of the first
``i`` units) and a range of indexes. Each span, in order, gets as many whole units as it holds. For
units in a fixed order this greedy method is optimal: with fewer units in a span, no later span
could end at a higher unit. The cost is one binary search per span.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from domain.scheduling.spans import Span, front, total


class Run(NamedTuple):
    """Consecutive units of a content in one span: ``items`` are their indexes.

    ``stop``, the minute at which they end, includes their wrap-up.
    """

    start: int
    stop: int
    items: range
    reserve: bool


Parcel: TypeAlias = tuple[Sequence[int], range, int]
"""Units of a content, as its prefix and their indexes, and the minutes of their wrap-up."""
_Slot: TypeAlias = tuple[int, int, bool]
"""A free span: its start and stop, and whether it is in the reserve."""


class Room:
    """The free time of one day: study time and reserve, as tidy spans."""

    __slots__ = ("reserve", "study")

    def __init__(self, study: Iterable[Span], reserve: Iterable[Span]) -> None:
        self.study = list(study)
        self.reserve = list(reserve)

    @property
    def minutes(self) -> int:
        """The free minutes, study time and reserve."""
        return total(self.study) + total(self.reserve)

    def copy(self) -> "Room":
        """Return a room with the same free time, which can be changed separately."""
        return Room(self.study, self.reserve)

    def moved(self, minutes: int) -> "Room":
        """Return a room whose spans begin so many minutes later."""
        return Room(
            ((start + minutes, stop + minutes) for start, stop in self.study),
            ((start + minutes, stop + minutes) for start, stop in self.reserve),
        )

    def lengths(self) -> list[int]:
        """Return the lengths of all spans in order of time."""
        if not self.reserve:
            return [stop - start for start, stop in self.study]
        return [stop - start for start, stop in sorted(self.study + self.reserve)]

    def first(self, study: int, reserve: int) -> "Room":
        """Return the room with only its first ``study`` and ``reserve`` minutes."""
        return Room(front(self.study, study), front(self.reserve, reserve))

    def take(self, runs: Iterable[Run]) -> None:
        """Remove the time of ``runs``, each of which must start at the start of a free span."""
        for run in runs:
            spans = self.reserve if run.reserve else self.study
            index = bisect_left(spans, (run.start,))
            if spans[index][1] == run.stop:
                del spans[index]
            else:
                spans[index] = run.stop, spans[index][1]


def reserve_minutes(runs: Iterable[Sequence[Run]]) -> int:
    """Return the minutes of some runs that are in the reserve."""
    return sum(run.stop - run.start for own in runs for run in own if run.reserve)


def pack(prefix: Sequence[int], items: range, room: Room, wrap_up: int = 0) -> list[Run] | None:
    """Return runs for units, or ``None`` if they do not fit uncut.

    Study time is used from its first minute on. The reserve is only used if study time does not
    suffice, and then as little of it as possible. The units are in order of time even if the
    reserve is before study time. ``wrap_up`` minutes follow the last unit in its span.
    """
    need = prefix[items.stop] - prefix[items.start] + wrap_up
    if room.study:
        start, stop = room.study[0]
        if need <= stop - start:
            return [Run(start, start + need, items, reserve=False)]
    study = [(start, stop, False) for start, stop in room.study]
    if need <= total(room.study):
        runs = _filled(prefix, items, study, wrap_up)
        if runs and runs[-1].items.stop == items.stop:
            return runs
    if not room.reserve:
        return None
    slots = sorted([*study, *((start, stop, True) for start, stop in room.reserve)])
    minutes = _least_reserve(prefix, items, slots, wrap_up)
    if minutes is None:
        return None
    return _filled(prefix, items, _opened(slots, minutes), wrap_up)


def pack_in_turn(parcels: Iterable[Parcel], room: Room) -> list[list[Run]] | None:
    """Return runs for the units of several contents, one after another, in a room.

    Returns ``None`` if the units of one do not fit uncut into what those before it have left. The
    room is not changed.
    """
    free = room.copy()
    placed: list[list[Run]] = []
    for prefix, items, wrap_up in parcels:
        runs = pack(prefix, items, free, wrap_up)
        if runs is None:
            return None
        free.take(runs)
        placed.append(runs)
    return placed


def reach(prefix: Sequence[int], first: int, lengths: Iterable[int]) -> int:
    """Return the index up to which uncut units from ``first`` on fit into these lengths."""
    # If a day has many spans, most hold no unit or one, so these are tried before the search.
    stop = len(prefix) - 1
    for length in lengths:
        if first == stop:
            break
        position = prefix[first] + length
        if position >= prefix[first + 1]:
            first += 1
            if first < stop and position >= prefix[first + 1]:
                first = bisect_right(prefix, position, first) - 1
    return first


def reach_back(prefix: Sequence[int], stop: int, lengths: Sequence[int]) -> int:
    """Return the lowest index from which uncut units up to ``stop`` fit into these lengths."""
    for length in reversed(lengths):
        if stop == 0:
            break
        position = prefix[stop] - length
        if position <= prefix[stop - 1]:
            stop -= 1
            if stop and position <= prefix[stop - 1]:
                stop = bisect_left(prefix, position, 0, stop)
    return stop


def _opened(slots: Iterable[_Slot], minutes: int) -> Iterator[_Slot]:
    """Yield the spans if only so many minutes of the reserve are open."""
    for slot in slots:
        start, stop, reserve = slot
        if not reserve:
            yield slot
        elif minutes > 0:
            yield start, min(stop, start + minutes), True
            minutes -= stop - start


def _least_reserve(
    prefix: Sequence[int], items: range, slots: Sequence[_Slot], wrap_up: int
) -> int | None:
    """Return the least number of minutes of the reserve with which units fit, if they do.

    Spans of the reserve are opened one after another, until the study time after them holds what
    remains. Of the last one, only as much is opened as the units need that no later study span
    holds. The cost is one pass over the spans in each direction.
    """
    later = _lowest_before(prefix, items, slots, wrap_up)
    opened = 0
    first = items.start
    for (start, stop, reserve), lowest in zip(slots, reversed(later), strict=True):
        length = stop - start
        if reserve:
            need = prefix[lowest] - prefix[first]
            if lowest == items.stop:
                need += wrap_up
            if need <= length:
                return opened + need
            opened += length
        first = bisect_right(prefix, prefix[first] + length, first, items.stop) - 1
    return None


def _lowest_before(
    prefix: Sequence[int], items: range, slots: Sequence[_Slot], wrap_up: int
) -> list[int]:
    """Return the lowest index from which the study spans after each span hold the units.

    The spans are from the last to the first. The wrap-up must be in the span of the last unit.
    """
    lowest = items.stop
    found = []
    for start, stop, reserve in reversed(slots):
        found.append(lowest)
        if not reserve:
            end = prefix[lowest] + (wrap_up if lowest == items.stop else 0)
            lowest = bisect_left(prefix, end - (stop - start), items.start, lowest)
    return found


def _filled(prefix: Sequence[int], items: range, slots: Iterable[_Slot], wrap_up: int) -> list[Run]:
    """Return runs with as many whole units per span as it holds."""
    runs: list[Run] = []
    first, stop = items.start, items.stop
    need = prefix[stop] + wrap_up
    for begin, end, reserve in slots:
        position = prefix[first]
        reached = position + end - begin
        if need <= reached:
            runs.append(Run(begin, begin + need - position, range(first, stop), reserve))
            break
        if first + 1 < stop and reached >= prefix[first + 1]:
            to = bisect_right(prefix, reached, first, stop) - 1
            runs.append(Run(begin, begin + prefix[to] - position, range(first, to), reserve))
            first = to
    return runs
