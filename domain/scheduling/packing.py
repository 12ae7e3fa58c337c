"""Putting consecutive units into spans, in order of time.

Units of one content are given by a ``prefix`` of minutes (``prefix[i]``: the first ``i``)
and a range of indexes. They go into spans in order, each span taking as many whole units
as it holds; for units in a fixed order no other way gets further.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from domain.scheduling.spans import Span, front, total


class Run(NamedTuple):
    """Units ``[first, last)`` from ``start`` on, their wrap-up included in ``end``."""

    start: int
    end: int
    first: int
    last: int
    reserve: bool


class Room:
    """The free time of one day: study time and reserve, tidy, as yet unplanned."""

    __slots__ = ("reserve", "study")

    def __init__(self, study: Iterable[Span], reserve: Iterable[Span]) -> None:
        self.study = list(study)
        self.reserve = list(reserve)

    def copy(self) -> "Room":
        return Room(self.study, self.reserve)

    def lengths(self) -> list[int]:
        """The lengths of all spans in order of time."""
        return [end - start for start, end in sorted(self.study + self.reserve)]

    def leaving(self, study: int, reserve: int) -> "Room":
        """The same room without its last ``study`` and ``reserve`` minutes."""
        return Room(
            front(self.study, total(self.study) - study) if study else self.study,
            front(self.reserve, total(self.reserve) - reserve) if reserve else self.reserve,
        )

    def take(self, runs: Iterable[Run]) -> None:
        """Close the time of ``runs``, each of which begins where a free span begins."""
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
    """Runs for the units ``[first, last)``, or ``None`` if they do not fit whole.

    Study time is used from its earliest minute, the reserve only for what study time does
    not hold, as little of it as possible. The units ascend in time also where the
    reserve comes before study time. ``wrap_up`` minutes follow the last unit in its span.
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
    least, most = 0, total(room.reserve)
    runs = _fill(prefix, first, last, _with_reserve(study, room, most), wrap_up)
    if runs is None:
        return None
    while most - least > 1:
        middle = (least + most) // 2
        tried = _fill(prefix, first, last, _with_reserve(study, room, middle), wrap_up)
        if tried is None:
            least = middle
        else:
            most, runs = middle, tried
    return runs


def reach(prefix: Sequence[int], first: int, lengths: Iterable[int]) -> int:
    """The index up to which whole units from ``first`` on fit into spans of these lengths."""
    for length in lengths:
        first = bisect_right(prefix, prefix[first] + length, first) - 1
    return first


def reach_back(prefix: Sequence[int], last: int, lengths: Sequence[int]) -> int:
    """The least index from which the units up to ``last`` fit into spans of these lengths."""
    for length in reversed(lengths):
        last = bisect_left(prefix, prefix[last] - length, 0, last)
    return last


def fewest_cuts(prefix: Sequence[int], lengths: Iterable[int]) -> list[int] | None:
    """Where to cut units so that all fit into spans of these lengths, in order.

    Returns the cuts as minutes from the beginning, as few as possible, or ``None`` if the
    spans hold fewer minutes than the units have. For every number of cuts the furthest
    position is kept: being further on never hurts.
    """
    need = prefix[-1]
    furthest: list[tuple[int, _Cuts]] = [(0, None)]
    for length in lengths:
        reached: list[tuple[int, _Cuts]] = []
        for cuts, (position, history) in enumerate(furthest):
            whole = prefix[bisect_right(prefix, position + length) - 1]
            best = (max(position, whole), history)
            if cuts and reached[cuts - 1][0] >= best[0]:
                best = reached[cuts - 1]
            if cuts and _filled(prefix, furthest[cuts - 1], length)[0] > best[0]:
                best = _filled(prefix, furthest[cuts - 1], length)
            reached.append(best)
        more = _filled(prefix, furthest[-1], length)
        if more[0] > reached[-1][0]:
            reached.append(more)
        furthest = reached
    for position, history in furthest:
        if position >= need:
            return _listed(history)
    return None


_Cuts = tuple[int, "_Cuts"] | None


def _filled(prefix: Sequence[int], state: tuple[int, _Cuts], length: int) -> tuple[int, _Cuts]:
    """Fill a span to its end, cutting a unit there."""
    position = min(state[0] + length, prefix[-1])
    return position, (position, state[1])


def _listed(history: _Cuts) -> list[int]:
    cuts: list[int] = []
    while history is not None:
        position, history = history
        cuts.append(position)
    return cuts[::-1]


def _fill(
    prefix: Sequence[int],
    first: int,
    last: int,
    spans: Iterable[tuple[int, int, bool]],
    wrap_up: int,
) -> list[Run] | None:
    runs: list[Run] = []
    for start, end, reserve in spans:
        room = end - start
        if prefix[last] - prefix[first] + wrap_up <= room:
            stop = start + prefix[last] - prefix[first] + wrap_up
            return [*runs, Run(start, stop, first, last, reserve)]
        # Without its wrap-up the last unit must not slip in, for the two stay together.
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
