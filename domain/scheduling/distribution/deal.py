"""Deals: which units of each content each day gets. Every strategy returns one per content.

A single content is dealt here, too: its whole units near to given counts (``nearest``), and cut
units only if whole ones do not fit (``splitting``).
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from domain.scheduling.demand import Demand, Placed, Problem
from domain.scheduling.distribution.goals import Minimum
from domain.scheduling.distribution.nearest import nearest_count, nearest_counts
from domain.scheduling.placement import Room, Run, pack, reserve_minutes
from domain.scheduling.rounding import deltas, even_deal
from domain.scheduling.splitting import (
    divisible_reach,
    equal_pieces,
    fewest_cuts,
    level_pieces,
    longest_spans,
)


@dataclass(slots=True)
class Deal:
    """The items of a demand that each day gets.

    Items are whole units, or pieces of units that had to be cut. Item ``i`` belongs to the unit
    with number ``units[i]``, the first ``i`` items need ``prefix[i]`` minutes, and day
    ``days[j]`` gets the items ``[counts[j - 1], counts[j])``. ``runs`` has a valid placement of
    each day's items if it was found together with the deal; otherwise it is empty.
    """

    demand: Demand
    units: list[int]
    prefix: list[int]
    days: list[int]
    counts: list[int]
    cuts: int = 0
    """The number of pieces in addition to the first one of each unit."""
    runs: dict[int, list[Run]] = field(default_factory=dict)

    @property
    def shares(self) -> list["Share"]:
        """The days that get items, in order."""
        # It is not stored: a cycle of references would have to be collected.
        return [
            Share(self, day, range(first, stop))
            for day, (first, stop) in zip(self.days, pairwise([0, *self.counts]), strict=True)
            if stop > first
        ]

    @property
    def placed_units(self) -> int:
        """The number of units of which all items have a day: the first ones of the demand."""
        return len(self.units) - self.cuts

    @property
    def placed(self) -> Placed:
        """What the deal places of its demand."""
        return Placed(self.placed_units, self.prefix[-1])

    @property
    def reserve(self) -> int:
        """The minutes in the reserve, if the placement was found together with the deal."""
        return reserve_minutes(self.runs.values())


class Share(NamedTuple):
    """The items of a deal that one day gets."""

    deal: Deal
    day: int
    items: range

    @property
    def minutes(self) -> int:
        """The length of the items, without a wrap-up."""
        return self.deal.prefix[self.items.stop] - self.deal.prefix[self.items.start]

    @property
    def runs(self) -> list[Run]:
        """The placement that was found together with the deal."""
        return self.deal.runs[self.day]


def shares_by_day(deals: Sequence[Deal]) -> Mapping[int, list[Share]]:
    """Return the shares of each day, in the order of the deals."""
    by_day: dict[int, list[Share]] = defaultdict(list)
    for deal in deals:
        for share in deal.shares:
            by_day[share.day].append(share)
    return by_day


def place_all_units(deals: Sequence[Deal], demands: Sequence[Demand]) -> bool:
    """Whether the deals place all units of the demands, to which they belong in this order.

    The demand of a deal may have been limited to fewer units.
    """
    return all(
        deal.placed_units == len(demand.units) for deal, demand in zip(deals, demands, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Distribution:
    """The result of a strategy: deals in the order of the demands of the problem.

    The problem has the days that the strategy has chosen, if it chooses any, by ``day_shifts`` per
    position. ``minimums`` has those of each demand, if the strategy has minimums.
    """

    problem: Problem
    deals: Sequence[Deal]
    minimums: Sequence[Minimum] = ()
    day_shifts: Mapping[int, int] = field(default_factory=dict)


NEVER: Final = 24 * 60 + 1
"""The length of the shortest divisible unit if none is: longer than any day."""


def target_minutes(demand: Demand) -> dict[int, int]:
    """Return the minutes that a demand should have on each study day; empty if it has no days.

    They are those that a strategy wants, or those of the even deal.
    """
    if not demand.days:
        return {}
    if demand.wanted is not None:
        return _wanted_minutes(demand, demand.wanted)
    counts = even_deal(len(demand.units), len(demand.days))
    minutes = deltas(demand.prefix[count] for count in counts)
    return dict(zip(demand.days, minutes, strict=True))


def _wanted_minutes(demand: Demand, wanted: Mapping[int, float]) -> dict[int, int]:
    """Return the wanted minutes as integers that add up to those of the demand."""
    sums = list(accumulate(wanted.get(day, 0.0) for day in demand.days))
    if not sums[-1]:
        return {}
    scale = demand.prefix[-1] / sums[-1]
    return dict(zip(demand.days, deltas(round(scale * minute) for minute in sums), strict=True))


def target_counts(demand: Demand) -> list[int]:
    """Return the cumulative counts that a demand should have after each of its own days.

    They follow what a strategy wants, or the even deal. Days with only reserve have a share only if
    the demand has no study days.
    """
    if not demand.own:
        return []
    if demand.wanted is not None and demand.days:
        minutes = target_minutes(demand)
        sums = accumulate(minutes.get(day, 0) for day in demand.own)
        return [nearest_count(demand.prefix, minute) for minute in sums]
    days = demand.days or demand.reserve_days
    after = dict(zip(days, even_deal(len(demand.units), len(days)), strict=True))
    counts: list[int] = []
    for day in demand.own:
        counts.append(after.get(day, counts[-1] if counts else 0))
    return counts


def deal_one(
    demand: Demand, targets: Sequence[int], rooms: Mapping[int, Room], divisible: int
) -> Deal:
    """Deal as many units of a demand as possible, near to ``targets``, and place them.

    Uncut units in study time are tried first, then uncut units in study time and reserve. Only if
    both fail, units are cut, as few as possible.
    """
    days = [rooms[day] for day in demand.own]
    study = [[stop - start for start, stop in room.study] for room in days]
    both = [room.lengths() for room in days] if any(room.reserve for room in days) else study
    items = _Items(demand, demand.units, demand.prefix)
    least = [demand.least.get(day, 0) for day in demand.own] if demand.least else ()
    counts = nearest_counts(demand.prefix, targets, study, both, least) if demand.units else []
    if counts is None:
        for items in _divided(demand, both, divisible):
            counts = nearest_counts(items.prefix, items.counts(targets), study, both, least)
            if counts is not None:
                break
        else:
            raise AssertionError("pieces must fit into the spans for which they were cut")
    return _placed(items, counts, rooms)


class _Items(NamedTuple):
    """Whole units and pieces of units: their numbers and cumulative minutes."""

    demand: Demand
    units: list[int]
    prefix: list[int]

    def counts(self, units: Sequence[int]) -> list[int]:
        """Return the numbers of items that correspond to numbers of units."""
        whole = self.demand.prefix
        most = len(whole) - 1
        return [bisect_left(self.prefix, whole[min(count, most)]) for count in units]


def _divided(demand: Demand, both: Sequence[Sequence[int]], divisible: int) -> Iterator[_Items]:
    """Yield divisions of a demand's units, from the best to one that is known to fit.

    As few units are cut as possible. A unit that is longer than each of its days is divided into as
    many pieces of equal length, if these fit, or else of lengths as equal as the spans allow.
    """
    lengths: Sequence[int] = [length for spans in both for length in spans]
    longest_day = max(map(sum, both), default=0)
    demand = demand.limited(divisible_reach(demand.prefix, lengths, divisible))
    cuts = fewest_cuts(demand.prefix, lengths, divisible)
    if cuts and demand.longest > longest_day:
        lengths, cuts = longest_spans(demand.prefix, cuts, lengths, divisible)
        yield _with_cuts(demand, equal_pieces(demand.prefix, cuts, longest_day))
        cuts = level_pieces(demand.prefix, cuts, lengths, longest_day)
    yield _with_cuts(demand, cuts)


def _with_cuts(demand: Demand, cuts: Sequence[int]) -> _Items:
    prefix = sorted({*demand.prefix, *cuts})
    units = [demand.units[bisect_left(demand.prefix, end) - 1] for end in prefix[1:]]
    return _Items(demand, units, prefix)


def _placed(items: _Items, counts: list[int], rooms: Mapping[int, Room]) -> Deal:
    """Return the deal of items that the rooms hold, with their placement."""
    demand, units, prefix = items
    own = demand.own if counts else []
    deal = Deal(demand, units, prefix, own, counts, cuts=len(units) - len(demand.units))
    for share in deal.shares:
        packed = pack(prefix, share.items, rooms[share.day])
        if packed is None:
            raise AssertionError("the units that are dealt to a day must fit its room")
        deal.runs[share.day] = packed
    return deal
