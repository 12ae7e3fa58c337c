"""Whether all minutes fit, and the share of each content if they do not.

Contents with the same days have the same day set. There are at most four day sets: that of the
weaknesses, and those of the strategies of 2, 3 and 4 days. By Gale's supply-demand theorem (1957),
a flow that assigns all minutes to days exists if and only if no subset of the day sets needs more
minutes than its days hold. Feasibility is therefore decided exactly by at most 15 sums, which are
independent of the number of days.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from domain.scheduling.demand import Demand


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

    def fits(self, needs: Iterable[int | Fraction], held: dict[int, int]) -> bool:
        """Whether ``needs``, the minutes per demand, can be assigned to the demands' days."""
        each = list(zip(self.of, needs, strict=True))
        return all(
            sum(need for bit, need in each if bit & subset) <= held[subset]
            for subset in self.subsets
        )


def shares(demands: Sequence[Demand], day_sets: DaySets, held: dict[int, int]) -> list[int]:
    """Return how many units of each demand are placed: all if the minutes fit, else its share.

    Shares are proportional to needs. If a subset of the day sets is a bottleneck, the shares of
    its contents end at that proportion, and those of the others increase further. Shares are
    rounded down to whole units. The remaining time is given to one unit of each content in the
    order of placing, repeatedly, as long as units fit.
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
    """Return the shares in minutes.

    This is progressive filling (Bertsekas and Gallager, Data Networks, 1992): the proportion of
    all open demands increases until a subset of the day sets is full. Its demands are then fixed,
    and the others are filled further. The result is max-min fair. Fractions keep it exact. Each
    round fixes at least one demand, so there are at most nine rounds, each over 15 subsets.
    """
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
    """Return the proportion at which the open demands of a subset fill it, and the subset.

    A subset without open demands has no limit, which a proportion greater than 1 expresses.
    """
    members = [i for i, bit in enumerate(day_sets.of) if bit & subset]
    taken = sum((given[i] or Fraction(0) for i in members), Fraction(0))
    need = sum(needs[i] for i in members if given[i] is None)
    return ((held - taken) / need if need else Fraction(2)), subset


def _whole_units(demand: Demand, share: Fraction) -> int:
    return bisect_right(demand.prefix, share) - 1


def _with_remainder(
    demands: Sequence[Demand], counts: list[int], day_sets: DaySets, held: dict[int, int]
) -> list[int]:
    # Rounding down has left less than one unit per demand, so few rounds are needed.
    is_changed = True
    while is_changed:
        is_changed = False
        for i, demand in enumerate(demands):
            if counts[i] == len(demand.units):
                continue
            counts[i] += 1
            placed = [d.prefix[count] for d, count in zip(demands, counts, strict=True)]
            if day_sets.fits(placed, held):
                is_changed = True
            else:
                counts[i] -= 1
    return counts
