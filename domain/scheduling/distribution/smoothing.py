"""Smoothing: moves units between days, so that the days are filled more evenly.

Units are moved from one day to another one (``moves``). Where no move helps, a chain of two is
tried: other units leave the day to which the first ones go. Around the days that are still above
their level, contents are then dealt again one after another: among all counts near to the present
ones, the best ones for a window of days, if the other contents stay, are found by dynamic
programming. Whatever is changed makes the cost of the ``ledger`` smaller, so the search ends; an
effort limits it besides.
"""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

from domain.scheduling.distribution.ledger import FAULT, Change
from domain.scheduling.distribution.moves import (
    mending_moves,
    moves_to_empty_day,
    near_mending_moves,
)
from domain.scheduling.distribution.search import FAR, MAX_CHAINS, MAX_MOVES, NEAR, Search
from domain.scheduling.distribution.sessions import Sessions

_LEAST_ADDING_EFFORT: Final = 400
"""How many changes are examined at least for sessions that are due, but missing, in the end."""
_MAX_MENDING: Final = 600
"""How many changes are examined at most for sessions that are still too short in the end."""
_MAX_TRIED: Final = 24
"""How many changes are tried for a session that is not as it should be, the best ones first."""
_LEAST_GAIN: Final = 1e-6
_PEAK: Final = 1.04
"""The days that are dealt again are those above so many times their level."""
_MAX_PEAKS: Final = 2
_MAX_CHAINED: Final = 8
"""How many of the fullest days are relieved by chains."""
_WINDOW: Final = 2
"""The days before and after a peak that are dealt again with it."""
_BAND: Final = 3
"""The number of steps by which a count may become higher or lower at once."""
_STEP: Final = 4
"""The minutes of a step at least, so that contents with short units have few of them."""


class Smoothing(Search):
    """A search for sessions with which the days are filled more evenly."""

    def smooth(self) -> None:
        """Improve the sessions, while every day holds its units."""
        ledger = self.ledger
        effort = self.effort
        for number in range(len(ledger.contents)):
            self._mend_all(number)
        self.effort = effort  # mending had as much for itself
        self._level(ledger.at)
        if self._add_missing_sessions():
            self._level(ledger.at)
        if not ledger.reserve:
            self._chain_peaks()
        for _ in range(2):
            if not self._deal_peaks_again():
                break
        self._add_missing_sessions()

    def _level(self, days: Collection[int]) -> None:
        """Move units away from days and, where that changes others, from these, too."""
        ledger = self.ledger
        while days:
            again: dict[int, None] = {}
            for day in sorted(days, key=ledger.fullness, reverse=True):
                while self.effort > 0 and (change := self._best_move(day)):
                    ledger.apply(change)
                    again.update(dict.fromkeys(change.minutes))
            days = again

    def _mend_all(self, content: int) -> None:
        """Lengthen, move or divide sessions of a content that are not as they should be."""
        ledger, sessions = self.ledger, self.ledger.contents[content]
        for index in range(len(sessions.days)):
            if self.effort < 0:
                return
            for near in (NEAR, FAR):
                if ledger.faults(content, index) > 0:
                    found = mending_moves(sessions, content, index, near)
                    self._apply_best(change for change in self.moved(found) if change.faults < 0)
            if ledger.faults(content, index) > 0 or (sessions.wanted and index % _WINDOW == 0):
                self._deal_again(content, index)

    def mend_rest(self) -> None:
        """Lengthen the sessions that are still too short, or let them join others.

        A day that cannot have as long a session as it should has none rather than a short one.
        """
        ledger = self.ledger
        self.effort = _MAX_MENDING
        for number, sessions in enumerate(ledger.contents):
            for index in range(len(sessions.days)):
                if sessions.minutes(index) and ledger.faults(number, index) > 0:
                    self._mend(number, index)
        self._add_missing_sessions()

    def _mend(self, content: int, index: int) -> None:
        """Make the first possible move that mends a session, from the nearest days on."""
        ledger = self.ledger
        for change in self.moved(near_mending_moves(ledger, content, index)):
            if change.faults < 0 and ledger.is_possible(change):
                ledger.apply(change)
                return
            if self.effort <= 0:
                break

    def _add_missing_sessions(self) -> bool:
        """Let days without a session have one, if it is due there and others can give it.

        Whether a day has the time for it is known only when the days are levelled. Returns whether
        anything has changed.
        """
        self.effort = max(self.effort, _LEAST_ADDING_EFFORT)
        added = False
        for number, sessions in enumerate(self.ledger.contents):
            for index, day in enumerate(sessions.days):
                is_due = day in sessions.wanted or day in sessions.required
                if is_due and not sessions.minutes(index) and self.effort > 0:
                    found = moves_to_empty_day(sessions, number, index)
                    changes = (change for change in self.moved(found) if change.faults < 0)
                    added = self._apply_best(changes) or added
        return added

    def _best_move(self, day: int, limit: float = 0.0) -> Change | None:
        """Return the first move away from a day whose exact cost is below a limit.

        The moves are in the order of their estimated costs.
        """
        ledger = self.ledger
        if ledger.load[day] <= ledger.levels[day] + 1:
            return None
        for _, change in self.ranked(day, min(limit, -_LEAST_GAIN)):
            if ledger.cost(change) < limit - _LEAST_GAIN and ledger.is_possible(change):
                return change
        return None

    def _apply_best(self, changes: Iterable[Change]) -> bool:
        """Make the best change that is possible, also in a chain; return whether one was."""
        ledger = self.ledger
        found = sorted(changes, key=ledger.cost)[:_MAX_TRIED]
        for change in found:
            if ledger.is_possible(change):
                ledger.apply(change)
                return True
        # While units are moved in a chain, a day may use as much of the reserve as before.
        ledger.is_settled = False
        for change in found[:MAX_CHAINS]:
            day = min(change.minutes, key=lambda one: change.minutes[one])
            if ledger.holds(day, change) and self.make_room_after(change, day, (), MAX_MOVES - 1):
                break
        else:
            found = []
        ledger.settle()
        return bool(found)

    def _deal_peaks_again(self) -> bool:
        """Deal contents again around the days above their level; return whether that helps."""
        ledger, helps = self.ledger, False
        peaks = [day for day in ledger.at if self._is_peak(day)]
        for day in sorted(peaks, key=ledger.fullness, reverse=True)[:_MAX_PEAKS]:
            for content, index in ledger.at[day].items():
                if self.effort > 0 and self._is_peak(day):
                    helps = self._deal_again(content, index) or helps
        return helps

    def _chain_peaks(self) -> None:
        """Move units away from the days above their level, in chains of two moves."""
        ledger = self.ledger
        peaks = [day for day in ledger.at if self._is_peak(day)]
        for day in sorted(peaks, key=ledger.fullness, reverse=True)[:_MAX_CHAINED]:
            while self.effort > 0 and self._is_peak(day) and self._chained(day):
                pass

    def _chained(self, day: int) -> bool:
        """Make a move away from a day, and another one away from where its units went.

        Returns whether two such moves are an improvement.
        """
        ledger = self.ledger
        away = (change for _, change in self.ranked(day) if change.minutes.get(day, 0) < 0)
        for change in islice(away, MAX_CHAINS):
            cost = ledger.cost(change)
            crowded = max(change.minutes, key=lambda other: change.minutes[other])
            back = ledger.opposite(change)
            ledger.apply(change)
            second = self._best_move(crowded, -cost)
            if second and all(ledger.holds(one, second) for one in ledger.concerned(change)):
                ledger.apply(second)
                return True
            ledger.apply(back)
        return False

    def _is_peak(self, day: int) -> bool:
        return self.ledger.load[day] > _PEAK * self.ledger.levels[day] + 1

    def _deal_again(self, content: int, index: int) -> bool:
        """Deal a content again around one of its days; return whether that is better."""
        ledger, sessions = self.ledger, self.ledger.contents[content]
        window = range(max(0, index - _WINDOW), min(len(sessions.days), index + _WINDOW + 1))
        counts = self._best_counts(sessions, window)
        if counts == sessions.counts[window.start : window.stop]:
            return False
        change = ledger.change(content, window.start, counts)
        if ledger.cost(change) >= -_LEAST_GAIN or not ledger.is_possible(change):
            return False
        ledger.apply(change)
        return True

    def _best_counts(self, sessions: Sessions, window: range) -> list[int]:
        """Return the best counts of a window of days, after which the count stays the same.

        Dynamic programming over the days: the least cost for each count near to the present one.
        The cost is the number of days × the square of the number of counts.
        """
        ledger = self.ledger
        stop = sessions.counts[window.stop - 1]
        start = sessions.counts[window.start - 1] if window.start else 0
        step = max(1, 2 * _STEP // (sessions.demand.longest + 1))
        best: dict[int, tuple[float, tuple[int, ...]]] = {start: (0.0, ())}
        for at in window:
            day, now = sessions.days[at], sessions.counts[at]
            rest = ledger.load[day] - sessions.minutes(at)
            near = range(now - _BAND * step, now + _BAND * step + 1, step)
            found: dict[int, tuple[float, tuple[int, ...]]] = {}
            # Where all units have the same length, the cost depends on their number alone.
            costs: dict[int | tuple[int, int], float] = {}
            for count in [stop] if at == window.stop - 1 else near:
                options = []
                for first, (cost, _) in best.items():
                    if first <= count <= stop:
                        key = count - first if sessions.is_uniform else (first, count)
                        if key not in costs:
                            costs[key] = self._session_cost(sessions, at, range(first, count), rest)
                        options.append((cost + costs[key], first))
                self.effort -= len(options)
                if options:
                    cost, first = min(options)
                    found[count] = cost, (*best[first][1], count)
            best = found
        return list(best[stop][1])

    def _session_cost(self, sessions: Sessions, index: int, items: range, rest: int) -> float:
        """Return the cost of a day with a session, if it has ``rest`` minutes besides."""
        load = rest + sessions.length(items.start, items.stop)
        faults = sessions.faults(index, items.start, items.stop)
        return self.ledger.day_cost(sessions.days[index], load) + FAULT * faults
