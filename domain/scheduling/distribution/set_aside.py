"""Sets minutes aside: how much of each day each content may use if its targets do not fit.

Starts from the targets. On overfull days the most flexible content (the one with the most days)
is moved first, to days with free time, but the least units that it wants on a day are moved last.
If all days of a content are full, other contents are moved
to make room, along augmenting paths between contents. Study time is filled before the reserve.
Bins ``0 … days-1`` are study time, and bins ``days … 2·days-1`` are the reserve of the same days.

This is a transportation problem, solved with augmenting paths (Ford and Fulkerson, 1956), which
are searched breadth-first. A path leads from one content to another if the first may use a bin in
which the second has minutes. Suppose that no path from a content leads to free time. Then the bins
of all contents that can be reached are full, and contain only minutes of these contents, so these
contents need more minutes than their bins hold, and what remains has no place. Minutes are integers
and each path moves at least one of them, so the search ends. One search compares at most all pairs
of contents, of which there are at most nine, in all of their bins.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from domain.scheduling.demand import Demand

Loads = list[list[int]]
"""Minutes per demand and bin."""


def set_aside(
    demands: Sequence[Demand], targets: Sequence[Sequence[int]], room: Sequence[int]
) -> Loads:
    """Return minutes for every demand that together fit into ``room``, the minutes per bin.

    ``targets`` are the minutes that each demand should have, per study bin. If the minutes of all
    demands fit (``DaySets.fits``), all of them are set aside; otherwise as many as possible.
    """
    transport = _Transport(demands, targets, room)
    days = len(room) // 2
    for reserve_too in (False, True):
        for demand in range(len(demands)):
            own = demands[demand].own
            bins = own + [days + day for day in own] if reserve_too else own
            transport.own[demand] = bins
        for demand in range(len(demands)):
            transport.assign(demand)
    return transport.loads


class _Transport:
    def __init__(
        self, demands: Sequence[Demand], targets: Sequence[Sequence[int]], room: Sequence[int]
    ) -> None:
        days = len(room) // 2
        self.loads: Loads = [[*minutes, *([0] * days)] for minutes in targets]
        self.slack = list(room)
        self.own: list[list[int]] = [[] for _ in demands]
        self.steps = [max(1, demand.longest) for demand in demands]
        self.least = [least_minutes(demand) for demand in demands]
        # Minutes that have no bin, by the bin from which they were removed, so that they are
        # moved to a bin nearby.
        self.unassigned = [
            _undealt(d, minutes) for d, minutes in zip(demands, targets, strict=True)
        ]
        flexible = sorted(range(len(demands)), key=lambda i: (-len(demands[i].own), -i))
        for day in range(days):
            self._unload(day, flexible)

    def assign(self, demand: int) -> None:
        """Assign the unassigned minutes of a demand to bins, moving other demands if necessary.

        Minutes remain unassigned if the current ``own`` bins cannot hold them.
        """
        self._spread(demand)
        while self.unassigned[demand]:
            path = self._path_to_slack(demand)
            if path is None:
                return
            self._move_along(path)

    def _unload(self, day: int, flexible: Iterable[int]) -> None:
        """Remove minutes from a day until the rest fits, the most flexible demand first.

        The least minutes of demands are removed only if the rest does not fit otherwise.
        """
        excess = sum(load[day] for load in self.loads) - self.slack[day]
        passes = (True, False) if any(day in least for least in self.least) else (False,)
        for demand, keeps_least in ((demand, keeps) for keeps in passes for demand in flexible):
            if excess <= 0:
                break
            # The excess is rounded up to a multiple of the longest unit, so that what remains
            # and what is moved are likely to be whole units.
            step = self.steps[demand]
            least = self.least[demand].get(day, 0) if keeps_least else 0
            removable = max(0, self.loads[demand][day] - least)
            removed = min(removable, -(-excess // step) * step)
            if removed:
                self.loads[demand][day] -= removed
                unassigned = self.unassigned[demand]
                unassigned[day] = unassigned.get(day, 0) + removed
                excess -= removed
        self.slack[day] -= sum(load[day] for load in self.loads)

    def _spread(self, demand: int) -> None:
        """Assign unassigned minutes to free time in own bins: first in whole units, then any."""
        for step in (self.steps[demand], 1):
            for bins in (self.own[demand], self.own[demand][::-1]):
                if self.unassigned[demand]:
                    self._carry(demand, bins, step)

    def _carry(self, demand: int, bins: Sequence[int], step: int) -> None:
        """Carry unassigned minutes along the bins to the next ones with slack, in one pass."""
        unassigned = self.unassigned[demand]
        carried = 0
        last = bins[-1] if bins else 0
        for bin_ in bins:
            carried += unassigned.pop(bin_, 0)
            fits = min(carried, self.slack[bin_])
            fits -= fits % step
            if fits:
                self._load(demand, bin_, fits)
                carried -= fits
        if carried:
            unassigned[last] = unassigned.get(last, 0) + carried

    def _load(self, demand: int, bin_: int, minutes: int) -> None:
        self.loads[demand][bin_] += minutes
        self.slack[bin_] -= minutes

    def _slack_of(self, demand: int) -> int:
        return sum(self.slack[bin_] for bin_ in self.own[demand])

    def _path_to_slack(self, demand: int) -> list[int] | None:
        """Return a shortest path of demands to one with slack, by breadth-first search.

        Each demand on it may use a bin in which the next one has minutes. Returns ``None`` if
        there is no path.
        """
        paths = [[demand]]
        seen = {demand}
        for path in paths:
            if self._slack_of(path[-1]):
                return path
            for other in range(len(self.loads)):
                if other not in seen and self._shared(path[-1], other):
                    seen.add(other)
                    paths.append([*path, other])
        return None

    def _shared(self, pusher: int, pushed: int) -> int:
        load = self.loads[pushed]
        return sum(load[bin_] for bin_ in self.own[pusher])

    def _move_along(self, path: list[int]) -> None:
        """Move as many minutes as possible along a path.

        The last demand moves into its slack. Backwards along the path, each demand then takes over
        the bins that the next one has left, until the first one has assigned its minutes.
        """
        unassigned = self.unassigned[path[0]]
        amount = min(sum(unassigned.values()), self._slack_of(path[-1]))
        for pusher, pushed in pairwise(path):
            amount = min(amount, self._shared(pusher, pushed))
        left = amount
        for bin_ in self.own[path[-1]]:
            minutes = min(left, self.slack[bin_])
            self._load(path[-1], bin_, minutes)
            left -= minutes
        for pusher, pushed in reversed(list(pairwise(path))):
            self._hand_over(pushed, pusher, amount)
        for bin_ in list(unassigned):
            assigned = min(amount, unassigned[bin_])
            amount -= assigned
            unassigned[bin_] -= assigned
            if not unassigned[bin_]:
                del unassigned[bin_]

    def _hand_over(self, giver: int, taker: int, amount: int) -> None:
        least = self.least[giver]
        for keeps_least in (True, False) if least else (False,):
            for bin_ in self.own[taker]:
                kept = least.get(bin_, 0) if keeps_least else 0
                minutes = min(amount, max(0, self.loads[giver][bin_] - kept))
                self.loads[giver][bin_] -= minutes
                self.loads[taker][bin_] += minutes
                amount -= minutes


def least_minutes(demand: Demand) -> dict[int, int]:
    """Return the minutes by day that surely hold the units that a demand has there at least."""
    return {day: units * demand.longest for day, units in demand.least.items()}


def _undealt(demand: Demand, even: Sequence[int]) -> dict[int, int]:
    """Return the minutes that the even deal does not contain, by bin.

    A content that may only use holidays has no even deal, so all its minutes are unassigned.
    """
    minutes = demand.prefix[-1] - sum(even)
    return {demand.own[0]: minutes} if minutes else {}
