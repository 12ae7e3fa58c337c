"""Smoothing: moves units between days, so that the days are filled more evenly.

Units are moved from one day to another one (``moves``). Where no move helps, a chain of two is
tried: other units leave the day to which the first ones go. Around the days that are still above
their level, contents are then dealt again one after another: among all counts near to the present
ones, the best ones for a window of days, if the other contents stay, are found by dynamic
programming. Whatever is changed makes the cost of the ``ledger`` smaller, so the search ends; an
effort limits it besides.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from domain.scheduling.distribution.ledger import FAULT, Change, Ledger
from domain.scheduling.distribution.moves import Move, mending_moves, moves
from domain.scheduling.distribution.sessions import Sessions
from domain.scheduling.placement import Room
from domain.scheduling.spans import total

_NEAR: Final = 6
"""How many of its days a unit is moved at most, so that a content proceeds evenly."""
_FAR: Final = 30
"""The same where otherwise a session is too short, or a day does not hold its units."""
_MENDING: Final = 4
"""How many times the effort is spent at most on sessions that are not as they should be."""
_MAX_CHAINS: Final = 6
"""How many first moves of a chain of two moves are tried per day."""
_MAX_TRIED: Final = 24
"""How many changes are tried for a session that is not as it should be, the best ones first."""
_LEAST_GAIN: Final = 1e-6
_PEAK: Final = 1.04
"""The days that are dealt again are those above so many times their level."""
_MAX_PEAKS: Final = 4
_MAX_CHAINED: Final = 8
"""How many of the fullest days are relieved by chains."""
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

    def relieve(self, *, with_reserve: bool) -> bool:
        """Move units away from days that do not hold them; return whether all days do then.

        With ``with_reserve``, a day may use its reserve if no units can be moved away. At most
        half of the effort is used.
        """
        enough = self.effort // 2
        ledger = self.ledger
        needs = {day: ledger.needed(day) for day in ledger.at if not ledger.holds(day)}
        overfull = set(needs)
        # Days that cannot be helped are found before any work is done on the others.
        for day in sorted(
            needs, key=lambda day: (needs[day] is not None, -ledger.fullness(day), day)
        ):
            while not ledger.holds(day):
                needed = ledger.needed(day) if with_reserve else None
                if self.effort > enough and self._relieve_day(day, overfull, chains=needed is None):
                    continue
                if needed is None:
                    return False
                ledger.reserve[day] = needed
            overfull.discard(day)
        ledger.settle()
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
        if not ledger.reserve:
            self._chain_peaks()
        for _ in range(2):
            if not self._deal_peaks_again():
                break

    def save_reserve(self, rooms: Mapping[int, Room]) -> None:
        """Move units from the reserve of days to study time that is free on other ones."""
        ledger = self.ledger
        for day in [day for day, used in ledger.reserve.items() if used]:
            while ledger.reserve[day] and (change := self._saving(day, rooms)):
                ledger.apply(change)

    def _saving(self, day: int, rooms: Mapping[int, Room]) -> Change | None:
        """Return a move after which a day needs less of the reserve, and no other one more."""
        ledger = self.ledger
        for content, index in ledger.at[day].items():
            sessions = ledger.contents[content]
            first, stop = sessions.bounds(index)
            if first == stop or sessions.is_fixed:
                continue
            nearest = sorted(range(len(sessions.days)), key=lambda other: abs(other - index))
            length = sessions.prefix[first + 1] - sessions.prefix[first]
            found = [
                Move(content, index, target, 1)
                for target in nearest[1:]
                if total(rooms[sessions.days[target]].study)
                >= ledger.study(sessions.days[target]) + length
            ]
            for change in self._moved(found):
                needed = ledger.needed(day, change)
                if (
                    needed is not None
                    and needed < ledger.reserve[day]
                    and all(ledger.holds(one, change) for one in ledger.concerned(change))
                ):
                    return change
        return None

    def _relieve_day(self, day: int, overfull: Collection[int], *, chains: bool) -> bool:
        """Move units away from a day, to one that holds them or, in a chain, is relieved, too."""
        ledger = self.ledger
        if change := self._relief(day, overfull):
            ledger.apply(change)
            return True
        if not chains:
            return False
        for _, change in self._moves_away(day, _NEAR)[:_MAX_CHAINS]:
            crowded = [
                other
                for other in change.days
                if other != day and other not in overfull and not ledger.holds(other, change)
            ]
            if len(crowded) != 1:
                continue
            back = ledger.opposite(change)
            ledger.apply(change)
            if second := self._relief(crowded[0], {*overfull, day}, is_last=True):
                ledger.apply(second)
                return True
            ledger.apply(back)
        return False

    def _relief(
        self, day: int, overfull: Collection[int], *, is_last: bool = False
    ) -> Change | None:
        """Return the best change that takes units from a day and makes no other one overfull.

        With ``is_last``, the day holds its units afterwards.
        """
        ledger = self.ledger

        def helps(change: Change) -> bool:
            return (not is_last or ledger.holds(day, change)) and all(
                (not is_last and change.minutes.get(other, 0) <= 0 and other in overfull)
                or ledger.holds(other, change)
                for other in ledger.concerned(change)
                if other != day
            )

        for near in (_NEAR, _FAR)[: 1 if is_last else 2]:
            for _, change in self._moves_away(day, near):
                if helps(change):
                    return change
        return None

    def _mend_all(self, content: int) -> None:
        """Lengthen, move or divide sessions of a content that are not as they should be."""
        ledger, sessions = self.ledger, self.ledger.contents[content]
        for index in range(len(sessions.days)):
            if self.effort < 0:
                return
            for near in (_NEAR, _FAR):
                if ledger.faults(content, index) > 0:
                    found = mending_moves(sessions, content, index, near)
                    self._apply_best(change for change in self._moved(found) if change.faults < 0)
            if ledger.faults(content, index) > 0 or (sessions.is_sparse and index % _WINDOW == 0):
                self._deal_again(content, index)

    def _best_move(self, day: int, limit: float = 0.0) -> Change | None:
        """Return the best move away from a day whose cost is below a limit, if there is one."""
        ledger = self.ledger
        if ledger.load[day] <= ledger.levels[day] + 1:
            return None
        better = (
            move for move in moves(ledger, day, _NEAR, emptier=True) if self._seems_better(move)
        )
        found = [(ledger.cost(change), change) for change in self._moved(better)]
        for cost, change in sorted(found, key=lambda one: one[0]):
            if cost >= limit - _LEAST_GAIN:
                break
            if ledger.is_possible(change):
                return change
        return None

    def _apply_best(self, changes: Iterable[Change]) -> None:
        for change in sorted(changes, key=self.ledger.cost)[:_MAX_TRIED]:
            if self.ledger.is_possible(change):
                self.ledger.apply(change)
                return

    def _moved(self, moves: Iterable[Move]) -> Iterator[Change]:
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

    def _moves_away(
        self, day: int, near: int, *, emptier: bool = False
    ) -> list[tuple[float, Change]]:
        """Return the moves that take minutes from a day with their costs, the best ones first."""
        found = [
            (self.ledger.cost(change), change)
            for change in self._moved(moves(self.ledger, day, near, emptier=emptier))
            if change.minutes.get(day, 0) < 0
        ]
        return sorted(found, key=lambda one: one[0])

    def _seems_better(self, move: Move) -> bool:
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
        for cost, change in self._moves_away(day, _NEAR, emptier=True)[:_MAX_CHAINS]:
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
