"""Moves: which units of a content could go from one of its days to another one.

The days between keep their numbers of units, so the units of all of them get other numbers.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from typing import NamedTuple

from domain.scheduling.distribution.ledger import Ledger
from domain.scheduling.distribution.sessions import Sessions


class Move(NamedTuple):
    """Units of a content that go from one of its days to another one: indexes of its days."""

    content: int
    source: int
    target: int
    units: int


def moves(ledger: Ledger, day: int, near: int) -> Iterator[Move]:
    """Yield moves of all contents away from a day, to at most so many days before and after it."""
    for content, index in ledger.at[day].items():
        sessions = ledger.contents[content]
        for target in range(max(0, index - near), min(len(sessions.days), index + near + 1)):
            if target != index:
                for units in amounts(ledger, sessions, index, target):
                    yield Move(content, index, target, units)


def fitting_moves(ledger: Ledger, day: int, near: int) -> Iterator[Move]:
    """Yield those of the moves to days that have the minutes, in study time or usable reserve."""
    for content, index in ledger.at[day].items():
        sessions = ledger.contents[content]
        prefix, first = sessions.prefix, sessions.bounds(index)[0]
        for target in range(max(0, index - near), min(len(sessions.days), index + near + 1)):
            free = ledger.spare(sessions.days[target])
            if target != index and free >= sessions.shortest_unit:
                for units in amounts(ledger, sessions, index, target):
                    if prefix[first + units] - prefix[first] <= free:
                        yield Move(content, index, target, units)


def amounts(ledger: Ledger, sessions: Sessions, index: int, target: int) -> Collection[int]:
    """Return numbers of units to move: one, all, and about those that level the two days."""
    first, stop = sessions.bounds(index)
    if first == stop:
        return ()
    day, other = sessions.days[index], sessions.days[target]
    weight, other_weight = ledger.weights[day], ledger.weights[other]
    level = (ledger.load[day] * other_weight - ledger.load[other] * weight) // (
        weight + other_weight
    )
    prefix = sessions.prefix
    half = bisect_left(prefix, prefix[first] + max(0, level), first, stop) - first
    return {1, half, half - 1, stop - first}.intersection(range(1, stop - first + 1))


def mending_moves(sessions: Sessions, content: int, index: int, near: int) -> Iterator[Move]:
    """Yield moves that lengthen a session, or move it away as a whole."""
    first, stop = sessions.bounds(index)
    lacking = sessions.lacking_units(index)
    for other in range(max(0, index - near), min(len(sessions.days), index + near + 1)):
        if other != index:
            if first < stop:
                yield Move(content, index, other, stop - first)
            begin, end = sessions.bounds(other)
            for units in {min(lacking, end - begin), end - begin} - {0}:
                yield Move(content, other, index, units)


def near_mending_moves(ledger: Ledger, content: int, index: int) -> Iterator[Move]:
    """Yield moves that lengthen a session or join it to another one, the nearest days first.

    These are only moves to days that seem to have the time, and from days that keep enough units.
    """
    sessions = ledger.contents[content]
    first, stop = sessions.bounds(index)
    lacking, length = sessions.lacking_units(index), sessions.study(index)
    has_room = lacking * sessions.shortest_unit <= ledger.spare(sessions.days[index])
    kept = max(sessions.least_units, 1)
    for other in sorted(range(len(sessions.days)), key=lambda one: abs(one - index)):
        begin, end = sessions.bounds(other)
        if other != index and begin < end:
            if has_room and end - begin >= lacking + kept:
                yield Move(content, other, index, lacking)
            if length <= ledger.spare(sessions.days[other]):
                yield Move(content, index, other, stop - first)


def moves_to_empty_day(sessions: Sessions, content: int, index: int) -> Iterator[Move]:
    """Yield moves that give an empty day a session, and leave enough units where they come from."""
    units = sessions.lacking_units(index)
    for other in range(len(sessions.days)):
        begin, end = sessions.bounds(other)
        if end - begin >= units + sessions.least_units:
            yield Move(content, other, index, units)


def moves_from(
    ledger: Ledger, sources: Collection[int], session: tuple[int, int], idle: int
) -> Iterator[Move]:
    """Yield moves to a session, a content and its day, that its idle minutes hold.

    They come from the sources, the nearest one first, each with all units that it holds, then one.
    """
    content, day = session
    sessions, target = ledger.contents[content], ledger.at[day][content]
    for source in sorted(range(len(sessions.days)), key=lambda index: abs(index - target)):
        first, stop = sessions.bounds(source)
        if sessions.days[source] in sources and sessions.days[source] != day:
            prefix = sessions.prefix
            held = bisect_right(prefix, prefix[first] + idle, first, stop + 1) - 1 - first
            for units in dict.fromkeys((held, min(1, held))):
                if units:
                    yield Move(content, source, target, units)
