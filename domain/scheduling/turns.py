"""Dealing contents in turn, when the even deal of all of them does not fit.

A single content is dealt exactly: nearest to even, with the fewest cuts. Of several, each
is dealt exactly in the room that the others leave it; that all together be cut as little
as possible is bin packing, so there the result is a good one and not always the best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

from domain.scheduling.allocation import even_deal
from domain.scheduling.balance import set_aside
from domain.scheduling.dealing import Deal, deal_nearest, fits_whole
from domain.scheduling.demand import Demand
from domain.scheduling.minutes import deltas
from domain.scheduling.packing import Room, Run, pack
from domain.scheduling.spans import total, without
from domain.scheduling.vocabulary import MAX_UNITS

_EXTREMES: Final = (MAX_UNITS, 0)


@dataclass(slots=True)
class Dealt:
    """A deal and where each of its days is placed."""

    deal: Deal
    runs: dict[int, list[Run]]

    @property
    def cuts(self) -> int:
        """Pieces beyond the first of each unit."""
        return len(self.deal.units) - len(self.deal.demand.units)


def deal_in_turn(demands: Sequence[Demand], rooms: Mapping[int, Room]) -> list[Dealt]:
    """Deal every demand in the order of placing; their minutes fit the rooms together."""
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
    """Deal a content with cuts again before another one, wherever that saves cuts."""
    for index, other in permutations(range(len(dealt)), 2):
        if not dealt[index].cuts:
            continue
        rest = [one for i, one in enumerate(dealt) if i not in {index, other}]
        free = _room_beside(rest, rooms)
        demand = dealt[index].deal.demand
        if not fits_whole(demand, [free[day] for day in demand.own]):
            continue
        # As even as can be, as early, or as late: what suits the other one is not known.
        for targets in (_targets(demand), *([count] * len(demand.own) for count in _EXTREMES)):
            pair = _pair(demand, targets, dealt[other].deal.demand, free)
            if pair and pair[0].cuts + pair[1].cuts < dealt[index].cuts + dealt[other].cuts:
                dealt[index], dealt[other] = pair


def even_minutes(demand: Demand) -> dict[int, int]:
    """Minutes of each study day of the even deal of a demand; nothing if it has no day."""
    if not demand.days:
        return {}
    counts = even_deal(len(demand.units), len(demand.days))
    minutes = deltas(demand.prefix[count] for count in counts)
    return dict(zip(demand.days, minutes, strict=True))


def _deal(demand: Demand, targets: Sequence[int], free: Mapping[int, Room]) -> Dealt:
    """Deal and place a demand whose minutes fit; ``free`` has a room for each of its days."""
    deal = deal_nearest(demand, targets, [free[day] for day in demand.own])
    runs = {}
    for day, first, last in deal.by_day():
        packed = pack(deal.prefix, first, last, free[day])
        if packed is None:
            raise AssertionError("what a day was dealt must fit its room")
        runs[day] = packed
    return Dealt(deal, runs)


def _pair(
    first: Demand, targets: Sequence[int], second: Demand, free: Mapping[int, Room]
) -> tuple[Dealt, Dealt] | None:
    """The first near ``targets``, then the second, if the minutes allow that."""
    one = _deal(first, targets, free)
    left = {day: room.copy() for day, room in free.items()}
    for day, runs in one.runs.items():
        left[day].take(runs)
    minutes = sum(total(left[day].study) + total(left[day].reserve) for day in second.own)
    if minutes < second.prefix[-1]:
        return None
    return one, _deal(second, _targets(second), left)


def _room_beside(dealt: Sequence[Dealt], rooms: Mapping[int, Room]) -> dict[int, Room]:
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
    """The even cumulative counts for all own days; beside study days a holiday is owed nothing."""
    if not demand.own:
        return []
    days = demand.days or demand.holidays
    after = dict(zip(days, even_deal(len(demand.units), len(days)), strict=True))
    targets: list[int] = []
    for day in demand.own:
        targets.append(after.get(day, targets[-1] if targets else 0))
    return targets
