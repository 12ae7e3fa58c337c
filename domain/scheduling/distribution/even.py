"""Assigns units to days: by the even deal, or by the nearest deal that fits the free time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.scheduling.demand import Demand
from domain.scheduling.distribution.in_turn import deal_in_turn, mend
from domain.scheduling.distribution.nearest import Deal
from domain.scheduling.feasibility import DaySets, shares
from domain.scheduling.placement import Room, Run, pack
from domain.scheduling.rounding import even_deal
from domain.scheduling.spans import total


@dataclass(frozen=True, slots=True)
class Item:
    """The items ``[first, last)`` of a content's deal, which one day gets."""

    deal: Deal
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Allotment:
    """The items of each day, in the order of placing.

    ``runs`` has a valid placement for each day if the even deal did not fit, because then the
    placement is found together with the deal; otherwise it is empty. ``counts`` has the number of
    placed units per demand.
    """

    items: Mapping[int, list[Item]]
    runs: Mapping[int, list[list[Run]]]
    counts: list[int]


def allot(demands: Sequence[Demand], rooms: Mapping[int, Room]) -> Allotment:
    """Deal all units if their minutes fit, otherwise the share of each content.

    The even deal is used if every day can place its units uncut in study time. Otherwise the
    contents are dealt one after another, each as near to its even deal as possible in the time
    that is not set aside for later contents. If that cuts units, pairs of contents are dealt
    again. In a calendar that is full to the last minute, cuts are unavoidable.
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
    # Packing keeps units whole, so each span wastes less than the length of one unit. If the
    # spare time is at least one longest unit per span, everything fits and no trial is needed.
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
