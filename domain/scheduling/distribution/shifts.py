"""Chooses by how many study days the days of each strategy content are shifted in every cycle.

The pattern of a content with k days in a cycle of n study days has the indexes (⌊(i + 0.5)·n/k⌋ +
s) mod n. The shifts s of all contents are chosen together: first the least minutes that do not fit,
then the least reserve, the least highest fullness of a day (``levels``), and the least sum of the
squared minutes of the days divided by their times; in case of a tie, the least shifts by position.

A year has the same patterns in every cycle, so that the days are summed up in cells first. A few
combinations are all tried. Of many, candidates come from coordinate descents from several starts,
on the sum of squares if each content filled all its days alike, which is a sum over pairs of
contents; of the best dozen the exact values are computed, and the best one is improved by another
coordinate descent on exact values. Coordinate descent from one start would miss the optimum in one
of twenty groups.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from math import prod
from typing import Final, NamedTuple, TypeAlias, TypeVar

from domain.scheduling.distribution.levels import UNREACHABLE, Cells, DayTime, bottlenecks, together

_ALL: Final = 48
"""The number of combinations up to which all are tried."""
_BEST: Final = 12
_STARTS: Final = 8

Value = TypeVar("Value", float, "Merit")

Combination: TypeAlias = tuple[int, ...]
"""The index of the pattern of each content."""


class Pattern(NamedTuple):
    """Days that a content may get, and the least shift that leads to them."""

    shift: int
    days: Sequence[int]


class Merit(NamedTuple):
    """How good a combination is; lower is better."""

    unplaced: int
    reserve: int
    fullness: float
    squares: float
    shifts: tuple[int, ...]


class Shifts:
    """The choice of a pattern for each content.

    ``patterns`` has the possible patterns of each content, and ``needs`` its minutes, without those
    that are a part of the base of ``times``. The contents are in the order of positions, and
    ``both`` has the free minutes of each day in study time and reserve.
    """

    def __init__(
        self,
        patterns: Sequence[Sequence[Pattern]],
        needs: Sequence[int],
        times: Mapping[int, DayTime],
        both: Mapping[int, int],
    ) -> None:
        self.patterns, self.needs = patterns, needs
        owners: dict[int, int] = {}
        bit = 1
        bits = []
        for own in patterns:
            bits.append([bit << index for index in range(len(own))])
            bit <<= len(own)
            for pattern, pattern_bit in zip(own, bits[-1], strict=True):
                for day in pattern.days:
                    owners[day] = owners.get(day, 0) | pattern_bit
        self.cells = Cells(times, owners)
        self.masks = [[self.cells.owned_by(bit) for bit in own] for own in bits]
        self.least_full = min(
            ((time.base + time.free) / time.weight for time in times.values()), default=UNREACHABLE
        )
        """The level up to which no day is full, so that everything fits into study time."""
        self.least = self.cells.level((1 << len(self.cells.days)) - 1, sum(needs))
        self._held_in_both = self._held(both)
        self._held_in_study = self._held({day: time.free for day, time in times.items()})
        self._merits: dict[Combination, Merit] = {}

    def best(self) -> Combination:
        """Return the best combination that is found."""
        counts = [len(own) for own in self.patterns]
        if prod(counts) == 1:
            return (0,) * len(counts)
        if prod(counts) <= _ALL:
            return self._first_best(product(*map(range, counts)))
        squares = _Squares(self.cells, self.masks, self.needs)
        found = {self._descent(start, squares.value): None for start in _starts(counts)}
        best = self._first_best(sorted(found, key=squares.value)[:_BEST])
        return best if self._is_least(best) else self._descent(best, self.merit)

    def _first_best(self, combinations: Iterable[Combination]) -> Combination:
        """Return the best of some combinations, or the first one than which none can be better."""
        best: tuple[Merit, Combination] | None = None
        for combination in combinations:
            found = self.merit(combination), combination
            if best is None or found < best:
                best = found
                if self._is_least(combination):
                    break
        if best is None:
            raise AssertionError("there is at least one combination")
        return best[1]

    def _is_least(self, combination: Combination) -> bool:
        """Whether the highest level is that of all days together, which no combination is below."""
        merit = self.merit(combination)
        return not merit.unplaced and not merit.reserve and merit.fullness <= self.least + 1e-9

    def merit(self, combination: Combination) -> Merit:
        """Return the exact merit of a combination."""
        if combination not in self._merits:
            self._merits[combination] = self._merit(combination)
        return self._merits[combination]

    def _merit(self, combination: Combination) -> Merit:
        users = [own[index] for own, index in zip(self.masks, combination, strict=True)]
        sums = together(users, self.needs)
        squares = highest = 0.0
        for level, _, cells in bottlenecks(self.cells, sums):
            highest = max(highest, level)
            squares += level * level * self.cells.weight(cells)
        unplaced = reserve = 0
        if highest > self.least_full:
            unplaced = self._excess(sums, self._held_in_both)
            reserve = self._excess(sums, self._held_in_study)
        return Merit(
            unplaced,
            reserve,
            round(highest, 9),
            round(squares, 6),
            tuple(own[index].shift for own, index in zip(self.patterns, combination, strict=True)),
        )

    def _excess(self, sums: Mapping[int, int], held: Callable[[int], int]) -> int:
        """Return the minutes by which contents exceed what is held of their days."""
        sets = [(0, 0)]
        for cells, minutes in sums.items():
            sets += [(union | cells, need + minutes) for union, need in sets]
        return max(need - held(union) for union, need in sets)

    def _held(self, free: Mapping[int, int]) -> Callable[[int], int]:
        """Return a function for the minutes that are free on the days of a set of cells."""
        single = [sum(free[day] for day in days) for days in self.cells.days]
        return cache(lambda cells: sum(single[cell] for cell in self.cells.members(cells)))

    def _descent(self, start: Combination, value: Callable[[Combination], Value]) -> Combination:
        """Return the combination to which coordinate descent leads."""
        best: Combination = start
        improved = True
        while improved:
            improved = False
            for content in range(len(start)):
                found = min(self._turned(best, content), key=value)
                if value(found) < value(best):
                    best, improved = found, True
        return best

    def _turned(self, combination: Combination, content: int) -> list[Combination]:
        """Return the combinations with each pattern of one content."""
        before, after = combination[:content], combination[content + 1 :]
        return [(*before, index, *after) for index in range(len(self.patterns[content]))]


class _Squares:
    """The sum of squared minutes / time if every content filled all its days to the same share."""

    def __init__(self, cells: Cells, masks: Sequence[Sequence[int]], needs: Sequence[int]) -> None:
        shares = [
            [need / (cells.weight(mask) or 1) for mask in own]
            for own, need in zip(masks, needs, strict=True)
        ]
        self.pairs = [
            [
                [
                    [
                        shares[i][p] * shares[j][q] * cells.weight(masks[i][p] & masks[j][q])
                        for q in range(len(masks[j]))
                    ]
                    for p in range(len(masks[i]))
                ]
                for j in range(i)
            ]
            for i in range(len(masks))
        ]
        self.single = [
            [share * share * cells.weight(mask) for share, mask in zip(own, mask_, strict=True)]
            for own, mask_ in zip(shares, masks, strict=True)
        ]

    def value(self, combination: Combination) -> float:
        """Return the sum for a combination."""
        sum_ = 0.0
        for i, p in enumerate(combination):
            sum_ += self.single[i][p]
            for j, pairs in enumerate(self.pairs[i]):
                sum_ += 2 * pairs[p][combination[j]]
        return sum_


def _starts(counts: Sequence[int]) -> Iterator[Combination]:
    """Yield combinations from which the search starts: the first patterns, and turned ones."""
    for start in range(_STARTS):
        yield tuple(start * (index + 1) % count for index, count in enumerate(counts))
