"""What every strategy returns: which units of each content each day gets."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from domain.scheduling.demand import Demand
from domain.scheduling.placement import Run


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
    def reserve(self) -> int:
        """The minutes in the reserve, if the placement was found together with the deal."""
        return sum(
            run.stop - run.start for runs in self.runs.values() for run in runs if run.reserve
        )


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
