"""Sessions: what a content gets on each of its days, in whole units near to its part of each day.

Day by day, all contents of a day are rounded together, so that the day is near to its level and no
content lags behind its part. A session has no units, or at least those that a session must have.
The cost is a few sums per content and day.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from domain.scheduling.demand import Demand
from domain.scheduling.distribution.nearest import latest_counts
from domain.scheduling.rounding import deltas

_LAG: Final = 0.25
"""What a squared minute of lag costs, if a squared minute of distance from the level costs 1."""
_EXCESS: Final = 1000
"""What a squared minute costs that the day does not hold."""
_SWEEPS: Final = 3


@dataclass(slots=True)
class Sessions:
    """The sessions of a content: ``counts[j]`` units are dealt after day ``days[j]``.

    A session has 0 or at least ``shortest`` minutes. On the days in ``required`` it has at least
    ``least_units`` units; on those in ``wanted`` it has so many or none, and none is worse.
    """

    demand: Demand
    days: list[int]
    shortest: int
    least_units: int = 0
    required: frozenset[int] = frozenset()
    wanted: frozenset[int] = frozenset()
    counts: list[int] = field(default_factory=list)
    is_sparse: bool = False
    """Whether there must be as many sessions as possible, because there cannot be one a day."""
    prefix: list[int] = field(init=False)
    """The minutes of the first units of the demand."""
    is_uniform: bool = field(init=False)
    """Whether all units have the same length."""
    shortest_unit: int = field(init=False)
    """The minutes of the shortest unit."""

    def __post_init__(self) -> None:
        self.prefix = self.demand.prefix
        self.is_uniform = self.demand.longest * (len(self.prefix) - 1) == self.prefix[-1]
        self.shortest_unit = self.demand.longest if self.is_uniform else self.demand.shortest

    def bounds(self, index: int) -> tuple[int, int]:
        """Return the units before and after a session."""
        return (self.counts[index - 1] if index else 0), self.counts[index]

    def minutes(self, index: int) -> int:
        """Return the length of a session with its wrap-up."""
        return self.length(*self.bounds(index))

    def study(self, index: int) -> int:
        """Return the length of a session without its wrap-up."""
        first, stop = self.bounds(index)
        return self.prefix[stop] - self.prefix[first]

    def length(self, first: int, stop: int) -> int:
        """Return the length of a session of some units with its wrap-up."""
        if first == stop:
            return 0
        return self.prefix[stop] - self.prefix[first] + self.demand.content.wrap_up_minutes

    def minutes_by_day(self) -> dict[int, int]:
        """Return the minutes of the units of each day."""
        ends = [self.prefix[count] for count in self.counts]
        return dict(zip(self.days, deltas(ends), strict=True))

    def lacking_units(self, index: int) -> int:
        """Return about how many units a session needs in addition to be long enough."""
        first, stop = self.bounds(index)
        lacking = self.shortest - self.prefix[stop] + self.prefix[first]
        units = -(-lacking * len(self.demand.units) // max(1, self.prefix[-1]))
        return max(units, self.least_units - (stop - first), 1)

    def faults(self, index: int, first: int, stop: int) -> int:
        """Return how bad a session of some units is, 0 if it is allowed.

        One that is too short costs as many minutes as a session must have, and those that it lacks,
        so that one is better than two that lack fewer minutes each. None is better than one that
        is too short, also where a session is required, and costs more there than two of them.
        Where one is wanted, one that is long enough counts as negative, so that a change that
        leaves fewer of them is worse.
        """
        day = self.days[index]
        absent = 4 * self.shortest + 1
        missing = absent if day in self.required else 0
        if first == stop:
            return missing
        if (lacking := self.shortest - (self.prefix[stop] - self.prefix[first])) > 0:
            return missing + self.shortest + lacking
        is_wanted = day in self.wanted
        if stop - first < self.least_units and (is_wanted or day in self.required):
            return 1
        return -absent if is_wanted else 0

    def open_days_for_a_unit(self, spans: Mapping[int, Sequence[int]]) -> None:
        """Let the sessions be on all days whose spans hold a unit, of which some had been chosen.

        ``spans`` has the lengths of the spans of each day.
        """
        shortest = max(1, self.shortest_unit)
        days = [day for day in self.demand.own if max(spans.get(day, ()), default=0) >= shortest]
        days = sorted({*days, *self.days})
        after = dict(zip(self.days, self.counts, strict=True))
        counts: list[int] = []
        for day in days:
            counts.append(after.get(day, counts[-1] if counts else 0))
        self.days, self.counts = days, counts
        if self.is_sparse:
            self.required, self.wanted = frozenset(), frozenset(days)


def deal_sessions(
    contents: Sequence[Sessions],
    parts: Sequence[Mapping[int, float]],
    levels: Mapping[int, float],
    spans: Mapping[int, Sequence[int]],
    held: Mapping[int, int],
) -> None:
    """Set the counts of all contents, so that all of their units are dealt.

    ``parts`` has the wanted minutes per day of each content, ``levels`` those of each day, and
    ``spans`` has the lengths of the spans of each day. A day may get more minutes than it should
    hold (``held``).
    """
    by_day: dict[int, list[_Dealer]] = {}
    for sessions, own in zip(contents, parts, strict=True):
        dealer = _Dealer(sessions, own, spans)
        for day in sessions.days:
            by_day.setdefault(day, []).append(dealer)
    for day in sorted(by_day):
        _deal_day(by_day[day], levels.get(day, 0.0), held[day])


def _deal_day(dealers: Sequence["_Dealer"], level: float, held: int) -> None:
    """Set the counts of a day's contents, so that it is near to its level.

    One content after another is changed for the better, as long as that is possible.
    """
    chosen = [dealer.begin() for dealer in dealers]
    minutes = [dealer.minutes(after) for dealer, after in zip(dealers, chosen, strict=True)]
    load = sum(minutes)
    for _ in range(_SWEEPS):
        before = list(chosen)
        for index, dealer in enumerate(dealers):
            rest = load - minutes[index]
            chosen[index] = dealer.best(rest, level, held)
            minutes[index] = dealer.minutes(chosen[index])
            load = rest + minutes[index]
        if chosen == before:
            break
    for dealer, after in zip(dealers, chosen, strict=True):
        dealer.sessions.counts.append(after)


class _Dealer:
    """Finds what a content may get on its next day."""

    def __init__(
        self, sessions: Sessions, parts: Mapping[int, float], spans: Mapping[int, Sequence[int]]
    ) -> None:
        self.sessions = sessions
        self.targets = list(accumulate(parts.get(day, 0.0) for day in sessions.days))
        # With fewer units, the later days could not hold the rest.
        self.least = latest_counts(sessions.prefix, [spans[day] for day in sessions.days])
        self.later_required = [0] * len(sessions.days)
        """The units that later days must have."""
        self.index = self.first = self.least_now = self.most = 0
        self.target = 0.0
        required = 0
        for index in range(len(sessions.days) - 1, -1, -1):
            self.later_required[index] = required
            if sessions.days[index] in sessions.required:
                required += sessions.least_units

    def begin(self) -> int:
        """Turn to the next day; return the count that is nearest to the parts until then."""
        sessions, prefix = self.sessions, self.sessions.prefix
        index = self.index = len(sessions.counts)
        self.first = sessions.counts[-1] if index else 0
        self.target = self.targets[index]
        units = len(prefix) - 1
        if index == len(sessions.days) - 1:
            self.least_now = self.most = units
            return units
        self.most = max(self.first, units - self.later_required[index])
        self.least_now = min(max(self.first, self.least[index]), self.most)
        return self.best(0, 0.0, 24 * 60, lag=1e6)

    def minutes(self, after: int) -> int:
        """Return the length of the session that ends with a count."""
        prefix = self.sessions.prefix
        return prefix[after] - prefix[self.first]

    def best(self, rest: int, level: float, held: int, lag: float = _LAG) -> int:
        """Return the best count if the other contents of the day have ``rest`` minutes."""
        first, prefix = self.first, self.sessions.prefix
        if self.least_now == self.most:
            return self.most
        start = prefix[first]
        wanted = (level - rest + lag * (self.target - start)) / (1 + lag)
        near = bisect_left(prefix, start + wanted, first)
        most = bisect_right(prefix, start + held - rest, first) - 1
        best, least = self.least_now, float("inf")
        for after in {
            first,
            self._shortest(),
            near - 1,
            near,
            min(near, most),
            most,
            self.most,
            self.least_now,
        }:
            if self.least_now <= after <= self.most and self._leaves_enough(after):
                cost = _cost(rest + prefix[after] - start, level, held)
                cost += lag * (prefix[after] - self.target) ** 2
                if (cost, after) < (least, best) or least == float("inf"):
                    best, least = after, cost
        return best

    def _shortest(self) -> int:
        """Return the count after the shortest session that is allowed."""
        sessions, first = self.sessions, self.first
        shortest = bisect_left(sessions.prefix, sessions.prefix[first] + sessions.shortest)
        if sessions.days[self.index] in sessions.required:
            shortest = max(shortest, first + sessions.least_units)
        return shortest

    def _leaves_enough(self, after: int) -> bool:
        """Whether a session is allowed, and what remains is enough for another one."""
        sessions = self.sessions
        rest = sessions.prefix[-1] - sessions.prefix[after]
        is_enough = rest == 0 or rest >= sessions.shortest
        return is_enough and sessions.faults(self.index, self.first, after) <= 0


def _cost(load: int, level: float, held: int) -> float:
    excess = max(0, load - held)
    return (load - level) ** 2 + _EXCESS * excess * excess
