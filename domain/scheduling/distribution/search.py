"""A search among moves of units: what relief and smoothing have in common."""

from collections.abc import Collection, Iterable, Iterator
from math import inf
from typing import Final

from domain.scheduling.distribution.ledger import Change, Ledger
from domain.scheduling.distribution.moves import Move, amounts, fitting_moves, moves

NEAR: Final = 6
"""How many of its days a unit is moved at most, so that a content proceeds evenly."""
FAR: Final = 30
"""The same where otherwise a session is too short, or a day does not hold its units."""
MAX_CHAINS: Final = 6
"""How many moves away from a day are continued by a chain of moves."""
MAX_MOVES: Final = 2
"""The number of moves in a chain."""


class Search:
    """A search for better sessions; ``effort`` is the number of changes that are examined."""

    def __init__(self, ledger: Ledger, effort: int) -> None:
        self.ledger, self.effort = ledger, effort

    def moved(self, moves: Iterable[Move], most: float = 0) -> Iterator[Change]:
        """Yield the changes of moves after which the sessions are at most so much worse."""
        for content, source, target, units in moves:
            self.effort -= 1 + abs(target - source) // NEAR
            counts = self.ledger.contents[content].counts
            low, high = min(source, target), max(source, target)
            step = -units if source < target else units
            change = self.ledger.change(
                content, low, [*(count + step for count in counts[low:high]), counts[high]]
            )
            if change.faults <= most:
                yield change

    def moves_away(
        self, day: int, near: int, *, fitting: bool = False
    ) -> list[tuple[float, Change]]:
        """Return the moves that take minutes from a day with their costs, the best ones first.

        With ``fitting``, only moves to days that have the minutes.
        """
        ledger = self.ledger
        away = fitting_moves if fitting else moves
        found = [
            (ledger.cost(change), change)
            for change in self.moved(away(ledger, day, near))
            if change.minutes.get(day, 0) < 0
        ]
        return sorted(found, key=lambda one: one[0])

    def moves_within(self, day: int, near: int, most: int) -> Iterator[Change]:
        """Yield moves away from a day that may leave so much of the reserve in use at most.

        That is judged by the minutes of the two days. Those that may leave the least are the first.
        """
        ledger = self.ledger
        most -= ledger.used(ledger.reserve)
        used, beyond = ledger.used([day]), ledger.beyond(day)
        bounds: dict[int, tuple[int, int]] = {}
        found: list[tuple[int, Move]] = []
        for move in moves(ledger, day, near):
            sessions = ledger.contents[move.content]
            target = sessions.days[move.target]
            if target not in bounds:
                bounds[target] = ledger.beyond(target), ledger.used([target])
            first, prefix = sessions.bounds(move.source)[0], sessions.prefix
            minutes = prefix[first + move.units] - prefix[first]
            more = max(0, beyond - minutes) - used
            more += max(0, bounds[target][0] + minutes) - bounds[target][1]
            if more <= most:
                found.append((more, move))
        return self.moved(move for _, move in sorted(found, key=lambda one: one[0]))

    def ranked(self, day: int, limit: float = inf) -> Iterator[tuple[float, Change]]:
        """Yield moves to less full days whose estimated cost is below a limit, the best ones first.

        The estimate is what they change at the two days alone: the days between and wrap-ups are
        not in it, so the first one need not be the best one.
        """
        ledger = self.ledger
        load, weights, cost = ledger.load, ledger.weights, ledger.day_cost
        now, full = load[day], ledger.fullness(day)
        before = ledger.costs[day]
        found: list[tuple[float, Move]] = []
        for content, index in ledger.at[day].items():
            sessions = ledger.contents[content]
            first, stop = sessions.bounds(index)
            if first == stop:
                continue
            days, prefix = sessions.days, sessions.prefix
            unit = prefix[first + 1] - prefix[first]
            without = cost(day, now - unit) - before
            for target in range(max(0, index - NEAR), min(len(days), index + NEAR + 1)):
                other = days[target]
                there = load[other]
                if there >= full * weights[other]:
                    continue
                # The cost is convex: if one unit is not worth moving, more units are not either.
                base = ledger.costs[other]
                if limit <= 0 <= without + cost(other, there + unit) - base:
                    continue
                for units in amounts(ledger, sessions, index, target):
                    minutes = prefix[first + units] - prefix[first]
                    more = cost(day, now - minutes) - before + cost(other, there + minutes) - base
                    if more < limit:
                        found.append((more, Move(content, index, target, units)))
        for estimate, move in sorted(found, key=lambda one: one[0]):
            for change in self.moved([move]):
                yield estimate, change

    def crowded(self, change: Change, day: int, overfull: Collection[int] = ()) -> Iterator[int]:
        """Yield the days, other than ``day``, that a change lets be too full.

        Days that are ``overfull`` before may stay so if they get no more minutes.
        """
        for other in self.ledger.concerned(change):
            may_stay = other in overfull and change.minutes.get(other, 0) <= 0
            if other != day and not may_stay and not self.ledger.holds(other, change):
                yield other

    def make_room(self, day: int, overfull: Collection[int] = (), moves: int = MAX_MOVES) -> bool:
        """Make at most so many moves in a chain, after which a day holds its units.

        Other units leave the day to which the first ones go, and so on. Nothing is changed if no
        chain is found.
        """
        ledger = self.ledger
        for _, change in self.moves_away(day, NEAR, fitting=True):
            if (
                ledger.holds(day, change)
                and next(self.crowded(change, day, overfull), None) is None
            ):
                ledger.apply(change)
                return True
        return moves > 1 and any(
            ledger.holds(day, change) and self.make_room_after(change, day, overfull, moves - 1)
            for _, change in self.moves_away(day, NEAR)[:MAX_CHAINS]
        )

    def make_room_after(
        self, change: Change, day: int, overfull: Collection[int], moves: int
    ) -> bool:
        """Make a change, and so many moves away from the only other day that is too full then."""
        ledger = self.ledger
        crowded = list(self.crowded(change, day, overfull))
        if len(crowded) > 1 or self.effort <= 0:
            return False
        back = ledger.opposite(change)
        ledger.apply(change)
        if not crowded or self.make_room(crowded[0], overfull, moves):
            return True
        ledger.apply(back)
        return False
