"""Sessions: what a content gets on each of its days, in whole units near to its part of each day.

Day by day, all contents of a day are rounded together, so that the day is near to its level and no
content lags behind its part. A session has no units, or at least those that a session must have.
The cost is a few sums per content and day.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, NamedTuple

from domain.scheduling.demand import Demand
from domain.scheduling.distribution.nearest import latest_counts
from domain.scheduling.placement import Room, pack
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
    ``least_units`` units.
    """

    demand: Demand
    days: list[int]
    shortest: int
    least_units: int = 0
    required: frozenset[int] = frozenset()
    counts: list[int] = field(default_factory=list)
    is_sparse: bool = False
    """Whether there must be as many sessions as possible, because there cannot be one a day."""
    is_fixed: bool = False
    """Whether the sessions must not be changed."""

    @property
    def prefix(self) -> list[int]:
        """The minutes of the first units of the demand."""
        return self.demand.prefix

    def bounds(self, index: int) -> tuple[int, int]:
        """Return the units before and after a session."""
        return (self.counts[index - 1] if index else 0), self.counts[index]

    def minutes(self, index: int) -> int:
        """Return the length of a session with its wrap-up."""
        return self.length(*self.bounds(index))

    def length(self, first: int, stop: int) -> int:
        """Return the length of a session of some units with its wrap-up."""
        if first == stop:
            return 0
        wrap_up = self.demand.content.wrap_up_minutes
        return self.demand.prefix[stop] - self.demand.prefix[first] + wrap_up

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
        """Return how many minutes a session of some units lacks, 0 if it is allowed.

        If there must be as many sessions as possible, a session that is long enough counts as
        negative, so that a change that leaves fewer of them is worse.
        """
        is_required = self.days[index] in self.required
        if first == stop:
            return 2 * self.shortest + 1 if is_required else 0
        prefix = self.demand.prefix
        lacking = max(0, self.shortest - (prefix[stop] - prefix[first]))
        lacking = lacking or int(is_required and stop - first < self.least_units)
        return lacking or (-2 * self.shortest - 1 if self.is_sparse else 0)

    def open_all_days(self, days: list[int]) -> None:
        """Let sparse sessions be on all of these days, of which some were chosen at first."""
        if not self.is_sparse:
            return
        after = dict(zip(self.days, self.counts, strict=True))
        counts: list[int] = []
        for day in days:
            counts.append(after.get(day, counts[-1] if counts else 0))
        self.days, self.counts, self.required = days, counts, frozenset()


def fits(contents: Sequence[Sessions], items: Mapping[int, range], room: Room) -> bool:
    """Whether the study time of a day holds units of contents, given by their numbers, uncut."""
    if _fits_easily(contents, items, room):
        return True
    return len(room.study) > 1 and reserve_needed(contents, items, Room(room.study, ())) == 0


def reserve_needed(
    contents: Sequence[Sessions], items: Mapping[int, range], room: Room
) -> int | None:
    """Return the minutes of the reserve that a day needs for units of contents, packed in turn.

    Returns ``None`` if the units do not fit uncut.
    """
    if _fits_easily(contents, items, room):
        return 0
    free = room.copy()
    reserve = 0
    for number in sorted(items):
        runs = pack(contents[number].prefix, items[number], free)
        if runs is None:
            return None
        free.take(runs)
        reserve += sum(run.stop - run.start for run in runs if run.reserve)
    return reserve


def _fits_easily(contents: Sequence[Sessions], items: Mapping[int, range], room: Room) -> bool:
    """Whether study time surely holds the units, because each span wastes less than one unit."""
    spare = longest = 0
    for start, stop in room.study:
        spare += stop - start
    for number, own in items.items():
        demand = contents[number].demand
        spare -= demand.prefix[own.stop] - demand.prefix[own.start]
        longest = max(longest, demand.longest)
    return spare >= (0 if len(room.study) == 1 else len(room.study) * longest)


def deal_sessions(
    contents: Sequence[Sessions],
    parts: Sequence[Mapping[int, float]],
    levels: Mapping[int, float],
    spans: Mapping[int, Sequence[int]],
) -> None:
    """Set the counts of all contents, so that all of their units are dealt.

    ``parts`` has the wanted minutes per day of each content, ``levels`` those of each day, and
    ``spans`` has the lengths of the spans of each day. A day may get more than it holds.
    """
    held = {day: sum(lengths) for day, lengths in spans.items()}
    by_day: dict[int, list[tuple[_Dealer, int]]] = {}
    for sessions, own in zip(contents, parts, strict=True):
        dealer = _Dealer(sessions, own, spans)
        for index, day in enumerate(sessions.days):
            by_day.setdefault(day, []).append((dealer, index))
    for day in sorted(by_day):
        dealers = by_day[day]
        options = [dealer.options(index, held[day]) for dealer, index in dealers]
        chosen = _together(options, levels.get(day, 0.0), held[day])
        for (dealer, _), option in zip(dealers, chosen, strict=True):
            dealer.sessions.counts.append(option.after)


class _Option(NamedTuple):
    """The number of units that are dealt after a session, its minutes, and the cost of its lag."""

    after: int
    minutes: int
    cost: float


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
        required = 0
        for index in range(len(sessions.days) - 1, -1, -1):
            self.later_required[index] = required
            if sessions.days[index] in sessions.required:
                required += sessions.least_units

    def options(self, index: int, held: int) -> list[_Option]:
        """Return the numbers of units that may be dealt after a day, the nearest ones first."""
        sessions, prefix = self.sessions, self.sessions.prefix
        first = sessions.counts[-1] if sessions.counts else 0
        units = len(prefix) - 1
        target = self.targets[index]
        if index == len(sessions.days) - 1:
            return [_Option(units, prefix[units] - prefix[first], 0.0)]
        most = max(first, units - self.later_required[index])
        upper = min(max(first, bisect_left(prefix, target)), most)
        least = min(max(first, self.least[index]), most)
        shortest = bisect_left(prefix, prefix[first] + sessions.shortest)
        if sessions.days[index] in sessions.required:
            shortest = max(shortest, first + sessions.least_units)
        lags = {
            after: abs(prefix[after] - target)
            for after in (first, upper - 1, upper, shortest, least, units)
            if least <= after <= most and self._leaves_enough(index, first, after)
        }
        fitting = {
            after: lag for after, lag in lags.items() if prefix[after] - prefix[first] <= held
        }
        lags = fitting or lags or {least: 0.0}
        nearest = sorted(lags, key=lambda after: (lags[after], after))
        return [
            _Option(after, prefix[after] - prefix[first], _LAG * lags[after] ** 2)
            for after in nearest[:3]
        ]

    def _leaves_enough(self, index: int, first: int, after: int) -> bool:
        """Whether a session is allowed, and what remains is enough for another one."""
        sessions = self.sessions
        rest = sessions.prefix[-1] - sessions.prefix[after]
        is_enough = rest == 0 or rest >= sessions.shortest
        return is_enough and sessions.faults(index, first, after) <= 0


def _together(options: Sequence[Sequence[_Option]], level: float, held: int) -> list[_Option]:
    """Return one option of each content, with which the day is near to its level.

    One content after another is changed for the better, as long as that is possible.
    """
    chosen = [own[0] for own in options]
    load = sum(option.minutes for option in chosen)
    for _ in range(_SWEEPS):
        before = list(chosen)
        for content, own in enumerate(options):
            if len(own) > 1:
                rest = load - chosen[content].minutes
                costs = [_cost(option, rest, level, held) for option in own]
                chosen[content] = own[costs.index(min(costs))]
                load = rest + chosen[content].minutes
        if chosen == before:
            break
    return chosen


def _cost(option: _Option, rest: int, level: float, held: int) -> float:
    load = rest + option.minutes
    excess = max(0, load - held)
    return (load - level) ** 2 + option.cost + _EXCESS * excess * excess
