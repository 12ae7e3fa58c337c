"""Deals contents one after another, if the even deal of all of them does not fit.

A single content is dealt optimally: with the fewest cuts, and nearest to even. If there are
several, each is dealt optimally in the time that is not set aside for the others. To minimise the
cuts of all contents together is a bin packing problem, which is NP-hard, so the result is good but
not always the best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

from domain.scheduling.demand import Demand
from domain.scheduling.distribution.nearest import Deal, deal_nearest, fits_whole
from domain.scheduling.distribution.set_aside import set_aside
from domain.scheduling.placement import Room, Run, pack
from domain.scheduling.rounding import deltas, even_deal
from domain.scheduling.spans import total, without
from domain.scheduling.types import MAX_UNITS

_EXTREMES: Final = (MAX_UNITS, 0)


@dataclass(slots=True)
class Dealt:
    """A deal, and the runs that place it on each day."""

    deal: Deal
    runs: dict[int, list[Run]]

    @property
    def cuts(self) -> int:
        """The number of pieces in addition to the first one of each unit."""
        return len(self.deal.units) - len(self.deal.demand.units)


def deal_in_turn(demands: Sequence[Demand], rooms: Mapping[int, Room]) -> list[Dealt]:
    """Deal every demand in the order of placing. Their minutes must fit into the rooms together."""
    days = max(rooms, default=-1) + 1
    closed = Room((), ())
    free = {day: rooms.get(day, closed).copy() for day in range(days)}
    even = [even_minutes(demand) for demand in demands]
    aside = set_aside(
        demands,
        [[minutes.get(day, 0) for day in range(days)] for minutes in even],
        [total(room.study) for room in free.values()]
        + [total(room.reserve) for room in free.values()],
    )
    # ``later`` has the minutes per bin that are set aside for the demands not yet dealt. They are
    # removed from the end of the day, so that the current demand can use the rest. Every demand
    # uses at most the minutes that are not set aside, so the minutes of all of them fit.
    later = [sum(load[bin_] for load in aside) for bin_ in range(2 * days)]
    dealt = []
    for demand, load in zip(demands, aside, strict=True):
        later = [minutes - own for minutes, own in zip(later, load, strict=True)]
        usable = {day: free[day].leaving(later[day], later[days + day]) for day in demand.own}
        one = _deal(demand, _targets(demand), usable)
        for day, runs in one.runs.items():
            free[day].take(runs)
        dealt.append(one)
    return dealt


def mend(dealt: list[Dealt], rooms: Mapping[int, Room]) -> None:
    """Deal a content with cuts again before another content, if that reduces their cuts.

    Each ordered pair is tried once, with the other contents unchanged. At most nine contents have
    72 such pairs.
    """
    longest_span = max((length for room in rooms.values() for length in room.lengths()), default=0)
    for index, other in permutations(range(len(dealt)), 2):
        # A unit that is longer than every span cannot be placed whole, whatever else moves.
        if not dealt[index].cuts or dealt[index].deal.demand.longest > longest_span:
            continue
        rest = [one for i, one in enumerate(dealt) if i not in {index, other}]
        free = _room_beside(rest, rooms)
        demand = dealt[index].deal.demand
        if not fits_whole(demand, [free[day] for day in demand.own]):
            continue
        # As evenly, as early or as late as possible: which one leaves suitable time for the other
        # content is not known in advance.
        for targets in (_targets(demand), *([count] * len(demand.own) for count in _EXTREMES)):
            pair = _pair(demand, targets, dealt[other].deal.demand, free)
            if pair and pair[0].cuts + pair[1].cuts < dealt[index].cuts + dealt[other].cuts:
                dealt[index], dealt[other] = pair


def even_minutes(demand: Demand) -> dict[int, int]:
    """Return the minutes of the even deal of a demand by study day; empty if it has no days."""
    if not demand.days:
        return {}
    counts = even_deal(len(demand.units), len(demand.days))
    minutes = deltas(demand.prefix[count] for count in counts)
    return dict(zip(demand.days, minutes, strict=True))


def _deal(demand: Demand, targets: Sequence[int], free: Mapping[int, Room]) -> Dealt:
    """Deal and place a demand whose minutes fit. ``free`` has a room for each of its own days."""
    deal = deal_nearest(demand, targets, [free[day] for day in demand.own])
    runs = {}
    for day, first, last in deal.by_day():
        packed = pack(deal.prefix, first, last, free[day])
        if packed is None:
            raise AssertionError("the units that are dealt to a day must fit its room")
        runs[day] = packed
    return Dealt(deal, runs)


def _pair(
    first: Demand, targets: Sequence[int], second: Demand, free: Mapping[int, Room]
) -> tuple[Dealt, Dealt] | None:
    """Deal the first demand near ``targets``, then the second.

    Returns ``None`` if the first leaves too few minutes for the second.
    """
    one = _deal(first, targets, free)
    left = {day: room.copy() for day, room in free.items()}
    for day, runs in one.runs.items():
        left[day].take(runs)
    minutes = sum(total(left[day].study) + total(left[day].reserve) for day in second.own)
    if minutes < second.prefix[-1]:
        return None
    return one, _deal(second, _targets(second), left)


def _room_beside(dealt: Sequence[Dealt], rooms: Mapping[int, Room]) -> dict[int, Room]:
    """Return the time of the rooms that the deals leave free."""
    taken: dict[int, list[tuple[int, int]]] = {}
    for one in dealt:
        for day, runs in one.runs.items():
            taken.setdefault(day, []).extend((run.start, run.end) for run in runs)
    return {
        day: Room(
            without(room.study, taken.get(day, ())), without(room.reserve, taken.get(day, ()))
        )
        for day, room in rooms.items()
    }


def _targets(demand: Demand) -> list[int]:
    """Return the even cumulative counts for all own days.

    Holidays only have a share if the demand has no study days.
    """
    if not demand.own:
        return []
    days = demand.days or demand.reserve_days
    after = dict(zip(days, even_deal(len(demand.units), len(days)), strict=True))
    targets: list[int] = []
    for day in demand.own:
        targets.append(after.get(day, targets[-1] if targets else 0))
    return targets
