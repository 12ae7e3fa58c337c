"""Smoothing: moves units between days, so that the days are filled more evenly.

A move takes units of one content from one of its days to another one; the days between keep their
numbers of units. Around the days that are still above their level, contents are then dealt again
one after another: among all counts near to the present ones, the best ones for a window of days, if
the other contents stay, are found by dynamic programming. Whatever is changed makes the cost of the
``ledger`` smaller, so the search ends; an effort limits it besides.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from domain.scheduling.distribution.ledger import FAULT, Change, Ledger
from domain.scheduling.distribution.sessions import Sessions

_NEAR: Final = 6
"""How many of its days a unit is moved at most, so that a content proceeds evenly."""
_FAR: Final = 30
"""The same where otherwise a session is too short, or a day does not hold its units."""
_MENDING: Final = 4
"""How many times the effort is spent at most on sessions that are not as they should be."""
_LEAST_GAIN: Final = 1e-6
_PEAK: Final = 1.04
"""The days that are dealt again are those above so many times their level."""
_MAX_PEAKS: Final = 4
_WINDOW: Final = 2
"""The days before and after a peak that are dealt again with it."""
_BAND: Final = 4
"""The number of steps by which a count may become higher or lower at once."""
_STEP: Final = 4
"""The minutes of a step at least, so that contents with short units have few of them."""


class Smoothing:
    """A search for better sessions; ``effort`` is the number of changes that are examined."""

    def __init__(self, ledger: Ledger, effort: int) -> None:
        self.ledger, self.effort = ledger, effort

    def relieve(self) -> bool:
        """Move units away from days that do not hold them; return whether all days do then.

        At most half of the effort is used.
        """
        enough = self.effort // 2
        ledger = self.ledger
        overfull = {day for day in ledger.at if not ledger.holds(day)}
        for day in sorted(overfull, key=ledger.fullness, reverse=True):
            while not ledger.holds(day):
                change = self._relief(day, overfull) if self.effort > enough else None
                if change is None:
                    return False
                ledger.apply(change)
            overfull.discard(day)
        return True

    def smooth(self) -> None:
        """Improve the sessions, while every day holds its units."""
        ledger = self.ledger
        effort, self.effort = self.effort, _MENDING * self.effort
        for number, sessions in enumerate(ledger.contents):
            if not sessions.is_fixed:
                self._mend_all(number)
        self.effort = effort
        waiting = sorted(ledger.at, key=ledger.fullness, reverse=True)
        while waiting:
            again: dict[int, None] = {}
            for day in waiting:
                while self.effort > 0 and (change := self._best_move(day)):
                    ledger.apply(change)
                    again.update(dict.fromkeys(change.minutes))
            waiting = sorted(again, key=ledger.fullness, reverse=True)
        for _ in range(2):
            if not self._deal_peaks_again():
                break

    def _relief(self, day: int, overfull: Collection[int]) -> Change | None:
        """Return the best change that takes units from a day and makes no other one overfull."""
        ledger = self.ledger

        def helps(change: Change) -> bool:
            return change.minutes.get(day, 0) < 0 and all(
                (change.minutes.get(other, 0) <= 0 and other in overfull)
                or ledger.holds(other, change)
                for other in change.days
                if other != day
            )

        for near in (_NEAR, _FAR):
            found = [change for change in self._moved(_moves(ledger, day, near)) if helps(change)]
            if found:
                return min(found, key=ledger.cost)
        return None

    def _mend_all(self, content: int) -> None:
        """Lengthen, move or divide sessions of a content that are not as they should be."""
        ledger, sessions = self.ledger, self.ledger.contents[content]
        for index in range(len(sessions.days)):
            if self.effort < 0:
                return
            for near in (_NEAR, _FAR):
                if ledger.faults(content, index) > 0:
                    moves = _mending_moves(sessions, content, index, near)
                    self._apply_best(change for change in self._moved(moves) if change.faults < 0)
            if ledger.faults(content, index) > 0 or (sessions.is_sparse and index % _WINDOW == 0):
                self._deal_again(content, index)

    def _best_move(self, day: int) -> Change | None:
        """Return the best move away from a day, if one is an improvement."""
        ledger = self.ledger
        if ledger.load[day] <= ledger.levels[day] + 1:
            return None
        moves = (
            move for move in _moves(ledger, day, _NEAR, emptier=True) if self._seems_better(move)
        )
        found = [(ledger.cost(change), change) for change in self._moved(moves)]
        for cost, change in sorted(found, key=lambda one: one[0]):
            if cost >= -_LEAST_GAIN:
                break
            if ledger.is_possible(change):
                return change
        return None

    def _apply_best(self, changes: Iterable[Change]) -> None:
        for change in sorted(changes, key=self.ledger.cost):
            if self.ledger.is_possible(change):
                self.ledger.apply(change)
                return

    def _moved(self, moves: Iterable["_Move"]) -> Iterator[Change]:
        """Yield the changes of moves after which no session lacks more than before."""
        for content, source, target, units in moves:
            self.effort -= 1 + abs(target - source) // _NEAR
            counts = self.ledger.contents[content].counts
            low, high = min(source, target), max(source, target)
            step = -units if source < target else units
            change = self.ledger.change(
                content, low, [*(count + step for count in counts[low:high]), counts[high]]
            )
            if change.faults <= 0:
                yield change

    def _seems_better(self, move: "_Move") -> bool:
        """Whether a move is an improvement if it does not change the days between."""
        ledger, sessions = self.ledger, self.ledger.contents[move.content]
        source, target = sessions.days[move.source], sessions.days[move.target]
        first, prefix = sessions.bounds(move.source)[0], sessions.prefix
        minutes = prefix[first + move.units] - prefix[first]
        before = ledger.day_cost(source, ledger.load[source]) + ledger.day_cost(
            target, ledger.load[target]
        )
        after = ledger.day_cost(source, ledger.load[source] - minutes) + ledger.day_cost(
            target, ledger.load[target] + minutes
        )
        return after < before

    def _deal_peaks_again(self) -> bool:
        """Deal contents again around the days above their level; return whether that helps."""
        ledger, helps = self.ledger, False
        peaks = [day for day in ledger.at if self._is_peak(day)]
        for day in sorted(peaks, key=ledger.fullness, reverse=True)[:_MAX_PEAKS]:
            for content, index in ledger.at[day].items():
                if self.effort > 0 and self._is_peak(day):
                    helps = self._deal_again(content, index) or helps
        return helps

    def _is_peak(self, day: int) -> bool:
        return self.ledger.load[day] > _PEAK * self.ledger.levels[day] + 1

    def _deal_again(self, content: int, index: int) -> bool:
        """Deal a content again around one of its days; return whether that is better."""
        ledger, sessions = self.ledger, self.ledger.contents[content]
        if sessions.is_fixed:
            return False
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
            for count in [stop] if at == window.stop - 1 else near:
                options = [
                    (cost + self._session_cost(sessions, at, range(first, count), rest), first)
                    for first, (cost, _) in best.items()
                    if first <= count <= stop
                ]
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


class _Move(NamedTuple):
    """Units of a content that go from one of its days to another one: indexes of its days."""

    content: int
    source: int
    target: int
    units: int


def _moves(ledger: Ledger, day: int, near: int, *, emptier: bool = False) -> Iterator[_Move]:
    """Yield moves of all contents away from a day, to at most so many days before and after it.

    With ``emptier``, only moves to days that are less full.
    """
    full = ledger.fullness(day) if emptier else float("inf")
    for content, index in ledger.at[day].items():
        sessions = ledger.contents[content]
        first, stop = sessions.bounds(index)
        if first < stop and not sessions.is_fixed:
            for target in range(max(0, index - near), min(len(sessions.days), index + near + 1)):
                if target != index and ledger.fullness(sessions.days[target]) < full:
                    for units in _amounts(ledger, sessions, index, target):
                        yield _Move(content, index, target, units)


def _amounts(ledger: Ledger, sessions: Sessions, index: int, target: int) -> list[int]:
    """Return numbers of units to move: one, all, and about those that level the two days."""
    first, stop = sessions.bounds(index)
    day, other = sessions.days[index], sessions.days[target]
    weight, other_weight = ledger.weights[day], ledger.weights[other]
    level = (ledger.load[day] * other_weight - ledger.load[other] * weight) // (
        weight + other_weight
    )
    prefix = sessions.prefix
    half = bisect_left(prefix, prefix[first] + max(0, level), first, stop) - first
    return sorted({1, half, half - 1, stop - first} & set(range(1, stop - first + 1)))


def _mending_moves(sessions: Sessions, content: int, index: int, near: int) -> Iterator[_Move]:
    """Yield moves that lengthen a session, or move it away as a whole."""
    first, stop = sessions.bounds(index)
    lacking = sessions.lacking_units(index)
    for other in range(max(0, index - near), min(len(sessions.days), index + near + 1)):
        if other != index:
            if first < stop:
                yield _Move(content, index, other, stop - first)
            begin, end = sessions.bounds(other)
            for units in {min(lacking, end - begin), end - begin} - {0}:
                yield _Move(content, other, index, units)
