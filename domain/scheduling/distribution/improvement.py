"""Deals contents again that are incomplete, use reserve or are cut, if that improves them.

A local search: first each is dealt again alone, in all the time that the others leave. Then one
that is incomplete or cut is dealt again before another one that shares days with it, while the rest
remains as it is, and at last each again alone. A result is better if it places more minutes, then
if it uses less reserve, then if it has fewer cuts. There are at most 72 pairs of nine contents, and
the effort limits how many of them are tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from domain.scheduling.demand import Demand
from domain.scheduling.distribution.deal import Deal
from domain.scheduling.distribution.effort import Effort
from domain.scheduling.distribution.single import deal_one, targets
from domain.scheduling.placement import Room
from domain.scheduling.spans import without


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """The search for better deals of ``demands``.

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

    def _deal_each_again(self, deals: list[Deal]) -> None:
        for index, demand in enumerate(self.demands):
            if _merit([deals[index]]) != (demand.prefix[-1], 0, 0):
                self._deal_again(deals, [index])

    def _deal_again(self, deals: list[Deal], indexes: Sequence[int]) -> None:
        """Deal the demands with these indexes again in this order, and keep them if better."""
        if not self.effort.remains:
            return
        free = _room_beside([deal for i, deal in enumerate(deals) if i not in indexes], self.rooms)
        found = []
        for index in indexes:
            demand = self.demands[index]
            self.effort.spend(demand, self.rooms)
            found.append(deal_one(demand, targets(demand), free, self.divisible[index]))
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


def _merit(deals: Sequence[Deal]) -> tuple[int, int, int]:
    """Return the merit of deals of the same demands: minutes placed, less reserve, fewer cuts."""
    return (
        sum(deal.prefix[-1] for deal in deals),
        -sum(deal.reserve for deal in deals),
        -sum(deal.cuts for deal in deals),
    )


def _room_beside(deals: Sequence[Deal], rooms: Mapping[int, Room]) -> dict[int, Room]:
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
