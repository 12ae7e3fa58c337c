"""Minutes set aside: who may use how much of which day when the even deal does not fit.

Starts from the even deal, lets the most flexible content give way on crowded days, and
moves what gave way to days with room; where a content's own days are all full, other
contents make room by moving on (augmenting paths between contents). Study time is filled
first, the reserve after it. Bins ``0 … days-1`` are study time, ``days … 2·days-1`` the
reserve of the same days.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from domain.scheduling.demand import Demand

Loads = list[list[int]]
"""Minutes by demand and bin."""


def set_aside(
    demands: Sequence[Demand], even: Sequence[Sequence[int]], room: Sequence[int]
) -> Loads:
    """Minutes for every demand that together fit ``room`` (minutes by bin).

    ``even`` is the even deal in minutes, by demand and study bin. The caller has made sure
    that a flow exists; then everything is set aside.
    """
    balance = _Balance(demands, even, room)
    days = len(room) // 2
    for reserve_too in (False, True):
        for demand in range(len(demands)):
            own = demands[demand].own
            bins = own + [days + day for day in own] if reserve_too else own
            balance.own[demand] = bins
        for demand in range(len(demands)):
            balance.settle(demand)
    return balance.loads


class _Balance:
    def __init__(
        self, demands: Sequence[Demand], even: Sequence[Sequence[int]], room: Sequence[int]
    ) -> None:
        days = len(room) // 2
        self.loads: Loads = [[*minutes, *([0] * days)] for minutes in even]
        self.slack = list(room)
        self.own: list[list[int]] = [[] for _ in demands]
        self.steps = [max(1, demand.longest) for demand in demands]
        # What gave way, by the bin it came from, so that it lands nearby.
        self.homeless = [_undealt(d, minutes) for d, minutes in zip(demands, even, strict=True)]
        flexible = sorted(range(len(demands)), key=lambda i: (-len(demands[i].own), -i))
        for day in range(days):
            self._unload(day, flexible)

    def settle(self, demand: int) -> None:
        """Find bins for what of a demand is homeless, moving others where need be."""
        self._spread(demand)
        while self.homeless[demand]:
            path = self._path_to_slack(demand)
            if path is None:
                return
            self._move_along(path)

    def _unload(self, day: int, flexible: Iterable[int]) -> None:
        crowd = sum(load[day] for load in self.loads) - self.slack[day]
        for demand in flexible:
            if crowd <= 0:
                break
            step = self.steps[demand]
            gives = min(self.loads[demand][day], -(-crowd // step) * step)
            if gives:
                self.loads[demand][day] -= gives
                homeless = self.homeless[demand]
                homeless[day] = homeless.get(day, 0) + gives
                crowd -= gives
        self.slack[day] -= sum(load[day] for load in self.loads)

    def _spread(self, demand: int) -> None:
        """Move the homeless minutes to own slack: whole units first, then any minutes."""
        for step in (self.steps[demand], 1):
            for bins in (self.own[demand], self.own[demand][::-1]):
                if self.homeless[demand]:
                    self._carry(demand, bins, step)

    def _carry(self, demand: int, bins: Sequence[int], step: int) -> None:
        homeless = self.homeless[demand]
        carried = 0
        last = bins[-1] if bins else 0
        for bin_ in bins:
            carried += homeless.pop(bin_, 0)
            fits = min(carried, self.slack[bin_])
            fits -= fits % step
            self._load(demand, bin_, fits)
            carried -= fits
        if carried:
            homeless[last] = homeless.get(last, 0) + carried

    def _load(self, demand: int, bin_: int, minutes: int) -> None:
        self.loads[demand][bin_] += minutes
        self.slack[bin_] -= minutes

    def _slack_of(self, demand: int) -> int:
        return sum(self.slack[bin_] for bin_ in self.own[demand])

    def _path_to_slack(self, demand: int) -> list[int] | None:
        """Demands from the homeless one to one with slack, each able to push the next."""
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
        homeless = self.homeless[path[0]]
        amount = min(sum(homeless.values()), self._slack_of(path[-1]))
        for pusher, pushed in pairwise(path):
            amount = min(amount, self._shared(pusher, pushed))
        left = amount
        for bin_ in self.own[path[-1]]:
            minutes = min(left, self.slack[bin_])
            self._load(path[-1], bin_, minutes)
            left -= minutes
        for pusher, pushed in reversed(list(pairwise(path))):
            self._hand_over(pushed, pusher, amount)
        for bin_ in list(homeless):
            found = min(amount, homeless[bin_])
            amount -= found
            homeless[bin_] -= found
            if not homeless[bin_]:
                del homeless[bin_]

    def _hand_over(self, giver: int, taker: int, amount: int) -> None:
        for bin_ in self.own[taker]:
            minutes = min(amount, self.loads[giver][bin_])
            self.loads[giver][bin_] -= minutes
            self.loads[taker][bin_] += minutes
            amount -= minutes


def _undealt(demand: Demand, even: Sequence[int]) -> dict[int, int]:
    """A content with holidays alone has no even deal: all of it looks for a place."""
    minutes = demand.prefix[-1] - sum(even)
    return {demand.own[0]: minutes} if minutes else {}
