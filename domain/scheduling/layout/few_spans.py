"""Divides the sessions of a day between a few spans, with as few short pieces and cuts as possible.

The method is dynamic programming over the sessions. A state has the filled minutes of every span
except the longest one, whose minutes follow from the sum. All states with the same number of short
pieces and cuts are the bits of one integer, so a way to divide a session is applied to all of them
by one shift. The cost is the number of sessions × ways × states / the word length.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice, pairwise, product
from typing import Final, NamedTuple, TypeAlias

from domain.scheduling.layout.day_sessions import NEEDLESS, FreeSpan, Pieces, Session, division_cost

_MAX_STATES: Final = 1 << 17
"""The number of states, bits of an integer, up to which spans count as few."""
_TIERS: Final = (1, 3, 6, 9)
"""The limits of the cost of cuts that are tried one after another, because low ones take less."""
MAX_CUTS: Final = _TIERS[-1]
"""The highest cost of cuts for which a division is looked for."""
_MAX_COMPARED: Final = 200
"""How many of the cheapest divisions are compared at most."""
_MAX_CUT_POINTS: Final = 64
"""At how many places a session is cut in two at most, at equal distances."""
_MAX_TWO_CUT_POINTS: Final = 12
"""The same for a session that is cut in three."""
_FEW_UNITS: Final = 12
"""The number of units up to which a session is divided over three spans if two could hold it."""

_Cost: TypeAlias = tuple[int, int]
"""The number of short pieces, and the cost of the cuts."""


class _Way(NamedTuple):
    """A division of a session: the spans, the bounds of its items, and the minutes in each span."""

    spans: Sequence[int]
    bounds: Sequence[int]
    minutes: Sequence[int]
    cost: _Cost


def are_few(spans: Sequence[FreeSpan]) -> bool:
    """Whether the spans are few and short enough for ``divided_exactly``."""
    return len(spans) > 1 and _Fills(spans).count <= _MAX_STATES


def divided_exactly(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], reserve: int, limit: _Cost
) -> Pieces | None:
    """Return what each span holds of each session, at a cost within the ``limit``.

    ``spans`` are in order of time, and of the reserve at most ``reserve`` minutes are used. The
    division has the fewest short pieces, then the cheapest cuts. ``None`` means that none was found
    with at most three spans per session (two for one of many units that two spans could hold), and
    cuts at the places that are tried.
    """
    fills = _Fills(spans)
    total = sum(session.minutes for session in sessions)
    allowed = fills.allowed(total, reserve)
    limits = [(0, cuts) for cuts in sorted({min(cuts, limit[1]) for cuts in _TIERS})]
    limits += [(short, limit[1]) for short in range(1, limit[0] + 1)]
    for within in limits if allowed else ():
        ways = [list(_ways(session, fills.free, within)) for session in sessions]
        layers = _layers(ways, fills, within)
        for cost in sorted(layers[-1]):
            if found := layers[-1][cost] & allowed:
                return _traced(layers, ways, fills, fills.earliest(found, total), cost)
    return None


class _Fills:
    """The filled minutes of all spans but the longest, as bits of an integer."""

    def __init__(self, spans: Sequence[FreeSpan]) -> None:
        self.free = [span.stop - span.start for span in spans]
        self.reserve = [span.reserve for span in spans]
        self.last = self.free.index(max(self.free))
        self.steps = [0] * len(spans)
        self.count = 1
        for index, free in enumerate(self.free):
            if index != self.last:
                self.steps[index] = self.count
                self.count *= free + 1
        self._masks: dict[tuple[int, int], int] = {}

    def after(self, states: int, way: _Way) -> int:
        """Return the states with the minutes of a way more in each span, if it holds them."""
        offset = 0
        for index, more in zip(way.spans, way.minutes, strict=True):
            if index != self.last:
                states &= self._up_to(index, self.free[index] - more)
                offset += more * self.steps[index]
        return states << offset

    def _up_to(self, index: int, most: int) -> int:
        """Return the states in which a span has at most so many minutes."""
        mask = self._masks.get((index, most))
        if mask is None:
            step = self.steps[index]
            period = step * (self.free[index] + 1)
            every = ((1 << self.count) - 1) // ((1 << period) - 1)
            mask = self._masks[index, most] = ((1 << step * (most + 1)) - 1) * every
        return mask

    def allowed(self, total: int, reserve: int) -> int:
        """Return the states in which the longest span holds the rest, and the reserve suffices."""
        inner = 1 if self.last == 0 else 0  # the span with step 1: its fills are adjacent bits
        outer = (
            range(1) if index in (inner, self.last) else range(free + 1)
            for index, free in enumerate(self.free)
        )
        states = 0
        for filled in product(*outer):
            rest = total - sum(filled)
            left = reserve - self._in_reserve(filled)
            lowest, highest = max(0, rest - self.free[self.last]), min(self.free[inner], rest)
            if self.reserve[inner]:
                highest = min(highest, left)
            if self.reserve[self.last]:
                lowest = max(lowest, rest - left)
            if self.reserve[inner] and self.reserve[self.last]:
                lowest, highest = (0, -1) if rest > left else (lowest, min(self.free[inner], rest))
            if left >= 0 and lowest <= highest:
                first = sum(map(int.__mul__, filled, self.steps)) + lowest
                states |= ((1 << highest - lowest + 1) - 1) << first
        return states

    def earliest(self, states: int, total: int) -> list[int]:
        """Return the fills with the least reserve, and then with the fullest first spans."""
        found = (self._filled(state, total) for state in islice(_bits(states), _MAX_COMPARED))
        return min(found, key=lambda filled: (self._in_reserve(filled), [-one for one in filled]))

    def number(self, filled: Sequence[int]) -> int | None:
        """Return the number of the state with these fills, ``None`` if one is negative."""
        if any(m < 0 for index, m in enumerate(filled) if index != self.last):
            return None
        return sum(map(int.__mul__, filled, self.steps))

    def _filled(self, state: int, total: int) -> list[int]:
        filled = [
            0 if index == self.last else state // self.steps[index] % (free + 1)
            for index, free in enumerate(self.free)
        ]
        filled[self.last] = total - sum(filled)
        return filled

    def _in_reserve(self, filled: Sequence[int]) -> int:
        return sum(m for m, in_reserve in zip(filled, self.reserve, strict=True) if in_reserve)


def _bits(states: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set."""
    while states:
        lowest = states & -states
        yield lowest.bit_length() - 1
        states ^= lowest


def _layers(
    ways: Sequence[Sequence[_Way]], fills: _Fills, limit: _Cost
) -> list[Mapping[_Cost, int]]:
    """Return the states after each number of sessions, by their cost, up to a limit."""
    layers: list[Mapping[_Cost, int]] = [{(0, 0): 1}]
    for own in ways:
        reached: dict[_Cost, int] = defaultdict(int)
        for (short, cuts), states in layers[-1].items():
            for way in own:
                cost = short + way.cost[0], cuts + way.cost[1]
                if cost[0] <= limit[0] and cost[1] <= limit[1]:
                    after = fills.after(states, way)
                    if after:
                        reached[cost] |= after
        layers.append(reached)
        if not reached:
            break
    return layers


def _traced(
    layers: Sequence[Mapping[_Cost, int]],
    ways: Sequence[Sequence[_Way]],
    fills: _Fills,
    filled: list[int],
    cost: _Cost,
) -> Pieces:
    """Return the items in each span that lead to a state."""
    found: Pieces = [[range(0)] * len(ways) for _ in filled]
    for session in reversed(range(len(ways))):
        for way in ways[session]:
            before = filled.copy()
            for index, minutes in zip(way.spans, way.minutes, strict=True):
                before[index] -= minutes
            without = cost[0] - way.cost[0], cost[1] - way.cost[1]
            number = fills.number(before)
            if number is not None and layers[session].get(without, 0) >> number & 1:
                filled, cost = before, without
                for index, bound in zip(way.spans, pairwise(way.bounds), strict=True):
                    found[index][session] = range(*bound)
                break
    return found


def _ways(session: Session, free: Sequence[int], limit: _Cost) -> Iterator[_Way]:
    """Yield the ways to divide a session between the spans, in order of time, the whole first."""
    items, total, longest = session.items, session.minutes, max(free)
    places, before = range(len(free)), session.prefix[items.start]
    most = 3 if len(items) <= _FEW_UNITS or total > sum(sorted(free)[-2:]) else 2
    if total <= longest:
        most = min(most, 1 + max(0, limit[1] - NEEDLESS))
    for count in range(1, min(most, 1 + limit[1], len(free), len(items)) + 1):
        ends = _thinned(items[1:], _MAX_CUT_POINTS if count == 2 else _MAX_TWO_CUT_POINTS)
        choices = [(spans, [free[i] for i in spans]) for spans in combinations(places, count)]
        for cuts in combinations(ends, count - 1):
            inner = [session.prefix[at] - before for at in cuts]
            minutes = [stop - start for start, stop in pairwise([0, *inner, total])]
            cost = division_cost(session, minutes, longest)
            if cost[0] <= limit[0]:
                bounds = (items.start, *cuts, items.stop)
                for spans, held in choices:
                    if all(map(int.__le__, minutes, held)):
                        yield _Way(spans, bounds, minutes, cost)


def _thinned(items: range, most: int) -> range:
    """Return at most so many of the items, at equal distances."""
    return items[:: -(-len(items) // most) or 1]
