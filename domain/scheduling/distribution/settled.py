"""What a ledger needs to know of rooms, and the placement of deals whose units it has moved."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace

from domain.scheduling.distribution.deal import Deal
from domain.scheduling.distribution.goals import NO_MINIMUM, Minimum
from domain.scheduling.distribution.ledger import Ledger
from domain.scheduling.distribution.packing import ReserveNeeds, packed
from domain.scheduling.distribution.sessions import Sessions
from domain.scheduling.placement import Room, Run, reserve_minutes
from domain.scheduling.spans import total


def sessions_of(deal: Deal, shortest: int, minimum: Minimum = NO_MINIMUM) -> Sessions:
    """Return the sessions of a deal, which share its counts: a change of these changes the deal."""
    return Sessions(
        replace(deal.demand, units=deal.units, prefix=deal.prefix),
        deal.days,
        shortest=min(shortest, deal.prefix[-1]),
        least_units=minimum.units,
        required=minimum.days,
        wanted=frozenset(deal.days) if minimum.sessions else minimum.wanted - minimum.days,
        counts=deal.counts,
    )


def ledger_in(
    rooms: Mapping[int, Room],
    contents: Sequence[Sessions],
    weights: Mapping[int, int],
    base: Mapping[int, int],
    levels: Mapping[int, float],
) -> Ledger:
    """Return a ledger of sessions that are to be placed uncut in rooms."""
    times = {day: total(room.study) for day, room in rooms.items()}
    return Ledger(contents, weights, base, levels, times=times, held=ReserveNeeds(contents, rooms))


def used_reserve(deals: Sequence[Deal]) -> dict[int, int]:
    """Return the minutes of the reserve that the placement of deals uses, by day."""
    used: dict[int, int] = {}
    for deal in deals:
        for day, runs in deal.runs.items():
            used[day] = used.get(day, 0) + reserve_minutes([runs])
    return used


def pack_changed(ledger: Ledger, deals: Sequence[Deal], rooms: Mapping[int, Room]) -> None:
    """Set the placement of the days whose units have been changed."""
    for day in ledger.changed:
        pack_again(deals, ledger.contents, day, rooms[day])


def pack_again(deals: Sequence[Deal], contents: Sequence[Sessions], day: int, room: Room) -> None:
    """Set the runs of a day whose units have been changed."""
    items: dict[int, range] = {}
    for number, one in enumerate(contents):
        if day in one.days:
            first, stop = one.bounds(bisect_left(one.days, day))
            if first < stop:
                items[number] = range(first, stop)
            else:
                deals[number].runs.pop(day, None)
    placed = packed(contents, items, room)
    for number, own in items.items():
        runs = deals[number].runs
        runs[day] = _shifted(runs[day], own.start) if placed is None else placed[number]


def _shifted(runs: Sequence[Run], first: int) -> list[Run]:
    """Return the runs for as many units of the same length, from another one on."""
    by = first - runs[0].items.start
    return [run._replace(items=range(run.items.start + by, run.items.stop + by)) for run in runs]
