"""Deals contents one after another, if the even deal of all of them does not fit.

The content with the longest units is first, because shorter ones fill the gaps that it leaves; if
that does not place everything, those are first whose units may not be cut. For each, minutes are
set aside for it and for all contents after it (``set_aside``), which determines how much of each
day it may use; the least units that a later content wants on a day are kept free. Within that, it
is dealt nearest to its even deal. Its whole units may use less than one unit more or less than what
is set aside, but over all days these differences cancel out. To place all contents in the best
possible way is a bin packing problem, which is NP-hard, so the result is good but not always the
best: ``Improvement`` searches for a better one.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, permutations
from typing import Final

from domain.scheduling.demand import Demand
from domain.scheduling.distribution.deal import Deal, deal_one, target_counts, target_minutes
from domain.scheduling.distribution.nearest import nearest_count
from domain.scheduling.distribution.set_aside import least_minutes, set_aside
from domain.scheduling.feasibility import DaySets
from domain.scheduling.placement import Room
from domain.scheduling.spans import total, without

_MAX_RETRIES: Final = 2


class Effort:
    """Limits the work of a distribution, so that its time is limited for every input.

    What a deal examines is the number of its spans and units. Once the limit is reached, a schedule
    is not improved any more, and the next deals are the last ones.
    """

    def __init__(self, limit: int) -> None:
        self.left = limit

    @property
    def remains(self) -> bool:
        """Whether the limit is not reached."""
        return self.left > 0

    def require_two_deals(self, demands: Sequence[Demand], rooms: Mapping[int, Room]) -> bool:
        """Return whether the demands can be dealt twice; if not, spend all effort that is left."""
        if 2 * sum(_effort(demand, rooms) for demand in demands) > self.left:
            self.left = 0
        return self.remains

    def spend(self, demand: Demand, rooms: Mapping[int, Room]) -> None:
        """Count the deal of a demand."""
        self.left -= _effort(demand, rooms)


def deal_in_turn(
    demands: Sequence[Demand],
    rooms: Mapping[int, Room],
    divisible: Sequence[int],
    effort: Effort,
    max_orders: int,
) -> list[list[Deal]]:
    """Deal every demand in several orders, and return the deals in the order of the demands.

    ``divisible`` is the length from which units may be cut, per demand. A deal may place only the
    first units of its demand. ``max_orders`` is the number of other orders that are tried then.
    The best deals are the first ones.
    """
    order = sorted(range(len(demands)), key=lambda index: (-demands[index].longest, index))
    found = [_dealt_in_order(order, demands, rooms, divisible, effort)]
    # Units that may be cut fill any gap, but those that may not find no place in what is left of
    # days that are nearly full. At last the contents that are still incomplete are first.
    tried, other = [order], sorted(order, key=lambda i: demands[i].longest >= divisible[i])
    for _ in range(max_orders):
        missing = _missing(found[0], demands)
        if not missing or not effort.remains:
            break
        if other not in tried:
            found.append(_dealt_in_order(other, demands, rooms, divisible, effort))
            # A shortage that several contents share is better than a smaller one of one content.
            found.sort(key=lambda one: (_most_missing(one, demands), [-x for x in _merit(one)]))
            missing = _missing(found[0], demands)
        tried.append(other)
        other = sorted(order, key=missing.__contains__, reverse=True)
    return found


def _most_missing(deals: Sequence[Deal], demands: Sequence[Demand]) -> Fraction:
    """Return the highest share of its minutes that a demand is missing."""
    return max(
        Fraction(demand.prefix[-1] - deal.prefix[-1], demand.prefix[-1] or 1)
        for deal, demand in zip(deals, demands, strict=True)
    )


def _missing(deals: Sequence[Deal], demands: Sequence[Demand]) -> set[int]:
    """Return the indexes of the deals that are not complete."""
    return {
        index
        for index, (deal, demand) in enumerate(zip(deals, demands, strict=True))
        if deal.placed_units < len(demand.units)
    }


def _dealt_in_order(
    order: Sequence[int],
    demands: Sequence[Demand],
    rooms: Mapping[int, Room],
    divisible: Sequence[int],
    effort: Effort,
) -> list[Deal]:
    """Deal the demands in an order of their indexes, each beside what is set aside for the rest."""
    free = {day: room.copy() for day, room in rooms.items()}
    deals: dict[int, Deal] = {}
    for turn, index in enumerate(order):
        later = [demands[i] for i in order[turn + 1 :] if demands[i].units]
        if later:
            deals[index] = _deal_before(demands[index], later, free, divisible[index], effort)
        else:
            demand = demands[index]
            deals[index] = deal_one(demand, target_counts(demand), free, divisible[index])
        effort.spend(demands[index], free)
        for day, runs in deals[index].runs.items():
            free[day].take(runs)
    return [deals[index] for index in range(len(demands))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """A local search for better deals of ``demands``.

    First each content that is incomplete, uses reserve or is cut is dealt again alone, in all the
    time that the others leave. Then one that is incomplete or cut is dealt again before another one
    that shares days with it, while the rest remains as it is, and at last each again alone. A
    result is better if it places more minutes, then if it uses less reserve, then if it has fewer
    cuts. Nine contents have 72 pairs; the effort limits how many of them are tried.

    No content loses units of its share: as many as its entry of ``shares``, or as it had before.
    ``divisible`` is the length from which units may be cut, per demand.
    """

    demands: Sequence[Demand]
    shares: Sequence[int]
    rooms: Mapping[int, Room]
    divisible: Sequence[int]
    effort: Effort

    def improve(self, deals: list[Deal]) -> None:
        """Replace deals, which are in the order of the demands, by better ones."""
        self._deal_each_again(deals)
        for index, other in permutations(range(len(deals)), 2):
            days = self.demands[index].own
            if self._is_due(deals, index) and not deals[other].runs.keys().isdisjoint(days):
                self._deal_again(deals, [index, other])
        self._deal_each_again(deals)

    def fill_up(self, deals: list[Deal]) -> None:
        """Deal each content that is incomplete again, and keep that if more of it is placed."""
        for index in sorted(_missing(deals, self.demands)):
            self._deal_again(deals, [index])

    def _deal_each_again(self, deals: list[Deal]) -> None:
        for index, demand in enumerate(self.demands):
            if _merit([deals[index]]) != (demand.prefix[-1], 0, 0, 0):
                self._deal_again(deals, [index])

    def _deal_again(self, deals: list[Deal], indexes: Sequence[int]) -> None:
        """Deal the demands with these indexes again in this order, and keep them if better."""
        if not self.effort.remains:
            return
        free = room_beside([deal for i, deal in enumerate(deals) if i not in indexes], self.rooms)
        found: list[Deal] = []
        for index in indexes:
            demand = self.demands[index]
            self.effort.spend(demand, self.rooms)
            later = [self.demands[i] for i in indexes[len(found) + 1 :]]
            rooms = _without_least(free, later)
            found.append(deal_one(demand, target_counts(demand), rooms, self.divisible[index]))
            for day, runs in found[-1].runs.items():
                free[day].take(runs)
        if _merit(found) > _merit([deals[index] for index in indexes]) and all(
            deal.placed_units >= min(deals[index].placed_units, self.shares[index])
            for index, deal in zip(indexes, found, strict=True)
        ):
            for index, deal in zip(indexes, found, strict=True):
                deals[index] = deal

    def _is_due(self, deals: Sequence[Deal], index: int) -> bool:
        deal = deals[index]
        return deal.cuts > 0 or deal.placed_units < len(self.demands[index].units)


def _deal_before(
    demand: Demand,
    later: Sequence[Demand],
    free: Mapping[int, Room],
    divisible: int,
    effort: Effort,
) -> Deal:
    """Deal a demand near to what is set aside for it, if ``later`` ones are dealt after it.

    On each day it may use less than one unit of what is set aside for the others, so that whole
    units can be nearer to its own part. If that takes too much from some of their days, it is dealt
    again without this exception on these days.
    """
    aside = _SetAside(demand, later, free)
    day_sets = DaySets.among(later)
    strict: set[int] = set()
    deal = deal_one(demand, aside.targets, aside.usable(strict), divisible)
    for _ in range(_MAX_RETRIES):
        lacking = _lacking_days(day_sets, later, deal, aside.minutes)
        if lacking <= strict or lacking.issuperset(demand.own) or not effort.remains:
            break
        strict |= lacking
        effort.spend(demand, free)
        deal = deal_one(demand, aside.targets, aside.usable(strict), divisible)
    return deal


class _SetAside:
    """The minutes that are set aside for a demand and for later ones."""

    def __init__(self, demand: Demand, later: Sequence[Demand], free: Mapping[int, Room]) -> None:
        days = max(free, default=-1) + 1
        closed = Room((), ())
        rooms = [free.get(day, closed) for day in range(days)]
        both = [demand, *later]
        self.study = [total(room.study) for room in rooms]
        self.reserve = [total(room.reserve) for room in rooms]
        own, *others = set_aside(
            both,
            [[minutes.get(day, 0) for day in range(days)] for minutes in map(target_minutes, both)],
            self.study + self.reserve,
        )
        kept = [sum(loads) for loads in zip(*others, strict=True)]
        self.least = [0] * days
        """The minutes of study time that are kept for the least units of the others."""
        for one, loads in zip(later, others, strict=True):
            for day, least in least_minutes(one).items():
                self.least[day] += min(least, loads[day])
        minutes = accumulate(own[day] + own[days + day] for day in demand.own)
        self.demand, self.free = demand, free
        self.kept_study, self.kept_reserve = kept[:days], kept[days:]
        self.targets = [nearest_count(demand.prefix, minute) for minute in minutes]
        """The cumulative numbers of units that are nearest to the minutes set aside."""

    def minutes(self, day: int) -> int:
        """Return the free minutes of a day."""
        return self.study[day] + self.reserve[day]

    def usable(self, strict: Collection[int]) -> dict[int, Room]:
        """Return the time that the demand may use on each of its days.

        What is set aside for the others is removed from the end of each day, except for less than
        one unit on days that are not ``strict``, but not for their least units.
        """
        rooms = {}
        for day in self.demand.own:
            spare = 0 if day in strict else self.demand.longest - 1
            rooms[day] = self.free[day].first(
                self.study[day] - max(self.least[day], self.kept_study[day] - spare),
                self.reserve[day] - max(0, self.kept_reserve[day] - spare),
            )
        return rooms


def _lacking_days(
    day_sets: DaySets, demands: Sequence[Demand], deal: Deal, free: Callable[[int], int]
) -> set[int]:
    """Return the days of demands whose minutes do not fit beside a deal.

    ``free`` returns the free minutes of a day without the deal.
    """
    taken = {share.day: share.minutes for share in deal.shares}
    held = day_sets.held(lambda day: free(day) - taken.get(day, 0))
    needs = day_sets.needs(demand.prefix[-1] for demand in demands)
    return day_sets.days_of(subset for subset, need in needs.items() if need > held[subset])


def _merit(deals: Sequence[Deal]) -> tuple[int, int, int, int]:
    """Return the merit of deals of the same demands.

    It is the minutes placed, less reserve, fewer cuts, and fewer days without their least units.
    """
    return (
        sum(deal.prefix[-1] for deal in deals),
        -sum(deal.reserve for deal in deals),
        -sum(deal.cuts for deal in deals),
        -sum(_lacking(deal) for deal in deals if deal.demand.least),
    )


def _lacking(deal: Deal) -> int:
    """Return the number of days that have less than their least units."""
    counts = {share.day: len(share.items) for share in deal.shares}
    return sum(counts.get(day, 0) < least for day, least in deal.demand.least.items())


def _without_least(rooms: Mapping[int, Room], demands: Sequence[Demand]) -> Mapping[int, Room]:
    """Return the rooms without the study time that the least units of demands need."""
    kept: Counter[int] = Counter()
    for demand in demands:
        kept.update(least_minutes(demand))
    without_least = {
        day: rooms[day].first(max(0, total(rooms[day].study) - minutes), total(rooms[day].reserve))
        for day, minutes in kept.items()
    }
    return {**rooms, **without_least}


def room_beside(deals: Sequence[Deal], rooms: Mapping[int, Room]) -> dict[int, Room]:
    """Return the time of the rooms that the deals leave free."""
    taken: dict[int, list[tuple[int, int]]] = {}
    for deal in deals:
        for day, runs in deal.runs.items():
            taken.setdefault(day, []).extend((run.start, run.stop) for run in runs)
    return {
        day: Room(
            without(room.study, taken.get(day, ())), without(room.reserve, taken.get(day, ()))
        )
        for day, room in rooms.items()
    }


def _effort(demand: Demand, rooms: Mapping[int, Room]) -> int:
    spans = sum(len(rooms[day].study) + len(rooms[day].reserve) for day in demand.own)
    return spans + len(demand.units)
