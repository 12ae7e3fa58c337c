"""Relief: moves units away from days that do not hold them, and out of the reserve.

A day that study time does not hold is relieved by a move to a day that has the time. Where no move
helps, a chain of two is tried: other units leave the day to which the first ones go. The reserve is
used only where neither helps, and units are then moved out of it as far as possible.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from math import inf
from typing import Final

from domain.scheduling.distribution.ledger import ANY, Change
from domain.scheduling.distribution.moves import moves_from
from domain.scheduling.distribution.search import FAR, MAX_CHAINS, NEAR, Search

_SAVING_EFFORT: Final = 700
"""How many changes are examined to save reserve; four times as many would save 2 % of it."""
_MAX_SAVING_MOVES: Final = 24
"""How many moves away from a day that uses the reserve are tried."""
_MAX_SAVING_CHAINS: Final = 4
"""How many of them are followed by a second move."""
_MAX_SOURCES: Final = 40
"""How many moves to a session in idle study time are tried."""
_FEW_SOURCES: Final = 4
"""The same if the units between have other lengths after a move, so that their days are packed."""
_MAX_FILLING: Final = 400
"""How many changes are examined at most to fill idle study time."""


class Relief(Search):
    """A search for sessions that the days hold, with as little of the reserve as possible."""

    def relieve(self, *, with_reserve: bool) -> bool:
        """Move units away from days that do not hold them; return whether all days do then.

        With ``with_reserve``, a day may use its reserve if no units can be moved away. At most
        half of the effort is used, and the rest only for days that their reserve does not relieve.
        """
        enough = self.effort // 2
        ledger = self.ledger
        needs = {day: ledger.needed(day) for day in ledger.at if not ledger.holds(day)}
        overfull = set(needs)
        stuck = []
        # Days that cannot be helped are found before any work is done on the others.
        for day in sorted(
            needs, key=lambda day: (needs[day] is not None, -ledger.fullness(day), day)
        ):
            while not ledger.holds(day):
                needed = ledger.needed(day) if with_reserve else None
                if self.effort > enough and self._relieve_day(day, overfull, chains=needed is None):
                    continue
                if needed is None:
                    if not with_reserve:
                        return False
                    stuck.append(day)
                    break
                ledger.reserve[day] = needed
            else:
                overfull.discard(day)
        if stuck and not self._open_reserve(stuck, overfull):
            return False
        ledger.settle()
        return True

    def _open_reserve(self, stuck: Collection[int], overfull: set[int]) -> bool:
        """Move units away from days that are too full, also into the reserve of other days."""
        ledger = self.ledger
        ledger.reserve = dict.fromkeys(ledger.at, ANY)
        for day in stuck:
            while not ledger.holds(day):
                if self.effort <= 0 or not self._relieve_day(day, overfull, chains=True):
                    return False
            overfull.discard(day)
        return True

    def save_reserve(self) -> None:
        """Move units out of the reserve of days to study time that is free on other ones."""
        ledger, enough = self.ledger, self.effort - _SAVING_EFFORT
        for day in [day for day in ledger.at if ledger.used([day])]:
            while ledger.used([day]) and self.effort > max(0, enough) and self._save(day):
                pass

    def fill_study_time(self) -> None:
        """Move units from days that use the reserve directly to study time that is still idle.

        Chains of moves may have exhausted the effort before all of these days had their turn. Idle
        time is rarer than days that use the reserve, so each day that has any is looked at instead.
        Less reserve is worth a session that is too short.
        """
        ledger = self.ledger
        if not ledger.used(ledger.reserve):
            return
        shortest = [sessions.shortest_unit for sessions in ledger.contents]
        for most_faults in (0, inf):
            self.effort = _MAX_FILLING
            for day in sorted(ledger.at, key=ledger.beyond):
                while self.effort > 0 and self._fill(day, shortest, most_faults):
                    pass

    def _fill(self, day: int, shortest: Sequence[int], most_faults: float) -> bool:
        """Move units to a day with idle study time from days that use the reserve.

        ``shortest`` has the minutes of the shortest unit of each content.
        """
        ledger = self.ledger
        idle = ledger.spare(day)
        contents = [content for content in ledger.at[day] if shortest[content] <= idle]
        if not contents:
            return False
        most = ledger.used(ledger.reserve) - 1
        sources = {source for source, minutes in ledger.reserve.items() if minutes}
        for content in contents:
            if self._holds_more(content, day):
                most_moves = _MAX_SOURCES if ledger.contents[content].is_uniform else _FEW_SOURCES
                moves = islice(moves_from(ledger, sources, (content, day), idle), most_moves)
                found = self.moved(moves, most_faults)
                changes = sorted(found, key=lambda one: one.faults) if most_faults else found
                if self._save_by_first(changes, most):
                    return True
        return False

    def _holds_more(self, content: int, day: int) -> bool:
        """Whether a day may hold one more unit of a content, whichever it is, in study time."""
        sessions, items = self.ledger.contents[content], self.ledger.items(day)
        own = items.get(content, range(0))
        if not sessions.is_uniform or len(own) == len(sessions.prefix) - 1:
            return True
        first = max(0, own.start - 1)
        items[content] = range(first, first + len(own) + 1)
        return self.ledger.held(day, items, self.ledger.used([day])) is not None

    def _save(self, day: int) -> bool:
        """Make a move, or a chain of two, after which the reserve is used less."""
        ledger = self.ledger
        most = ledger.used(ledger.reserve) - 1
        return self._save_by_move(day, FAR, most) or any(
            self._save_by_chain(change, most)
            for _, change in self.moves_away(day, NEAR)[:_MAX_SAVING_CHAINS]
        )

    def _save_by_move(self, day: int, near: int, most: int) -> bool:
        """Make a move away from a day after which so much of the reserve is used at most."""
        changes = islice(self.moves_within(day, near, most), _MAX_SAVING_MOVES)
        return self._save_by_first((change for change in changes if change.minutes.get(day)), most)

    def _save_by_first(self, changes: Iterable[Change], most: int) -> bool:
        """Make the first change after which so much of the reserve is used at most."""
        ledger = self.ledger
        most -= ledger.used(ledger.reserve)
        for change in changes:
            if ledger.is_held(change, most + ledger.used(ledger.concerned(change))):
                ledger.apply(change)
                return True
        return False

    def _save_by_chain(self, change: Change, most: int) -> bool:
        """Make a change, and a move away from the day that gets the most minutes, if that helps."""
        ledger = self.ledger
        crowded = max(change.minutes, key=lambda day: change.minutes[day])
        back = ledger.opposite(change)
        ledger.apply(change)
        others = (day for day in change.days if day != crowded)
        if all(ledger.needed(day) is not None for day in others) and self._save_by_move(
            crowded, NEAR, most
        ):
            return True
        ledger.apply(back)
        return False

    def _relieve_day(self, day: int, overfull: Collection[int], *, chains: bool) -> bool:
        """Move units away from a day, to one that holds them or, in a chain, is relieved, too."""
        ledger = self.ledger
        for near in (NEAR, FAR):
            for _, change in self.moves_away(day, near, fitting=True):
                if not list(self.crowded(change, day, overfull)):
                    ledger.apply(change)
                    return True
        return chains and any(
            self.make_room_after(change, day, overfull, 1)
            for _, change in self.moves_away(day, NEAR)[:MAX_CHAINS]
        )
