"""The orders in which the sessions of a day are placed, and with which pauses and marks."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from domain.scheduling.layout.comfort import UNLIMITED, Comfort
from domain.scheduling.layout.day_sessions import FreeSpan, Session

_MANY_SPANS: Final = 12
"""In more spans one order is tried, and pauses and marks only where time is left."""


class Attempt(NamedTuple):
    """An order of sessions, and how the clocks are set (see ``Clock``)."""

    order: Sequence[int]
    pauses: int
    marks: int
    early: bool = True


def attempts_of(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], comfort: Comfort
) -> Iterator[Attempt]:
    """Yield what is tried: with all pauses and marks, with the pauses alone, with none."""
    few = len(spans) <= _MANY_SPANS
    has_time = few and _has_time_for_pauses(sessions, spans, comfort)
    pauses = UNLIMITED if has_time else 0
    first = Attempt(list(range(len(sessions))), pauses=pauses, marks=pauses)
    yield first
    if not few:
        return
    orders = _orders(sessions)
    others = [
        Attempt(order, UNLIMITED, marks, early)
        for marks in ((UNLIMITED, 0) if has_time else ())
        for group in orders
        for early in (True, False)
        for order in group
    ]
    others += [Attempt(order, 0, 0) for group in orders for order in group]
    yield from (attempt for attempt in others if attempt != first)


def _has_time_for_pauses(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], comfort: Comfort
) -> bool:
    """Whether the spans may have room for the pauses that are needed, and for one at least."""
    minutes = sum(session.minutes for session in sessions)
    spare = sum(stop - start for start, stop, _ in spans) - minutes
    pauses = -(-minutes // comfort.longest_sitting) - len(spans)
    if pauses > 1 and any(session.longest_unit > comfort.longest_sitting for session in sessions):
        pauses = 1
    return spare >= comfort.pause_minutes * max(1, pauses)


def _weaknesses(sessions: Iterable[Session]) -> int:
    return sum(session.is_weakness for session in sessions)


def begins_as_wanted(sessions: Sequence[Session], order: Sequence[int]) -> bool:
    """Whether weaknesses come first, and neither group begins with the session that opened last."""
    weak = _weaknesses(sessions)
    if any(index >= weak for index in order[:weak]):
        return False
    groups = (order[:weak], order[weak:])
    return all(len(group) < 2 or group[0] != max(group) for group in groups)


def turned(sessions: Sequence[Session]) -> list[list[int]]:
    """Return the orders in which weaknesses are first, and both groups are only turned."""
    weak, count = _weaknesses(sessions), len(sessions)
    orders = [
        [*range(i, weak), *range(i), *range(j, count), *range(weak, j)]
        for i in range(max(1, weak))
        for j in range(weak, max(weak + 1, count))
    ]
    return sorted(orders, key=lambda order: not begins_as_wanted(sessions, order))


def _orders(sessions: Sequence[Session]) -> list[list[list[int]]]:
    """Return the orders that are tried, in groups, in the order of preference.

    In turn, or with the longest sessions first except for those that open the day; longest first;
    longest first even if a weakness comes after a strategy then. In a group, an interruption of
    sessions by pauses is tried before the next group, because the day would begin in another way.
    """
    in_turn = list(range(len(sessions)))
    weak = _weaknesses(sessions)
    openers = {0, weak}

    def rank(index: int) -> tuple[bool, int, int]:
        return index >= weak, -sessions[index].minutes, index

    opened = sorted(in_turn, key=lambda i: (i >= weak, i not in openers, *rank(i)))
    groups: list[list[list[int]]] = []
    anyhow = sorted(in_turn, key=lambda index: rank(index)[1:])
    for orders in ([in_turn, opened], [sorted(in_turn, key=rank)], [anyhow]):
        known = [order for group in groups for order in group]
        group = [order for i, order in enumerate(orders) if order not in [*known, *orders[:i]]]
        if group:
            groups.append(group)
    return groups
