"""One content: which units each of its days gets, so that what is undone is caught up.

The *old curve* says how many of the remaining units were due by the end of each day: missed units
at once, planned ones on their day, and units that were never planned on the last day. Day by day
the content gets as many units as it can hold up to that curve, in order of units; as soon as the
curve is met, the days after it keep their rows. A second curve, computed from the last day
backwards, says how many units have to be done by the end of a day because later days cannot hold
them; it also fills the days with units that were added to the end of the range.

A day does not get more minutes than its limit, unless the days after it do not hold the rest within
theirs. The cost is linear in the days, and in the spans of each day that changes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from typing import Final

from domain.scheduling.demand import Demand
from domain.scheduling.distribution.deal import Deal
from domain.scheduling.layout.comfort import Comfort
from domain.scheduling.placement import Room, reach, reach_back
from domain.scheduling.rescheduling.session import Layout, OpenDay, Standing, lay_out_session
from domain.scheduling.rescheduling.timetable import Timetable
from domain.scheduling.rows import Row


@dataclass(slots=True)
class Content:
    """The remaining items of a content, its days, and the rows that stand.

    Items are whole units, and pieces of units that the generation has cut; ``numbers`` has the part
    and the parts of each. ``due`` has the position in ``days`` by which each item was due,
    ``AT_ONCE`` for missed ones; no item is due before an earlier one. ``standing`` has the rows by
    day; rows that something has hit are not among them.
    """

    deal: Deal
    numbers: Sequence[tuple[int, int]]
    days: Sequence[int]
    due: Sequence[int]
    standing: Mapping[int, Sequence[Standing]]
    reserve_days: frozenset[int]
    """The days of which the content has used the reserve, standing or not."""
    comfort: Comfort | None = None
    """The wishes of the group for the rows of a day, if it has any."""

    @property
    def demand(self) -> Demand:
        """The remaining units."""
        return self.deal.demand

    @property
    def count(self) -> int:
        """The number of items."""
        return len(self.deal.units)

    @property
    def position(self) -> int:
        """The position of the content."""
        return self.demand.content.position

    @property
    def is_complete(self) -> bool:
        """Whether all items have rows that stand."""
        standing = 0
        for rows in self.standing.values():
            for one in rows:
                standing += len(one.items)
        return standing == self.count

    def limited(self, units: int) -> "Content":
        """Return the same content with only its first units, and the rows that have no others."""
        demand = self.demand.limited(units)
        count = bisect_right(self.deal.units, demand.units[-1]) if units else 0
        deal = replace(
            self.deal,
            demand=demand,
            units=self.deal.units[:count],
            prefix=self.deal.prefix[: count + 1],
        )
        standing = {
            day: [one for one in rows if one.items.stop <= count]
            for day, rows in self.standing.items()
        }
        numbers, due = self.numbers[:count], self.due[:count]
        return replace(self, deal=deal, numbers=numbers, due=due, standing=standing)

    def with_days(self, more: Sequence[int]) -> "Content":
        """Return the same content with more days."""
        days = sorted({*self.days, *more})
        at = [bisect_left(days, day) for day in self.days]
        due = [at[item] if item >= 0 else item for item in self.due]
        return replace(self, days=days, due=due)


AT_ONCE: Final = -1


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The rows of a content, and the number of items that are placed."""

    rows: list[Row]
    placed: int


def catch_up(
    content: Content, timetable: Timetable, limit: Callable[[int], int], *, reserve: bool
) -> CaughtUp:
    """Place the units of a content from its first day on, and return its rows.

    :param limit: the minutes of study that a day should not exceed.
    :param reserve: whether the reserve is used on days of which it was not used before.
    """
    old = _old_curve(content)
    position, days = content.position, content.days
    search = _Search(
        content,
        timetable,
        lambda day: timetable.free(day, {position}, reserve=reserve or day in content.reserve_days),
        lambda day: (
            limit(day)
            - timetable.wrap_up(day, content.demand.content)
            - timetable.load(day, position)
        ),
    )
    needed, settled = search.needed(old)
    rows: list[Row] = []
    done, before = 0, 0
    for index, day in enumerate(days):
        wanted = max(old[index], needed[index])
        if done == before and wanted == old[index] and search.stands(index, done, wanted):
            rows += (one.row for one in content.standing.get(day, ()))
            done = wanted
        else:
            layout, done = search.most(index, done, wanted)
            rows += layout.rows(content.deal, day, content.numbers) if layout else ()
        before = old[index]
        if done == before and index + 1 >= settled:
            for later in days[index + 1 :]:
                rows += (one.row for one in content.standing.get(later, ()))
            return CaughtUp(rows, content.count)
    return CaughtUp(rows, done)


def _old_curve(content: Content) -> list[int]:
    return [bisect_right(content.due, index) for index in range(len(content.days))]


class _Search:
    """Finds how many units the days hold."""

    def __init__(
        self,
        content: Content,
        timetable: Timetable,
        room: Callable[[int], Room],
        limit: Callable[[int], int],
    ) -> None:
        self._content = content
        self._timetable = timetable
        self._room = cache(room)
        self._limit = limit

    def stands(self, index: int, first: int, stop: int) -> bool:
        """Whether the rows of the day have exactly these units."""
        standing = self._content.standing.get(self._content.days[index])
        if not standing:
            return first == stop
        if (standing[0].items.start, standing[-1].items.stop) != (first, stop):
            return False
        return len(standing) == 1 or all(
            one.items.stop == next_.items.start for one, next_ in pairwise(standing)
        )

    def needed(self, old: Sequence[int]) -> tuple[list[int], int]:
        """Return how many units have to be done by the end of each day, and a position.

        From this position on all days keep their rows, if the days before it met the old curve.
        """
        content, prefix = self._content, self._content.deal.prefix
        after = content.count
        needed = [after] * len(content.days)
        settled = len(content.days)
        for index in range(len(content.days) - 1, 0, -1):
            needed[index] = after
            before = old[index - 1]
            if after == old[index] and self.stands(index, before, after):
                settled = index if settled == index + 1 else settled
            else:
                room = self._room(content.days[index])
                lowest = reach_back(prefix, after, room.lengths())
                before = max(before, lowest)
            after = before
        if needed:
            needed[0] = after
        return needed, settled

    def most(self, index: int, first: int, wanted: int) -> tuple[Layout | None, int]:
        """Lay out as many units from ``first`` on as a day holds, up to ``wanted``.

        The limit of the day is exceeded only for units that the days after it do not hold within
        their limits.
        """
        day, prefix = self._content.days[index], self._content.deal.prefix
        limit = max(0, self._limit(day))
        target = min(wanted, bisect_right(prefix, prefix[first] + limit, first) - 1)
        if target < wanted:
            target = max(target, min(wanted, self._least_done[index]))
        # What the free spans hold in order can be laid out, at the latest from the first minute on.
        target = min(target, reach(prefix, first, self._room(day).lengths()))
        if target <= first:
            return None, first
        standing = self._content.standing.get(day, ())
        open_day = OpenDay(self._room(day), self._timetable.room(day), self._content.comfort)
        wrap_up = self._timetable.wrap_up(day, self._content.demand.content)
        items = range(first, target)
        layout = lay_out_session(self._content.deal, items, standing, open_day, wrap_up)
        if layout is None:
            raise AssertionError("what the free spans hold in order must have a layout")
        return layout, target

    @cached_property
    def _least_done(self) -> list[int]:
        """The number of units to do by the end of each day, for the later days hold no more."""
        content, prefix = self._content, self._content.deal.prefix
        least = [content.count] * len(content.days)
        for index in range(len(content.days) - 1, 0, -1):
            day = content.days[index]
            own = sum(
                prefix[one.items.stop] - prefix[one.items.start]
                for one in content.standing.get(day, ())
            )
            # Wasted ends of spans are not minutes of study, and do not count for the limit.
            stop = least[index]
            within_limit = bisect_left(prefix, prefix[stop] - max(self._limit(day), own), 0, stop)
            least[index - 1] = max(
                within_limit, reach_back(prefix, stop, self._room(day).lengths())
            )
        return least
