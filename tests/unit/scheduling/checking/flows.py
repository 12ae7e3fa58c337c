"""Whether minutes fit into days, decided by comparing every set of contents, and by a flow."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from fractions import Fraction
from itertools import chain, combinations

Needs = Mapping[int, int]
Days = Mapping[int, Collection[date]]
Room = Mapping[date, int]


def fits(needs: Needs, days: Days, room: Room) -> bool:
    """Whether the minutes of all contents fit into the days that each of them may use.

    This asks for a flow from the contents to the days. A content may fill any of its days up to the
    day's room, so by the max-flow min-cut theorem the minutes fit if and only if no set of contents
    needs more minutes than its days have together. Nine contents have 511 such sets. ``max_flow``
    computes the flow itself with augmenting paths, as a cross-check.
    """
    return all(need <= capacity for need, capacity in _cuts(needs, days, room))


def fair_share(needs: Needs, days: Days, room: Room) -> Fraction:
    """Return the greatest fraction of its need, at most 1, that all contents can get together."""
    parts = (Fraction(capacity, need) for need, capacity in _cuts(needs, days, room) if need)
    return min(chain([Fraction(1)], parts))


def least_unplaced(needs: Needs, days: Days, room: Room) -> int:
    """Return the fewest minutes that find no place: the largest excess of any set of contents."""
    return max(chain([0], (need - capacity for need, capacity in _cuts(needs, days, room))))


def fit_beside(needs: Needs, days: Days, room: Room, other: Room, most: int) -> bool:
    """Whether the minutes fit if the other days get so many minutes together at most."""
    both = {**dict.fromkeys(other, 0), **room}
    beside = {**dict.fromkeys(room, 0), **other}
    cuts = zip(_cuts(needs, days, both), _cuts(needs, days, beside), strict=True)
    return all(need <= capacity + min(most, more) for (need, capacity), (_, more) in cuts)


def least_peak(
    needs: Needs, days: Days, room: Room, fixed: Mapping[date, int], outside: int
) -> int:
    """Return the smallest P with fixed + new minutes of at most P on every day in ``fixed``.

    Days that are not in ``fixed`` (holidays, spare days) get at most so many minutes together as
    ``outside``. The search does not end if the needs do not fit into the days.
    """
    peak = max(fixed.values(), default=0)
    limited = {day: minutes for day, minutes in room.items() if day in fixed}
    other = {day: minutes for day, minutes in room.items() if day not in fixed}
    while not fit_beside(needs, days, _below(peak, limited, fixed), other, outside):
        peak += 1
    return peak


def max_flow(needs: Needs, days: Days, room: Room) -> int:
    """Return the maximum flow in minutes, found by shortest augmenting paths (Edmonds–Karp)."""
    left, capacity = dict(needs), dict(room)
    used = {(content, day): 0 for content in needs for day in days[content]}
    total = 0
    while path := _augmenting_path(left, capacity, days, used):
        amount = min([left[path[0][0]], capacity[path[-1][1]], *_backward(path, used)])
        left[path[0][0]] -= amount
        capacity[path[-1][1]] -= amount
        for index, (content, day) in enumerate(path):
            used[content, day] += amount
            if index:
                used[content, path[index - 1][1]] -= amount
        total += amount
    return total


Path = list[tuple[int, date]]
"""Pairs of content and day; each content after the first moves minutes off the previous day."""


def _cuts(needs: Needs, days: Days, room: Room) -> Iterator[tuple[int, int]]:
    """Yield the need of every set of contents, and the room of its days."""
    contents = sorted(needs)
    subsets = chain.from_iterable(
        combinations(contents, size) for size in range(1, len(contents) + 1)
    )
    for subset in subsets:
        reached = {day for content in subset for day in days[content]}
        yield sum(needs[content] for content in subset), sum(room[day] for day in reached)


def _below(peak: int, room: Room, fixed: Mapping[date, int]) -> Room:
    return {day: min(capacity, peak - fixed[day]) for day, capacity in room.items()}


def _backward(path: Path, used: Mapping[tuple[int, date], int]) -> list[int]:
    """Return the minutes that each later content of the path can move off the previous day."""
    return [used[path[i + 1][0], path[i][1]] for i in range(len(path) - 1)]


def _augmenting_path(
    left: Needs, capacity: Room, days: Days, used: Mapping[tuple[int, date], int]
) -> Path | None:
    """Return a shortest path, by breadth-first search, to a day with room; ``None`` if none."""
    queue: deque[tuple[int, Path]] = deque((c, []) for c in left if left[c] > 0)
    seen: set[date] = set()
    while queue:
        content, path = queue.popleft()
        for day in days[content]:
            if day in seen:
                continue
            seen.add(day)
            longer = [*path, (content, day)]
            if capacity[day] > 0:
                return longer
            queue.extend((c, longer) for c in left if used.get((c, day), 0) > 0)
    return None
