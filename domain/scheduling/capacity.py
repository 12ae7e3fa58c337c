"""Whether the minutes fit, and who gets what when they do not.

Contents with the same days form a class, and there are at most four: the weaknesses and
the strategies of 2, 3 and 4 days. By Gale's supply-demand theorem (1957) a flow that
assigns all minutes exists if and only if no set of day_sets needs more than its days hold,
so feasibility is a handful of sums, exact, whatever the number of days.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from domain.scheduling.demand import Demand


@dataclass(frozen=True, slots=True)
class DaySets:
    """The demands' day_sets as bits, and for each day the day_sets that may use it."""

    of: tuple[int, ...]
    """The class of each demand, as a single bit."""
    day_owners: dict[int, int]
    """Day → union of the bits that own it."""
    subsets: tuple[int, ...]

    @classmethod
    def among(cls, demands: Sequence[Demand]) -> "DaySets":
        """Demands with the same days share a class; a demand without units has its too."""
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
        """Subset of day_sets → minutes on the days that any of them may use."""
        by_owners: dict[int, int] = {}
        for day, owners in self.day_owners.items():
            by_owners[owners] = by_owners.get(owners, 0) + capacity(day)
        return {
            subset: sum(minutes for owners, minutes in by_owners.items() if owners & subset)
            for subset in self.subsets
        }

    def fits(self, needs: Iterable[int | Fraction], held: dict[int, int]) -> bool:
        """Whether a flow can assign ``needs`` (minutes, one a demand) to the demands' days."""
        each = list(zip(self.of, needs, strict=True))
        return all(
            sum(need for bit, need in each if bit & subset) <= held[subset]
            for subset in self.subsets
        )


def shares(demands: Sequence[Demand], day_sets: DaySets, held: dict[int, int]) -> list[int]:
    """How many units of each demand are placed: all if the minutes fit, else its share.

    Shares are proportional to need. Where a set of day_sets is the bottleneck, its
    contents stop at that proportion and the others go on. Shares are cut to whole units;
    what is left over goes unit by unit, in the order of placing, while it fits.
    """
    needs = [demand.prefix[-1] for demand in demands]
    if day_sets.fits(needs, held):
        return [len(demand.units) for demand in demands]
    counts = [
        _whole_units(demand, share)
        for demand, share in zip(demands, _proportional(needs, day_sets, held), strict=True)
    ]
    return _with_remainder(demands, counts, day_sets, held)


def _proportional(needs: list[int], day_sets: DaySets, held: dict[int, int]) -> list[Fraction]:
    given: list[Fraction | None] = [None if need else Fraction(0) for need in needs]
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
    """The proportion that the open demands of a subset may have, at least 1 if it has none."""
    members = [i for i, bit in enumerate(day_sets.of) if bit & subset]
    taken = sum((given[i] or Fraction(0) for i in members), Fraction(0))
    need = sum(needs[i] for i in members if given[i] is None)
    return ((held - taken) / need if need else Fraction(2)), subset


def _whole_units(demand: Demand, share: Fraction) -> int:
    return bisect_right(demand.prefix, share) - 1


def _with_remainder(
    demands: Sequence[Demand], counts: list[int], day_sets: DaySets, held: dict[int, int]
) -> list[int]:
    given_one = True
    while given_one:
        given_one = False
        for i, demand in enumerate(demands):
            if counts[i] == len(demand.units):
                continue
            counts[i] += 1
            placed = [d.prefix[count] for d, count in zip(demands, counts, strict=True)]
            if day_sets.fits(placed, held):
                given_one = True
            else:
                counts[i] -= 1
    return counts
