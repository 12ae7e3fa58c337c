"""The ledger of a search: the minutes of each day, and what a change of sessions would do.

A change gives one content other numbers of units on some of its days. Its cost is the difference of
the sum of squared minutes of the days divided by their times, where minutes above the level of a
day count more; sessions that are too short outweigh all of it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from domain.scheduling.distribution.sessions import Sessions

_PEAK: Final = 8
"""How much more a squared minute above the level costs."""
FAULT: Final = 1e9
"""What one of the faults of a session costs, so that no squares outweigh it."""


class Change(NamedTuple):
    """Other counts of a content, from the index ``first`` of its days on, and their effect.

    The last of the counts is as before, so that later days are not affected.
    """

    content: int
    first: int
    counts: Sequence[int]
    minutes: Mapping[int, int]
    """The difference of the minutes of each day, where there is one."""
    days: Sequence[int]
    """All days whose units may change, even if their minutes do not."""
    faults: int
    """How much worse the sessions are than before (``Sessions.faults``); negative if better."""


Held: TypeAlias = Callable[[int, Mapping[int, range], int], int | None]
"""Returns the minutes of the reserve that a day needs for units of contents.

``None`` if the day does not hold them, or only with more of the reserve than a number of minutes.
"""

ANY: Final = 24 * 60
"""No day has more minutes of the reserve."""


class Ledger:
    """The sessions of all contents, with the minutes of each day.

    ``weights`` has the time of each day by which its squared minutes are divided, ``base`` the
    minutes that are decided already, ``levels`` the minutes of other study that each day should
    have, and ``times`` its free minutes of study time. A change is only possible if its days
    together need no more of the reserve than before.
    """

    def __init__(
        self,
        contents: Sequence[Sessions],
        weights: Mapping[int, int],
        base: Mapping[int, int],
        levels: Mapping[int, float],
        *,
        times: Mapping[int, int],
        held: Held,
    ) -> None:
        self.contents, self.weights, self.times, self.held = contents, weights, times, held
        self.levels = {day: levels.get(day, 0.0) + base.get(day, 0) for day in weights}
        self.load = {day: base.get(day, 0) for day in weights}
        self.reserve: dict[int, int] = {}
        """The minutes of the reserve that each day uses, if any."""
        self.is_settled = False
        """Whether ``reserve`` follows the changes. Before, it has what each day may use."""
        self.changed: set[int] = set()
        """The days whose units have been changed."""
        self.at: dict[int, dict[int, int]] = {day: {} for day in weights}
        """Day → content → the index of the day among the days of the content."""
        for number, sessions in enumerate(contents):
            for index, day in enumerate(sessions.days):
                self.at[day][number] = index
                self.load[day] += sessions.minutes(index)
        self.costs = {day: self.day_cost(day, minutes) for day, minutes in self.load.items()}
        """What each day costs."""
        self._unsettled = set(self.at)
        self._study: dict[int, int] = {}

    def fullness(self, day: int) -> float:
        """Return the minutes of a day divided by its time."""
        return self.load[day] / self.weights[day]

    def study(self, day: int) -> int:
        """Return the minutes of units that a day has."""
        if day not in self._study:
            contents, at = self.contents, self.at[day].items()
            self._study[day] = sum(contents[number].study(index) for number, index in at)
        return self._study[day]

    def beyond(self, day: int) -> int:
        """Return by how many minutes the units of a day exceed its study time; may be negative."""
        return self.study(day) - self.times[day]

    def spare(self, day: int) -> int:
        """Return the minutes that are free in study time and in the reserve that a day uses."""
        return self.used([day]) - self.beyond(day)

    def day_cost(self, day: int, load: int) -> float:
        """Return the cost of a day with so many minutes."""
        excess = load - self.levels[day]
        squares = load * load + _PEAK * excess * excess if excess > 0 else load * load
        return squares / self.weights[day]

    def faults(self, content: int, index: int) -> int:
        """Return how bad a session is (``Sessions.faults``)."""
        sessions = self.contents[content]
        return sessions.faults(index, *sessions.bounds(index))

    def change(self, content: int, first: int, counts: Sequence[int]) -> Change:
        """Return the effect of other counts from an index on."""
        sessions = self.contents[content]
        prefix = sessions.prefix
        new = old = sessions.counts[first - 1] if first else 0
        minutes: dict[int, int] = {}
        faults = 0
        for index, after in enumerate(counts, first):
            was = sessions.counts[index]
            # A session with as many units and minutes as before is neither better nor worse.
            if after - new != was - old or prefix[after] - prefix[new] != prefix[was] - prefix[old]:
                faults += sessions.faults(index, new, after) - sessions.faults(index, old, was)
                if more := sessions.length(new, after) - sessions.length(old, was):
                    minutes[sessions.days[index]] = more
            new, old = after, was
        days = sessions.days[first : first + len(counts)]
        return Change(content, first, counts, minutes, days, faults)

    def start_with(self, reserve: Mapping[int, int]) -> None:
        """Let days use at most these minutes of the reserve, those of their placement until now.

        A day that holds its units with less of the reserve counts as changed.
        """
        self.is_settled = True
        self._unsettled = set()
        for day, minutes in reserve.items():
            needed = self.needed(day, most=minutes)
            self.reserve[day] = minutes if needed is None else needed
            if self.reserve[day] < minutes:
                self.changed.add(day)

    def settle(self) -> None:
        """Let the reserve of each day be what it needs, from now on."""
        self.is_settled = True
        if self.reserve:
            self.reserve.update((day, self.needed(day) or 0) for day in sorted(self._unsettled))
        self._unsettled = set()

    def opposite(self, change: Change) -> Change:
        """Return the change that takes another one back, once it is made."""
        counts = self.contents[change.content].counts
        before = counts[change.first : change.first + len(change.counts)]
        minutes = {day: -more for day, more in change.minutes.items()}
        return change._replace(counts=before, minutes=minutes, faults=-change.faults)

    def cost(self, change: Change) -> float:
        """Return the cost of a change; it is negative if the change is an improvement."""
        load, costs = self.load, self.costs
        sum_ = 0.0
        for day, more in change.minutes.items():
            sum_ += self.day_cost(day, load[day] + more) - costs[day]
        return FAULT * change.faults + sum_

    def apply(self, change: Change) -> None:
        """Make a change."""
        counts = self.contents[change.content].counts
        counts[change.first : change.first + len(change.counts)] = change.counts
        for day, more in change.minutes.items():
            self.load[day] += more
            self.costs[day] = self.day_cost(day, self.load[day])
        for day in change.days:  # their units, even where the minutes with wrap-ups stay the same
            self._study.pop(day, None)
        self.changed.update(change.days)
        if not self.is_settled:
            self._unsettled.update(change.days)
        elif self.reserve:
            for day in change.days:
                self.reserve[day] = self.needed(day) or 0

    def is_possible(self, change: Change) -> bool:
        """Whether all days hold their units after a change, with no more of the reserve."""
        return self.is_held(change, self.used(self.concerned(change)))

    def used(self, days: Iterable[int]) -> int:
        """Return the minutes of the reserve that some days use or, before, may use."""
        return sum(self.reserve.get(day, 0) for day in days)

    def is_held(self, change: Change, most: int) -> bool:
        """Whether the days hold their units after a change, with so much reserve together."""
        for day in self.concerned(change):
            needed = self.needed(day, change, most)
            if needed is None:
                return False
            most -= needed
        return most >= 0

    def concerned(self, change: Change) -> list[int]:
        """Return the days whose units have other lengths after a change, the fuller ones first.

        Where all units have the same length, other units of the same number make no difference.
        """
        if self.contents[change.content].is_uniform:
            return sorted(change.minutes, key=lambda day: -change.minutes[day])
        return sorted(change.days, key=lambda day: -change.minutes.get(day, 0))

    def holds(self, day: int, change: Change | None = None) -> bool:
        """Whether a day holds its units, after a change, with no more of the reserve."""
        return self.needed(day, change, self.reserve.get(day, 0)) is not None

    def needed(self, day: int, change: Change | None = None, most: int = ANY) -> int | None:
        """Return the minutes of the reserve that a day needs; ``None`` if more than ``most``."""
        return self.held(day, self.items(day, change), most)

    def items(self, day: int, change: Change | None = None) -> dict[int, range]:
        """Return the units of each content on a day."""
        items = {}
        for number, index in self.at[day].items():
            first, stop = self.contents[number].bounds(index)
            if change is not None and change.content == number:
                at = index - change.first
                if 0 <= at < len(change.counts):
                    stop = change.counts[at]
                if 0 < at <= len(change.counts):
                    first = change.counts[at - 1]
            if first < stop:
                items[number] = range(first, stop)
        return items
