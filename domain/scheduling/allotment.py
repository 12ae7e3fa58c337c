"""From demands and rooms to what each day gets: the even deal, or the nearest that fits."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.scheduling.allocation import even_deal
from domain.scheduling.capacity import DaySets, shares
from domain.scheduling.dealing import Deal
from domain.scheduling.demand import Demand
from domain.scheduling.packing import Room, Run, pack
from domain.scheduling.spans import total
from domain.scheduling.turns import deal_in_turn, mend


@dataclass(frozen=True, slots=True)
class Item:
    """What one day gets of one content: the deal's items ``[first, last)``."""

    deal: Deal
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Allotment:
    """What each day gets, in the order of placing.

    ``runs`` holds one valid placing for the days where it had to be found together with
    the deal; ``counts`` how many units of each demand are placed.
    """

    items: Mapping[int, list[Item]]
    runs: Mapping[int, list[list[Run]]]
    counts: list[int]


def allot(demands: Sequence[Demand], rooms: Mapping[int, Room]) -> Allotment:
    """Deal out everything if the minutes fit, else each content's share.

    The even deal stands if every day can place it whole in study time. Otherwise contents
    are dealt in turn, each as near to its even deal as the room allows that is not set
    aside for those after it; where that cut units, pairs of contents are dealt again. In a
    calendar that is full to the last minute cuts cannot be helped.
    """
    deals = [_even(demand) for demand in demands]
    items = _by_day(deals)
    if all(demand.days or not demand.units for demand in demands) and all(
        _fits_study(day_items, rooms[day]) for day, day_items in items.items()
    ):
        return Allotment(items, {}, [len(demand.units) for demand in demands])
    day_sets = DaySets.among(demands)
    held = day_sets.held(lambda day: total(rooms[day].study) + total(rooms[day].reserve))
    counts = shares(demands, day_sets, held)
    limited = [demand.limited(count) for demand, count in zip(demands, counts, strict=True)]
    dealt = deal_in_turn(limited, rooms)
    if counts == [len(demand.units) for demand in demands]:
        mend(dealt, rooms)
    runs = {day: [one.runs[day] for one in dealt if day in one.runs] for day in sorted(rooms)}
    return Allotment(_by_day([one.deal for one in dealt]), runs, counts)


def _even(demand: Demand) -> Deal:
    counts = even_deal(len(demand.units), len(demand.days)) if demand.days else []
    return Deal(demand, demand.units, demand.prefix, demand.days, counts)


def _by_day(deals: Sequence[Deal]) -> dict[int, list[Item]]:
    items: dict[int, list[Item]] = defaultdict(list)
    for deal in deals:
        for day, first, last in deal.by_day():
            items[day].append(Item(deal, first, last))
    return items


def _fits_study(items: Sequence[Item], room: Room) -> bool:
    need = sum(item.deal.prefix[item.last] - item.deal.prefix[item.first] for item in items)
    spare = total(room.study) - need
    # Each span wastes less than one unit, so with this much to spare nothing can fail.
    if spare < 0 or len(room.study) == 1:
        return spare >= 0
    if spare >= len(room.study) * max(item.deal.demand.longest for item in items):
        return True
    left = Room(room.study, ())
    for item in items:
        runs = pack(item.deal.prefix, item.first, item.last, left)
        if runs is None:
            return False
        left.take(runs)
    return True
