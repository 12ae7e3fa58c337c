"""Deals a single content: its units to its days, whole if possible, and cut if necessary."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from domain.scheduling.demand import Demand
from domain.scheduling.distribution.deal import Deal
from domain.scheduling.distribution.nearest import nearest_counts
from domain.scheduling.placement import Room, pack
from domain.scheduling.rounding import deltas, even_deal
from domain.scheduling.splitting import (
    divisible_reach,
    equal_pieces,
    fewest_cuts,
    level_pieces,
    longest_spans,
)

NEVER: Final = 24 * 60 + 1
"""The length of the shortest divisible unit if none is: longer than any day."""


def even_minutes(demand: Demand) -> dict[int, int]:
    """Return the minutes of the even deal of a demand by study day; empty if it has no days."""
    if not demand.days:
        return {}
    counts = even_deal(len(demand.units), len(demand.days))
    minutes = deltas(demand.prefix[count] for count in counts)
    return dict(zip(demand.days, minutes, strict=True))


def targets(demand: Demand) -> list[int]:
    """Return the even cumulative counts for all own days.

    Days with only reserve have a share only if the demand has no study days.
    """
    if not demand.own:
        return []
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
    both = [room.lengths() for room in days]
    items = _Items(demand, demand.units, demand.prefix)
    counts = nearest_counts(demand.prefix, targets, study, both) if demand.units else []
    if counts is None:
        for items in _divided(demand, both, divisible):
            counts = nearest_counts(items.prefix, items.counts(targets), study, both)
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
