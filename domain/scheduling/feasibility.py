"""Whether all minutes fit, and the share of each content if they do not.

Contents with the same days have the same day set. Under ``even`` and without deadlines there are at
most four: that of the weaknesses, and those of the strategies of 2, 3 and 4 days. With deadlines,
or the shifts of ``balanced``, each of nine contents may have its own. By Gale's supply-demand
theorem (1957), a flow that assigns all minutes to days exists if and only if no subset of the day
sets needs more minutes than its days hold. Feasibility is therefore decided exactly by at most 511
sums, independent of the number of days.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import or_

from domain.scheduling.demand import Demand
from domain.scheduling.placement import Room


@dataclass(frozen=True, slots=True)
class DaySets:
    """The demands' day sets as bits, and for each day the day sets that may use it."""

    of: tuple[int, ...]
    """The day set of each demand, as a single bit."""
    day_owners: dict[int, int]
    """Day → the bits of all day sets that contain it."""
    subsets: tuple[int, ...]
    """All non-empty subsets of the day sets, as bits."""

    @classmethod
    def among(cls, demands: Sequence[Demand]) -> "DaySets":
        """Return the day sets of the demands, including demands without units."""
        bits: dict[tuple[int, ...], int] = {}
        owners: dict[int, int] = {}
        of = []
        for demand in demands:
            own = tuple(demand.own)
            if own not in bits:
                bits[own] = 1 << len(bits)
                for day in own:
                    owners[day] = owners.get(day, 0) | bits[own]
            of.append(bits[own])
        return cls(tuple(of), owners, tuple(range(1, 1 << len(bits))))

    def held(self, capacity: Callable[[int], int]) -> dict[int, int]:
        """Return, for each subset of the day sets, the minutes of all days that it may use.

        ``capacity`` returns the minutes of a day.
        """
        by_owners: dict[int, int] = {}
        for day, owners in self.day_owners.items():
            by_owners[owners] = by_owners.get(owners, 0) + capacity(day)
        return {
            subset: sum(minutes for owners, minutes in by_owners.items() if owners & subset)
            for subset in self.subsets
        }

    def needs(self, minutes: Iterable[int]) -> dict[int, int]:
        """Return, for each subset of the day sets, the minutes of its demands.

        ``minutes`` has those of each demand.
        """
        each: dict[int, int] = {}
        for bit, need in zip(self.of, minutes, strict=True):
            each[bit] = each.get(bit, 0) + need
        return {
            subset: sum(need for bit, need in each.items() if bit & subset)
            for subset in self.subsets
        }

    def fits(self, minutes: Iterable[int], held: Mapping[int, int]) -> bool:
        """Whether ``minutes``, those of each demand, can be assigned to the demands' days."""
        return all(need <= held[subset] for subset, need in self.needs(minutes).items())

    def days_of(self, subsets: Iterable[int]) -> set[int]:
        """Return the days of all day sets in the subsets."""
        bits = reduce(or_, subsets, 0)
        return {day for day, owners in self.day_owners.items() if owners & bits}


def placeable(demands: Sequence[Demand], rooms: Mapping[int, Room]) -> list[int]:
    """Return how many units of each demand are to be placed: all if the minutes fit.

    Otherwise it is the share of each content. Shares are proportional to needs. If a subset of the
    day sets is a bottleneck, the shares of its contents end at that proportion, and those of the
    others increase further. Shares are rounded down to whole units. The remaining time is given to
    one unit of each content in the order of placing, repeatedly, as long as units fit. A unit that
    is longer than each of its days is placed if the days would otherwise remain more idle.
    """
    day_sets = DaySets.among(demands)
    held = day_sets.held(lambda day: rooms[day].minutes)
    if day_sets.fits([demand.prefix[-1] for demand in demands], held):
        return [len(demand.units) for demand in demands]
    counts = _shares(demands, day_sets, held, {})
    fixed: dict[int, int] = {}
    for i, demand in enumerate(demands):
        longest_day = max((rooms[day].minutes for day in demand.own), default=0)
        if counts[i] < len(demand.units) and demand.length(counts[i]) > longest_day:
            trial = {**fixed, i: counts[i] + 1}
            others = _shares(demands, day_sets, held, trial)
            if _minutes(demands, others) > _minutes(demands, counts):
                counts, fixed = others, trial
    return counts


def _shares(
    demands: Sequence[Demand], day_sets: DaySets, held: dict[int, int], fixed: Mapping[int, int]
) -> list[int]:
    """Return the shares in units if some demands have a ``fixed`` number of units.

    Returns zeros if already the fixed units do not fit.
    """
    counts = [fixed.get(i, 0) for i in range(len(demands))]
    placed = [demand.prefix[count] for demand, count in zip(demands, counts, strict=True)]
    if not day_sets.fits(placed, held):
        return [0] * len(demands)
    given = {i: Fraction(placed[i]) for i in fixed}
    needs = [demand.prefix[-1] for demand in demands]
    for i, share in enumerate(_proportional(needs, day_sets, held, given)):
        if i not in fixed:
            counts[i] = bisect_right(demands[i].prefix, share) - 1
    return _with_remainder(demands, counts, day_sets, held)


def _minutes(demands: Sequence[Demand], counts: Sequence[int]) -> int:
    return sum(demand.prefix[count] for demand, count in zip(demands, counts, strict=True))


def _proportional(
    needs: list[int], day_sets: DaySets, held: dict[int, int], fixed: Mapping[int, Fraction]
) -> list[Fraction]:
    """Return the shares in minutes; those of some demands are ``fixed``.

    This is progressive filling (Bertsekas and Gallager, Data Networks, 1992): the proportion of
    all open demands increases until a subset of the day sets is full. Its demands are then fixed,
    and the others are filled further. The result is max-min fair. Fractions keep it exact. Each
    round fixes at least one demand, so there are at most nine rounds, each over all subsets.
    """
    given: list[Fraction | None] = [
        fixed.get(i, None if need else Fraction(0)) for i, need in enumerate(needs)
    ]
    while None in given:
        proportion, bottleneck = min(
            (
                _proportion(needs, given, day_sets, subset, held[subset])
                for subset in day_sets.subsets
            ),
            key=lambda found: found[0],
        )
        open_ones = [i for i, share in enumerate(given) if share is None]
        for i in open_ones:
            if proportion >= 1 or day_sets.of[i] & bottleneck:
                given[i] = min(proportion, Fraction(1)) * needs[i]
    return [share for share in given if share is not None]


def _proportion(
    needs: list[int], given: list[Fraction | None], day_sets: DaySets, subset: int, held: int
) -> tuple[Fraction, int]:
    """Return the proportion at which the open demands of a subset fill it, and the subset.

    A subset without open demands has no limit, which a proportion greater than 1 expresses.
    """
    members = [i for i, bit in enumerate(day_sets.of) if bit & subset]
    taken = sum((given[i] or Fraction(0) for i in members), Fraction(0))
    need = sum(needs[i] for i in members if given[i] is None)
    return ((held - taken) / need if need else Fraction(2)), subset


def _with_remainder(
    demands: Sequence[Demand], counts: list[int], day_sets: DaySets, held: dict[int, int]
) -> list[int]:
    """Add one unit of each demand in order, repeatedly, as long as units fit."""
    placed = day_sets.needs(d.prefix[count] for d, count in zip(demands, counts, strict=True))
    left = {subset: held[subset] - minutes for subset, minutes in placed.items()}
    limits = [[subset for subset in left if subset & bit] for bit in day_sets.of]

    def add_unit(i: int) -> bool:
        if counts[i] == len(demands[i].units):
            return False
        length = demands[i].length(counts[i])
        if length > min(left[subset] for subset in limits[i]):
            return False
        counts[i] += 1
        for subset in limits[i]:
            left[subset] -= length
        return True

    open_ones = list(range(len(demands)))
    while open_ones:
        open_ones = [i for i in open_ones if add_unit(i)]
    return counts
