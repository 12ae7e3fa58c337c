"""Do these minutes fit on these days? Asked twice, in two ways that must agree.

A content may use any of its days without limit but theirs, so the minimum cut is told by
the contents on its near side: the minutes fit exactly if no set of contents needs more
than all their days together hold. With nine contents that is 511 sums. Augmenting paths
find the same number and serve as the cross-check.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from fractions import Fraction
from itertools import chain, combinations

Needs = Mapping[int, int]
Days = Mapping[int, Collection[date]]
Room = Mapping[date, int]


def fits(needs: Needs, days: Days, room: Room) -> bool:
    """Whether every content's minutes can flow onto its own days."""
    return all(need <= held for need, held in _cuts(needs, days, room))


def fair_share(needs: Needs, days: Days, room: Room) -> Fraction:
    """The greatest part of its need that every content can have at once, at most 1."""
    parts = (Fraction(held, need) for need, held in _cuts(needs, days, room) if need)
    return min(chain([Fraction(1)], parts))


def least_peak(needs: Needs, days: Days, room: Room, fixed: Mapping[date, int]) -> int:
    """The smallest P with fixed + new minutes at most P on every day named in ``fixed``.

    Days that ``fixed`` leaves out (holidays) are held by their room alone.
    """
    peak = max(fixed.values(), default=0)
    while not fits(needs, days, _below(peak, room, fixed)):
        peak += 1
    return peak


def max_flow(needs: Needs, days: Days, room: Room) -> int:
    """The most minutes that can flow, by shortest augmenting paths."""
    left, held = dict(needs), dict(room)
    used = {(content, day): 0 for content in needs for day in days[content]}
    total = 0
    while path := _augmenting(left, held, days, used):
        amount = min([left[path[0][0]], held[path[-1][1]], *_backward(path, used)])
        left[path[0][0]] -= amount
        held[path[-1][1]] -= amount
        for index, (content, day) in enumerate(path):
            used[content, day] += amount
            if index:
                used[content, path[index - 1][1]] -= amount
        total += amount
    return total


Path = list[tuple[int, date]]


def _cuts(needs: Needs, days: Days, room: Room) -> Iterator[tuple[int, int]]:
    contents = sorted(needs)
    subsets = chain.from_iterable(
        combinations(contents, size) for size in range(1, len(contents) + 1)
    )
    for subset in subsets:
        reached = {day for content in subset for day in days[content]}
        yield sum(needs[content] for content in subset), sum(room[day] for day in reached)


def _below(peak: int, room: Room, fixed: Mapping[date, int]) -> Room:
    return {
        day: min(held, peak - fixed[day]) if day in fixed else held for day, held in room.items()
    }


def _backward(path: Path, used: Mapping[tuple[int, date], int]) -> list[int]:
    return [used[path[i + 1][0], path[i][1]] for i in range(len(path) - 1)]


def _augmenting(
    left: Needs, held: Room, days: Days, used: Mapping[tuple[int, date], int]
) -> Path | None:
    queue: deque[tuple[int, Path]] = deque((c, []) for c in left if left[c] > 0)
    seen: set[date] = set()
    while queue:
        content, path = queue.popleft()
        for day in days[content]:
            if day in seen:
                continue
            seen.add(day)
            longer = [*path, (content, day)]
            if held[day] > 0:
                return longer
            queue.extend((c, longer) for c in left if used.get((c, day), 0) > 0)
    return None
