"""Levels: to what share of its time each day is filled, and each content's part of each day.

The fullness of the days is the decreasingly minimal vector with which all minutes fit: its highest
values are as low as possible, then the next ones. It is found bottleneck by bottleneck, as in the
decomposition of Megiddo (1974) for lexicographically optimal flows. By Gale's condition (see
``feasibility``) no level is possible below that at which the days of a set of contents hold the
minutes of this set; the set for which it is highest is the bottleneck. Its contents fill its days
to this level. They are removed with their days, and the rest is levelled in the same way.

Days that the same contents may use are one *cell*, so the cost does not depend on the length of the
period: at most 511 sets of nine contents in at most nine rounds.

The contents of a bottleneck are divided over its cells so that both the minutes of each content and
the level are met, in proportion to both as far as possible: iterative proportional fitting (Deming
and Stephan, 1940).
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

UNREACHABLE: Final = float("inf")
"""The level of contents whose days do not hold their minutes."""
_ROUNDS: Final = 12
_CLOSE: Final = 1e-9


class DayTime(NamedTuple):
    """The time of a day: a level adds between 0 and ``free`` minutes to its ``base``.

    At the level λ the day has λ × ``weight`` minutes. ``weight`` is the study time of the day, or 1
    if the minutes of all days are to be equal; ``base`` has the minutes that are decided already.
    """

    weight: int
    base: int
    free: int

    def added(self, level: float) -> float:
        """Return the minutes that the day takes at a level, in addition to its base."""
        return min(float(self.free), max(0.0, level * self.weight - self.base))


class _Sum(NamedTuple):
    """Days together: sums, and the levels between which none of them is closed or full."""

    weight: int
    base: int
    lowest: float
    highest: float


class _Slopes(NamedTuple):
    """The minutes that days take, as a function of the level: its increasing pieces, in order.

    The slope changes where a day opens or is full. ``reached`` has the minutes at the end of each
    piece, ``starts`` its first level, the minutes there, and the slope. At the ``highest`` level
    all days are full, with the minutes ``held``.
    """

    reached: Sequence[float]
    starts: Sequence[tuple[float, float, int]]
    highest: float
    held: float


class Cells:
    """Days in cells: those that the same contents may use. A set of cells is given by its bits."""

    def __init__(self, times: Mapping[int, DayTime], owners: Mapping[int, int]) -> None:
        """Group the days of ``times`` by their ``owners``, bits of everything that may use them."""
        self.times = times
        self.days: list[list[int]] = []
        self.owners: list[int] = []
        self.bits: dict[int, int] = {}
        """The cell of each day, as a single bit."""
        index: dict[int, int] = {}
        for day in times:
            cell = index.setdefault(owners.get(day, 0), len(index))
            if cell == len(self.days):
                self.days.append([])
                self.owners.append(owners.get(day, 0))
            self.days[cell].append(day)
            self.bits[day] = 1 << cell
        self._sums: dict[int, _Sum] = {}
        self._slopes: dict[int, _Slopes] = {}
        self._single = [self._sum_of_days(days) for days in self.days]

    def owned_by(self, owner: int) -> int:
        """Return the cells that an owner, given by its bit, may use."""
        return sum(1 << cell for cell, owners in enumerate(self.owners) if owners & owner)

    def weight(self, cells: int) -> int:
        """Return the sum of the weights of all days of some cells."""
        return self._sum(cells).weight

    def level(self, cells: int, need: int) -> float:
        """Return the level at which the days of some cells take ``need`` minutes."""
        weight, base, lowest, highest = self._sums.get(cells) or self._sum(cells)
        if not weight:
            return UNREACHABLE if need else 0.0
        level = (need + base) / weight
        if lowest <= level <= highest:
            return level
        return self._level_with_limits(cells, need)

    def members(self, cells: int) -> Iterator[int]:
        """Yield the indexes of cells."""
        while cells:
            lowest = cells & -cells
            yield lowest.bit_length() - 1
            cells ^= lowest

    def _sum(self, cells: int) -> _Sum:
        found = self._sums.get(cells)
        if found is None:
            single = [self._single[cell] for cell in self.members(cells)]
            found = self._sums[cells] = _Sum(
                weight=sum(one.weight for one in single),
                base=sum(one.base for one in single),
                lowest=max((one.lowest for one in single), default=0.0),
                highest=min((one.highest for one in single), default=UNREACHABLE),
            )
        return found

    def _sum_of_days(self, days: Sequence[int]) -> _Sum:
        times = [self.times[day] for day in days]
        return _Sum(
            weight=sum(time.weight for time in times),
            base=sum(time.base for time in times),
            lowest=max(time.base / time.weight for time in times),
            highest=min((time.base + time.free) / time.weight for time in times),
        )

    def _level_with_limits(self, cells: int, need: int) -> float:
        """Return the level if some days are closed at low levels or full at high ones."""
        slopes = self._slopes.get(cells)
        if slopes is None:
            slopes = self._slopes[cells] = self._slopes_of(cells)
        index = bisect_left(slopes.reached, need - _CLOSE)
        if index < len(slopes.reached):
            level, held, slope = slopes.starts[index]
            return level + (need - held) / slope
        return slopes.highest if slopes.held >= need * (1 - _CLOSE) else UNREACHABLE

    def _slopes_of(self, cells: int) -> "_Slopes":
        """Return how the minutes that the days of some cells take increase with the level."""
        changes: dict[float, int] = {}
        for cell in self.members(cells):
            for weight, base, free in map(self.times.__getitem__, self.days[cell]):
                for level, slope in ((base / weight, weight), ((base + free) / weight, -weight)):
                    changes[level] = changes.get(level, 0) + slope
        starts, ends = [], []
        held, slope, at = 0.0, 0, 0.0
        for level in sorted(changes):
            if slope:
                starts.append((at, held, slope))
                held += slope * (level - at)
                ends.append(held)
            at, slope = level, slope + changes[level]
        return _Slopes(ends, starts, highest=at, held=held)


class Bottleneck(NamedTuple):
    """Users that fill their cells, except those of higher bottlenecks, to a level."""

    level: float
    users: int
    cells: int


def bottleneck(cells: Cells, users: Sequence[int], needs: Sequence[int], left: int) -> Bottleneck:
    """Return the bottleneck of users, each given by its cells, in the cells that are ``left``.

    ``needs`` has the minutes of each user. Users without minutes do not count. The users of the
    result are bits, too. Of several sets with the same level the largest one is returned.
    """
    count = len(users)
    unions, sums = [0] * (1 << count), [0] * (1 << count)
    highest = Bottleneck(-1.0, 0, 0)
    for subset in range(1, 1 << count):
        rest = subset & (subset - 1)
        user = (subset ^ rest).bit_length() - 1
        unions[subset] = union = unions[rest] | users[user]
        sums[subset] = need = sums[rest] + needs[user]
        level = cells.level(union & left, need)
        # The union of two bottlenecks is one, too, so that the largest one is well-defined.
        if level > highest.level + _CLOSE or (
            level > highest.level - _CLOSE and highest.users & ~subset == 0
        ):
            highest = Bottleneck(level, subset, union & left)
    return highest


def bottlenecks(cells: Cells, users: Mapping[int, int]) -> Iterator[Bottleneck]:
    """Yield the bottlenecks, from the highest level on.

    ``users`` has, for each set of cells, the minutes of the users that may use them. The users of a
    bottleneck are bits of indexes into ``users``.
    """
    masks, needs = list(users), list(users.values())
    open_users = [index for index, need in enumerate(needs) if need]
    left = (1 << len(cells.days)) - 1
    while open_users:
        found = bottleneck(
            cells, [masks[i] for i in open_users], [needs[i] for i in open_users], left
        )
        members = [index for at, index in enumerate(open_users) if found.users >> at & 1]
        yield found._replace(users=sum(1 << index for index in members))
        open_users = [index for index in open_users if index not in members]
        left &= ~found.cells


def together(users: Sequence[int], needs: Sequence[int]) -> dict[int, int]:
    """Return the minutes of all users with the same cells, by their cells."""
    sums: dict[int, int] = {}
    for own, need in zip(users, needs, strict=True):
        sums[own] = sums.get(own, 0) + need
    return sums


def parts(cells: Cells, users: Sequence[int], needs: Sequence[int]) -> list[dict[int, float]]:
    """Return the minutes of each user per day, in addition to the base of the days.

    ``users`` has the cells of each user. The minutes of each user are met exactly, the levels of
    the days nearly.
    """
    sums = together(users, needs)
    shares: dict[int, dict[int, float]] = {own: {} for own in sums}
    for level, members, owned in bottlenecks(cells, sums):
        if level == UNREACHABLE:
            continue
        added = {
            cell: {day: cells.times[day].added(level) for day in cells.days[cell]}
            for cell in cells.members(owned)
        }
        held = {cell: sum(days.values()) for cell, days in added.items()}
        inside = {own: own & owned for i, own in enumerate(sums) if members >> i & 1}
        for (own, cell), share in _divided(inside, sums, held).items():
            shares[own].update({day: share * minutes for day, minutes in added[cell].items()})
    return [
        {day: minutes * need / sums[own] for day, minutes in shares[own].items()}
        for own, need in zip(users, needs, strict=True)
    ]


def _divided(
    users: Mapping[int, int], needs: Mapping[int, int], held: Mapping[int, float]
) -> dict[tuple[int, int], float]:
    """Return which share of what each cell holds the users of a bottleneck get.

    ``users`` has the cells in the bottleneck by all cells of a user. The last step meets the
    minutes of the users.
    """
    pairs = [
        (user, cell)
        for user, own in users.items()
        for cell, minutes in held.items()
        if own >> cell & 1 and minutes > 0
    ]
    minutes = {(user, cell): needs[user] * held[cell] for user, cell in pairs}
    for _ in range(_ROUNDS if len(users) > 1 and len(held) > 1 else 1):
        for axis, totals in ((1, held), (0, needs)):
            sums: dict[int, float] = {}
            for pair in pairs:
                sums[pair[axis]] = sums.get(pair[axis], 0.0) + minutes[pair]
            for pair in pairs:
                minutes[pair] *= totals[pair[axis]] / sums[pair[axis]]
    return {pair: minutes[pair] / held[pair[1]] for pair in pairs}
