"""Brute force for tiny worlds: days of one span, a handful of units, every possibility tried."""

from collections.abc import Iterator, Sequence
from itertools import product

from tests.unit.scheduling.checking.reviews import even_counts


def cumulative(counts: Sequence[int]) -> tuple[int, ...]:
    """Units dealt by the end of each day."""
    return tuple(sum(counts[: day + 1]) for day in range(len(counts)))


def whole_deals(minutes: Sequence[int], room: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every way to place all units whole and in order: the cumulative counts."""
    for ends in product(range(len(minutes) + 1), repeat=len(room)):
        starts = (0, *ends[:-1])
        ordered = all(start <= end for start, end in zip(starts, ends, strict=True))
        if ordered and ends[-1] == len(minutes):
            loads = [sum(minutes[a:b]) for a, b in zip(starts, ends, strict=True)]
            if all(load <= held for load, held in zip(loads, room, strict=True)):
                yield ends


def nearest_counts(minutes: Sequence[int], room: Sequence[int]) -> list[int] | None:
    """Units a day of the whole deal nearest to the even one; of equals the earlier."""
    even = cumulative(even_counts(len(minutes), len(room)))

    def rank(deal: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        distance = sum((a - b) ** 2 for a, b in zip(deal, even, strict=True))
        return distance, tuple(-count for count in deal)

    best = min(whole_deals(minutes, room), key=rank, default=None)
    if best is None:
        return None
    return [end - start for start, end in zip((0, *best[:-1]), best, strict=True)]


def fewest_cuts(minutes: Sequence[int], room: Sequence[int]) -> int | None:
    """The least number of cuts through units that place them all; ``None`` if none do.

    A cut is a minute at which a day ends and a unit does not: two days that end at the
    same minute (the later is empty) make one cut.
    """
    seams = {0, *cumulative(minutes)}
    states = {0: 0}
    for held in room:
        following: dict[int, int] = {}
        for done, cuts in states.items():
            for end in range(done, min(done + held, sum(minutes)) + 1):
                more = cuts + (end not in seams and end != done)
                following[end] = min(following.get(end, more), more)
        states = following
    return states.get(sum(minutes))


def most_units(minutes: Sequence[int], room: Sequence[int]) -> int:
    """How many units from the first on the days can hold, cut where need be."""
    return max(n for n in range(len(minutes) + 1) if sum(minutes[:n]) <= sum(room))


def both_fit(first: int, second: int, room: Sequence[int], shared: Sequence[bool]) -> bool:
    """Whether two needs fit: the first on any day, the second on the shared days only.

    Every way to spread the second over its days is tried.
    """
    choices = (
        range(held + 1) if mine else range(1) for held, mine in zip(room, shared, strict=True)
    )
    return any(sum(way) == second and first <= sum(room) - second for way in product(*choices))


def least_reserve_counts(
    total: int, unit: int, study: Sequence[int], reserve: Sequence[int]
) -> list[int] | None:
    """Units a day, alike and whole, that take the fewest to the reserve.

    Of equals the nearest to the even deal, then the earlier. Every day has one span of
    study time and then one of reserve.
    """
    even = cumulative(even_counts(total, len(study)))
    best: tuple[int, int, tuple[int, ...]] | None = None
    for counts in product(range(total + 1), repeat=len(study)):
        later = [max(0, n - held // unit) for n, held in zip(counts, study, strict=True)]
        fit = all(n * unit <= held for n, held in zip(later, reserve, strict=True))
        if sum(counts) == total and fit:
            distance = sum((a - b) ** 2 for a, b in zip(cumulative(counts), even, strict=True))
            rank = (sum(later), distance, tuple(-n for n in cumulative(counts)))
            best = min(best or rank, rank)
    if best is None:
        return None
    ends = [-n for n in best[2]]
    return [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def fewest_cuts_of_two(
    first: Sequence[int], second: Sequence[int], room: Sequence[int], shared: Sequence[bool]
) -> int | None:
    """The least number of cuts that places both, the second on the shared days only."""
    own = [held if mine else 0 for held, mine in zip(room, shared, strict=True)]
    found = [
        _cuts(second, way) + (fewest_cuts(first, left) or 0)
        for way in product(*(range(held + 1) for held in own))
        if sum(way) == sum(second)
        for left in [[held - used for held, used in zip(room, way, strict=True)]]
        if sum(first) <= sum(left)
    ]
    return min(found, default=None)


def _cuts(minutes: Sequence[int], loads: Sequence[int]) -> int:
    return len(set(cumulative(loads)) - {0, *cumulative(minutes)})
