"""All contents of a group: the order in which they are caught up, and which sessions give way.

Contents of which the fewest minutes are undone come first, because they end in the next gaps and
change one day, where the others change several anyway; while one of them is caught up, the rows of
all others hold their time. If clearly more rows change than one of each content, the opposite order
is tried too, because long units find fewer gaps, and taken if it changes fewer. If units remain,
the reserve is used, and then the reserve of days without study time. If something remains even so,
the contents with the fewest days of their own come first, which have least choice, and then those
that failed.

If something remains even then, sessions of contents with more days are *displaced* from days of the
stuck one, where a day that is too short for one of its units does not count. Displaced sessions
lose their place and are caught up last, like rows that were hit, on the same day if it still has
the room. For each day the set of sessions is found without which the day holds most of what
remains, and from which none can be left out. Days with the fewest sessions are tried first. So the
set is the least one per day, not over all days; a trial costs as much as catching up everything
once, and their number is limited.

What remains even then is cut, as far as the free spans of its content hold it so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple

from domain.scheduling.demand import placing_order
from domain.scheduling.placement import reach
from domain.scheduling.rescheduling.catching_up import CaughtUp, Content, catch_up
from domain.scheduling.rescheduling.cutting import cut_to_fit
from domain.scheduling.rescheduling.near_cuts import cut_near
from domain.scheduling.rescheduling.standing import whole_units
from domain.scheduling.rescheduling.timetable import Timetable

_MAX_DAYS: Final = 6
"""The number of days from which sessions are displaced at most."""
_MAX_TRIALS: Final = 4
"""The number of days that are tried, of which the first one that helps is chosen."""
_MINUTES: Final = attrgetter("minutes")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The timetable in which contents are caught up, and what was placed of each."""

    timetable: Timetable
    found: Mapping[int, CaughtUp]
    undone: Mapping[int, int]
    """The minutes that could not be placed, of each content of which something could not."""

    @property
    def minutes(self) -> int:
        """The minutes that could not be placed."""
        return sum(self.undone.values())


def catch_up_all(
    contents: Sequence[Content],
    timetable: Timetable,
    limit: Callable[[int], int],
    *,
    displace: bool = True,
) -> Outcome:
    """Catch up all contents, displacing sessions only if something stays undone otherwise.

    The given timetable is not changed.

    :param limit: the minutes of study that a day should not exceed.
    :param displace: whether sessions may be displaced, and units cut.
    """
    group = _Group(contents, timetable, limit)
    best = group.caught_up(group.by_undone)
    several = len(group.incomplete)
    if several > 1 and group.changed(best) > several + 1:
        opposite = group.caught_up(group.by_undone[::-1])
        best = min(best, opposite, key=lambda one: (one.minutes, group.changed(one)))
    if best.undone and len(contents) > 1:
        best = min(best, group.caught_up(group.by_days), key=_MINUTES)
    if best.undone and len(best.undone) < len(contents):
        best = min(best, group.caught_up(group.before_others(best.undone)), key=_MINUTES)
    if best.undone and displace:
        best = group.with_displaced(best)
    return group.with_cuts(best) if best.undone and displace else best


class _Displaced(NamedTuple):
    """Sessions that leave a day, as positions of contents.

    ``is_part`` says whether the day holds only a part of what remains even then. The order of the
    fields is the order in which days are tried.
    """

    is_part: bool
    sessions: int
    minutes: int
    day: int
    contents: tuple[int, ...]


class _Group:
    def __init__(
        self, contents: Sequence[Content], timetable: Timetable, limit: Callable[[int], int]
    ) -> None:
        self._contents = contents
        self._timetable = timetable
        self._limit = limit
        self._usable: dict[int, Sequence[int]] = {}
        complete: list[Content] = []
        self.incomplete: list[Content] = []
        for one in contents:
            (complete if one.is_complete else self.incomplete).append(one)
        if len(self.incomplete) > 1:
            self.incomplete.sort(key=lambda one: (_undone_minutes(one), self._choice(one)))
        # The rows of complete contents stand, whatever the order.
        self.by_undone = [*complete, *self.incomplete]

    @cached_property
    def by_days(self) -> Sequence[Content]:
        """The contents, those with the fewest days first."""
        return sorted(self._contents, key=self._choice)

    def _choice(self, content: Content) -> tuple[int, tuple[bool, int]]:
        """Return the sort key of a content for the number of its days."""
        return len(self._usable_days(content)), placing_order(content.demand.content)

    def _usable_days(self, content: Content) -> Sequence[int]:
        """Return the days of a content that hold its longest unit when nothing is planned."""
        if content.position not in self._usable:
            self._usable[content.position] = _usable_days(content, self._timetable)
        return self._usable[content.position]

    def before_others(self, first: Mapping[int, int]) -> Sequence[Content]:
        """Return the contents, some of them before the others."""
        return sorted(self.by_days, key=lambda one: one.position not in first)

    def caught_up(self, order: Sequence[Content], displaced: Sequence[_Displaced] = ()) -> Outcome:
        """Catch up all contents in this order, without displaced sessions."""
        timetable = self._timetable.copy()
        contents = [self._without(content, displaced, timetable) for content in order]
        found: dict[int, CaughtUp] = {}
        undone: dict[int, int] = {}
        for content in contents:
            own = _catch_up(content, timetable, self._limit)
            found[content.position] = own
            if own.placed < content.count:
                prefix = content.deal.prefix
                undone[content.position] = prefix[-1] - prefix[own.placed]
        return Outcome(timetable, found, undone)

    def changed(self, outcome: Outcome) -> int:
        """Return the number of standing rows that do not stay."""
        return sum(_changed(one, outcome.found[one.position]) for one in self.incomplete)

    def with_displaced(self, best: Outcome) -> Outcome:
        """Return a better outcome with few displaced sessions, or ``best``."""
        displaced: list[_Displaced] = []
        for _ in range(_MAX_DAYS):
            for option in sorted(self._options(best))[:_MAX_TRIALS]:
                found = self.caught_up(self.before_others(best.undone), [*displaced, option])
                if found.minutes < best.minutes:
                    break
            else:
                break
            best = found
            displaced.append(option)
            if not best.undone:
                break
        return best

    def with_cuts(self, outcome: Outcome) -> Outcome:
        """Return an outcome in which more is placed, because units are cut, or the same one."""
        timetable, found, undone = outcome.timetable.copy(), {**outcome.found}, {**outcome.undone}
        for stuck in self.by_days:
            if (position := stuck.position) not in undone:
                continue
            if (cut := self._cut(stuck, found[position], timetable)) is None:
                continue
            timetable.remove(found[position].rows)
            timetable.add(cut.rows)
            found[position] = cut
            undone[position] = stuck.deal.prefix[-1] - stuck.deal.prefix[cut.placed]
        return Outcome(timetable, found, {one: left for one, left in undone.items() if left})

    def _cut(self, stuck: Content, found: CaughtUp, timetable: Timetable) -> CaughtUp | None:
        """Return what is placed of a content if units are cut where they are stuck, or at the end.

        Most minutes are placed then, with the fewest changed rows.
        """

        def catch_up_again(content: Content) -> CaughtUp:
            trial = timetable.copy()
            trial.remove(found.rows)
            # Other contents may have taken the time of rows that stood.
            standing = {
                day: [one for one in rows if trial.is_idle(one.row)]
                for day, rows in content.standing.items()
            }
            trial.add(one.row for rows in standing.values() for one in rows)
            return _catch_up(replace(content, standing=standing), trial, self._limit)

        ways = [
            cut_near(stuck, found, timetable, catch_up_again),
            cut_to_fit(stuck, found, timetable),
        ]
        return min(
            (way for way in ways if way is not None),
            key=lambda way: (-way.placed, _changed(stuck, way)),
            default=None,
        )

    @staticmethod
    def _without(
        content: Content, displaced: Sequence[_Displaced], timetable: Timetable
    ) -> Content:
        days = {one.day for one in displaced if content.position in one.contents}
        if not days:
            return content
        for day in days:
            timetable.remove(one.row for one in content.standing.get(day, ()))
        standing = {day: rows for day, rows in content.standing.items() if day not in days}
        return replace(content, standing=standing)

    def _options(self, outcome: Outcome) -> Iterator[_Displaced]:
        """Yield for each day of a stuck content the sessions that would have to leave it."""
        for stuck in self.by_days:
            if stuck.position not in outcome.undone:
                continue
            days = self._usable_days(stuck)
            others = [one for one in self.by_days if len(self._usable_days(one)) > len(days)]
            for day in days:
                own = [one for one in others if one.standing.get(day)]
                if own and (found := _fewest(stuck, outcome, day, own)):
                    yield found


def _catch_up(content: Content, timetable: Timetable, limit: Callable[[int], int]) -> CaughtUp:
    """Catch up one content in study time, then with the reserve of its days, then of spare days.

    The designated holidays whose reserve it may use are among its days once the reserve is open.
    """
    own = [one.row for rows in content.standing.values() for one in rows]
    if content.is_complete:
        return CaughtUp(own, content.count)
    best: CaughtUp | None = None
    holidays, spare = content.demand.reserve_days, content.demand.spare_days
    stages: list[tuple[bool, Sequence[int]]] = [(False, ()), (True, holidays)]
    if spare:
        stages.append((True, [*holidays, *spare]))
    for reserve, more in stages:
        tried = content.with_days(more) if more else content
        found = catch_up(tried, timetable, limit, reserve=reserve)
        if best is None or found.placed > best.placed:
            best = found
        if best.placed == content.count:
            break
    assert best is not None  # noqa: S101 - the loop has run
    best = whole_units(content, best)
    timetable.remove(own)
    timetable.add(best.rows)
    return best


def _fewest(
    stuck: Content, outcome: Outcome, day: int, others: Sequence[Content]
) -> _Displaced | None:
    """Return the sessions that have to leave a day, if that helps the stuck content."""
    first = outcome.found[stuck.position].placed
    timetable, prefix = outcome.timetable, stuck.deal.prefix

    def more(without: frozenset[int]) -> int:
        room = timetable.free(day, without)
        return prefix[reach(prefix, first, room.lengths())] - prefix[first]

    sizes = {one.position: timetable.minutes(day, one.position) for one in others}
    leaving = frozenset(sizes)
    most = more(leaving)
    if most <= more(frozenset()):
        return None
    for position in sorted(sizes, key=lambda position: (-sizes[position], position)):
        if more(leaving - {position}) >= most:
            leaving -= {position}
    minutes = sum(sizes[position] for position in leaving)
    is_part = most < outcome.undone[stuck.position]
    return _Displaced(is_part, len(leaving), minutes, day, tuple(sorted(leaving)))


def _changed(content: Content, found: CaughtUp) -> int:
    """Return the number of standing rows of a content that are not among those found."""
    found_rows = frozenset(found.rows)
    return sum(one.row not in found_rows for rows in content.standing.values() for one in rows)


def _undone_minutes(content: Content) -> int:
    prefix = content.deal.prefix
    ranges = (one.items for rows in content.standing.values() for one in rows)
    return prefix[-1] - sum(prefix[items.stop] - prefix[items.start] for items in ranges)


def _usable_days(content: Content, timetable: Timetable) -> list[int]:
    prefix = content.deal.prefix
    longest = max((stop - start for start, stop in pairwise(prefix)), default=0)
    days = sorted({*content.days, *content.demand.reserve_days})
    return [day for day in days if timetable.longest(day) >= longest]
