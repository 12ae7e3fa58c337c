"""The limit of the work of a distribution, which limits its time for every input."""

from collections.abc import Mapping, Sequence

from domain.scheduling.demand import Demand
from domain.scheduling.placement import Room


class Effort:
    """Limits the work of a distribution, so that its time is limited for every input.

    What a deal examines is the number of its spans and units. Once the limit is reached, a schedule
    is not improved any more, and the next deals are the last ones.
    """

    def __init__(self, limit: int) -> None:
        self.left = limit

    @property
    def remains(self) -> bool:
        """Whether the limit is not reached."""
        return self.left > 0

    def allows(self, demands: Sequence[Demand], rooms: Mapping[int, Room]) -> bool:
        """Whether the demands can be dealt twice; if they cannot, the limit is reached."""
        if 2 * sum(_effort(demand, rooms) for demand in demands) > self.left:
            self.left = 0
        return self.remains

    def spend(self, demand: Demand, rooms: Mapping[int, Room]) -> None:
        """Count the deal of a demand."""
        self.left -= _effort(demand, rooms)


def _effort(demand: Demand, rooms: Mapping[int, Room]) -> int:
    spans = sum(len(rooms[day].study) + len(rooms[day].reserve) for day in demand.own)
    return spans + len(demand.units)
