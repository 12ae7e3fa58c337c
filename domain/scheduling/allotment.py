"""From demands and rooms to what each day gets: the even deal, or the nearest that fits."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.scheduling.allocation import even_deal
from domain.scheduling.balance import set_aside
from domain.scheduling.capacity import Classes, shares
from domain.scheduling.dealing import Deal, deal_nearest
from domain.scheduling.demand import Demand
from domain.scheduling.minutes import deltas
from domain.scheduling.packing import Room, Run, pack
from domain.scheduling.spans import total


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
    are dealt one after the other, each as near to its even deal as the room allows that is
    not set aside for those after it.
    """
    deals = [_even(demand) for demand in demands]
    items = _by_day(deals)
    if all(demand.days or not demand.units for demand in demands) and all(
        _fits_study(day_items, rooms[day]) for day, day_items in items.items()
    ):
        return Allotment(items, {}, [len(demand.units) for demand in demands])
    classes = Classes.among(demands)
    held = classes.held(lambda day: total(rooms[day].study) + total(rooms[day].reserve))
    counts = shares(demands, classes, held)
    limited = [demand.limited(count) for demand, count in zip(demands, counts, strict=True)]
    deals, runs = _one_after_the_other(limited, rooms)
    return Allotment(_by_day(deals), runs, counts)


def even_minutes(demand: Demand) -> dict[int, int]:
    """Minutes of each day of the even deal of all that remains; nothing if it has no day."""
    if not demand.days:
        return {}
    counts = even_deal(len(demand.units), len(demand.days))
    minutes = deltas(demand.prefix[count] for count in counts)
    return dict(zip(demand.days, minutes, strict=True))


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


def _one_after_the_other(
    demands: Sequence[Demand], rooms: Mapping[int, Room]
) -> tuple[list[Deal], dict[int, list[list[Run]]]]:
    days = max(rooms, default=-1) + 1
    empty = Room((), ())
    free = [rooms[day].copy() if day in rooms else empty for day in range(days)]
    even = [even_minutes(demand) for demand in demands]
    aside = set_aside(
        demands,
        [[minutes.get(day, 0) for day in range(days)] for minutes in even],
        [total(room.study) for room in free] + [total(room.reserve) for room in free],
    )
    later = [sum(load[bin_] for load in aside) for bin_ in range(2 * days)]
    deals: list[Deal] = []
    runs: dict[int, list[list[Run]]] = defaultdict(list)
    for demand, load in zip(demands, aside, strict=True):
        later = [sum_ - minutes for sum_, minutes in zip(later, load, strict=True)]
        usable = [free[day].leaving(later[day], later[days + day]) for day in demand.own]
        deal = deal_nearest(demand, _targets(demand), usable)
        deals.append(deal)
        by_day = dict(zip(demand.own, usable, strict=True))
        for day, first, last in deal.by_day():
            packed = pack(deal.prefix, first, last, by_day[day])
            if packed is None:
                raise AssertionError("what a day was dealt must fit its room")
            free[day].take(packed)
            runs[day].append(packed)
    return deals, runs


def _targets(demand: Demand) -> list[int]:
    """The even cumulative counts for all own days; a holiday is owed nothing."""
    if not demand.own:
        return []
    counts = even_deal(len(demand.units), len(demand.days)) if demand.days else []
    after = dict(zip(demand.days, counts, strict=True))
    targets: list[int] = []
    for day in demand.own:
        targets.append(after.get(day, targets[-1] if targets else 0))
    return targets
