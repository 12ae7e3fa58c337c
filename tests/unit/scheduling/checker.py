"""The invariants of a schedule, checked without a line of the engine.

``check`` looks at a request and its schedule, ``check_refusal`` at a request and the error
it met. Both answer with sentences; none means that all is well.

Below them is brute force for tiny worlds, which tries every possibility: days of one span and a
handful of units.
"""

from collections.abc import Iterator, Sequence
from itertools import product

from domain.errors import (
    DomainError,
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NothingPlacedError,
)
from domain.scheduling.planning import Request
from domain.scheduling.schedule import Schedule
from domain.scheduling.vocabulary import ContentType
from tests.unit.scheduling.checking.case import Case, check_places
from tests.unit.scheduling.checking.reviews import check_evenness, check_reviews, even_counts
from tests.unit.scheduling.checking.units import check_units
from tests.unit.scheduling.checking.world import World, amounts_of


def check(request: Request, schedule: Schedule) -> list[str]:
    """Every violation, one sentence each."""
    case = Case(request, schedule)
    if any(plan.content not in case.contents for plan in schedule.plans):
        return ["a row names a content that the request does not have"]
    return [
        *check_units(case),
        *check_places(case),
        *check_reviews(case),
        *check_evenness(case),
        *_emptiness(case),
        *_assumptions(case),
    ]


def check_refusal(request: Request, error: DomainError) -> list[str]:
    """Why the error is wrong for a request that is well-formed."""
    match error:
        case NoContentsError():
            return ["there are contents"] if request.contents else []
        case NoBlocksError():
            return ["there are blocks"] if request.blocks else []
        case NoStudyDaysError():
            return list(_study_days_left(request))
        case NothingPlacedError():
            return list(_something_fits(request))
    return [f"a well-formed request was refused with {type(error).__name__}: {error}"]


def _study_days_left(request: Request) -> Iterator[str]:
    if not any(amounts.remaining for amounts in amounts_of(request).values()):
        yield "nothing is left to plan, which is a result and no error"
    if days := World(request).study_days():
        yield f"there are {len(days)} study days from {days[0]} on"


def _something_fits(request: Request) -> Iterator[str]:
    world = World(request)
    left = [amounts for amounts in amounts_of(request).values() if amounts.remaining]
    if not left:
        yield "nothing is left to plan, which is a result and no error"
    for amounts in left:
        following = amounts.remaining[0]
        room = sum(world.room(day) for day in world.open_days(amounts.content))
        if amounts.minutes[following] <= room:
            yield f"unit {following} of content {amounts.content.position} fits {room} min"


def _emptiness(case: Case) -> Iterator[str]:
    left = any(amounts.remaining for amounts in case.amounts.values())
    told = any(warning.code == "nothing_left" for warning in case.schedule.warnings)
    if left and told:
        yield "something is left to plan, and a warning denies it"
    if not left and not told:
        yield "nothing is left to plan, and no warning says so"
    if left and not case.study:
        yield "there was something to plan, and no study row came of it, and no error"


def _assumptions(case: Case) -> Iterator[str]:
    """Episodes of unknown length that are planned are reported."""
    for position, amounts in case.amounts.items():
        if amounts.content.type is not ContentType.LECTURE:
            continue
        first, entries = amounts.content.first_unit, amounts.content.episode_minutes
        unknown = {u for u in amounts.remaining if entries[u - first] is None}
        for data in case.warnings("assumed_minutes"):
            if data["content"] == position:
                told = range(int(str(data["first_unit"])), int(str(data["last_unit"])) + 1)
                unknown -= set(told)
        if unknown:
            yield f"content {position} has {len(unknown)} episodes assumed without a warning"


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
