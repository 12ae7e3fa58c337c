"""The invariants of a schedule, checked without any code of the engine.

``check`` examines a request and its schedule, ``check_refusal`` a request and the error that it
raised. Both return one sentence per violation, and no sentence if there is none.

The other functions are the oracle of the engine's optimizations. They compare all possibilities,
which takes exponential time, so they are only for a few units and a few days of one span each.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

from domain.errors import (
    DomainError,
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NothingPlacedError,
)
from domain.scheduling.result import Schedule
from domain.scheduling.types import Request
from tests.unit.scheduling.checking.amounts import SHORTEST_SPLIT, amounts_of
from tests.unit.scheduling.checking.case import Case, check_places
from tests.unit.scheduling.checking.day_layout import check_layout
from tests.unit.scheduling.checking.explanations import (
    check_certificate,
    check_measures,
    check_repair_forms,
)
from tests.unit.scheduling.checking.goals import check_goals, check_shifts
from tests.unit.scheduling.checking.review_minutes import check_review_minutes
from tests.unit.scheduling.checking.reviews import check_evenness, check_reviews, even_counts
from tests.unit.scheduling.checking.units import check_units
from tests.unit.scheduling.checking.unplaced import check_unplaced
from tests.unit.scheduling.checking.warnings import check_warnings
from tests.unit.scheduling.checking.world import World, spans


def check(request: Request, schedule: Schedule) -> list[str]:
    """Return all violations of rules and all missed goals, one sentence each."""
    return _found(request, schedule, lambda case: [*_rules(case), *_goals(case)])


def missed_goals(request: Request, schedule: Schedule) -> list[str]:
    """Return the goals of ``balanced`` that a schedule misses although a change would reach them.

    A schedule of which ``check_rules`` finds no violation may miss a goal where days are tight,
    because ``balanced`` searches for a limited time.
    """
    return _found(request, schedule, _goals)


def check_rules(request: Request, schedule: Schedule) -> list[str]:
    """Return all violations of the rules that hold for every input, one sentence each."""
    return _found(request, schedule, _rules)


def _found(
    request: Request, schedule: Schedule, violations: Callable[[Case], list[str]]
) -> list[str]:
    """Return the violations, for the way of keeping the buffer with which there are fewest.

    A schedule that has no study on its buffer days may have used them all the same: they may be
    no days of the contents that could not do without them.
    """
    found = violations(case := Case(request, schedule))
    if found and case.world.buffer:
        return min(found, violations(replace(case, uses_buffer=True)), key=len)
    return found


def _goals(case: Case) -> list[str]:
    if not case.is_balanced or not _names_its_contents(case):
        return []
    return [*check_goals(case), *check_layout(case)]


def _rules(case: Case) -> list[str]:
    if not _names_its_contents(case):
        return ["a row names a content that the request does not have"]
    return [
        *check_units(case),
        *check_unplaced(case),
        *check_places(case),
        *check_reviews(case),
        *check_review_minutes(case),
        *check_evenness(case),
        *check_measures(case),
        *check_shifts(case),
        *check_warnings(case),
        *check_certificate(case),
        *check_repair_forms(case),
        *_nothing_placed(case),
    ]


def _names_its_contents(case: Case) -> bool:
    return all(plan.content in case.contents for plan in case.schedule.plans)


def check_refusal(request: Request, error: DomainError) -> list[str]:
    """Return why the error is wrong for a well-formed request; nothing if it is right."""
    match error:
        case NoContentsError():
            return ["the request has contents"] if request.contents else []
        case NoBlocksError():
            offered: list[object] = [*request.blocks]
            offered += [day for day in request.special_days if day.study or day.self_study]
            return ["the request has blocks or special days"] if offered else []
        case NoStudyDaysError():
            return list(_study_days_left(request))
        case NothingPlacedError():
            return list(_something_fits(request))
    return [f"a well-formed request was refused with {type(error).__name__}: {error}"]


def _study_days_left(request: Request) -> Iterator[str]:
    if not any(amounts.remaining for amounts in amounts_of(request).values()):
        yield "nothing is left to plan, which must return a schedule and not raise an error"
    if days := World(request).study_days():
        yield f"the period has {len(days)} study days from {days[0]} on"


def _something_fits(request: Request) -> Iterator[str]:
    world = World(request)
    left = [amounts for amounts in amounts_of(request).values() if amounts.remaining]
    if not left:
        yield "nothing is left to plan, which must return a schedule and not raise an error"
    for amounts in left:
        next_unit = amounts.remaining[0]
        minutes = amounts.minutes[next_unit]
        lengths = [
            end - start
            for day in world.open_days(amounts.content)
            for reserve in (False, True)
            for start, end in spans(world.free(day, reserve=reserve))
        ]
        room = sum(lengths) if minutes >= SHORTEST_SPLIT else max(lengths, default=0)
        if minutes <= room:
            yield f"unit {next_unit} of content {amounts.content.position} fits into {room} min"


def _nothing_placed(case: Case) -> Iterator[str]:
    if any(amounts.remaining for amounts in case.amounts.values()) and not case.study:
        yield "units are left to plan, but the schedule has no study row and no error was raised"


def cumulative(counts: Sequence[int]) -> tuple[int, ...]:
    """Return the number of units dealt by the end of each day."""
    return tuple(sum(counts[: day + 1]) for day in range(len(counts)))


def whole_deals(minutes: Sequence[int], room: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the cumulative counts of every deal that places all units uncut and in order."""
    for ends in product(range(len(minutes) + 1), repeat=len(room)):
        starts = (0, *ends[:-1])
        ordered = all(start <= end for start, end in zip(starts, ends, strict=True))
        if ordered and ends[-1] == len(minutes):
            loads = [sum(minutes[a:b]) for a, b in zip(starts, ends, strict=True)]
            if all(load <= capacity for load, capacity in zip(loads, room, strict=True)):
                yield ends


def nearest_counts(minutes: Sequence[int], room: Sequence[int]) -> list[int] | None:
    """Return the units per day of the uncut deal nearest to the even deal, or ``None``.

    The distance is the sum of squared differences of the cumulative counts. Among equal deals, the
    one that deals units earlier is the nearest. ``None`` means that every deal cuts a unit.
    """
    even = cumulative(even_counts(len(minutes), len(room)))

    def rank(deal: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        distance = sum((a - b) ** 2 for a, b in zip(deal, even, strict=True))
        # The counts are negated so that the least rank has the highest counts, the earlier units.
        return distance, tuple(-count for count in deal)

    best = min(whole_deals(minutes, room), key=rank, default=None)
    if best is None:
        return None
    return [end - start for start, end in zip((0, *best[:-1]), best, strict=True)]


def fewest_cuts(minutes: Sequence[int], room: Sequence[int]) -> int | None:
    """Return the least number of cuts that places all units, or ``None`` if they cannot be placed.

    A cut is a minute at which a span ends within a unit, which must have at least 20 minutes. Two
    spans that end at the same minute, the later of which is empty, have one cut together.
    """
    return _least_cuts(minutes, room).get(sum(minutes))


def most_units(minutes: Sequence[int], room: Sequence[int]) -> int:
    """Return how many units, counted from the first, can be placed if long units may be cut."""
    placed = _least_cuts(minutes, room)
    return max(n for n in range(len(minutes) + 1) if sum(minutes[:n]) in placed)


def _least_cuts(
    minutes: Sequence[int], room: Sequence[int], shortest: int = SHORTEST_SPLIT
) -> dict[int, int]:
    """Return the least number of cuts for all minutes that can be placed by the end of the spans.

    This is dynamic programming over the spans, which tries every end of each of them.
    """
    boundaries = (0, *cumulative(minutes))
    long = [(end - cost, end) for end, cost in zip(boundaries[1:], minutes, strict=True)]
    within = {m for start, end in long if end - start >= shortest for m in range(start, end)}
    states = {0: 0}
    for capacity in room:
        next_states: dict[int, int] = {}
        for done, cuts in states.items():
            for end in range(done, min(done + capacity, sum(minutes)) + 1):
                if end in within or end in boundaries:
                    total = cuts + (end not in boundaries and end != done)
                    next_states[end] = min(next_states.get(end, total), total)
        states = next_states
    return states


def longest_piece(minutes: int, room: Sequence[int]) -> int | None:
    """Return the least length of the longest of as few pieces as possible of a single unit.

    Every set of days is tried. ``None`` means that the days do not hold the unit.
    """
    for count in range(1, len(room) + 1):
        lengths = [
            longest
            for days in combinations(room, count)
            for longest in range(1, minutes + 1)
            if sum(min(capacity, longest) for capacity in days) >= minutes
        ]
        if lengths:
            return min(lengths)
    return None


def both_fit(first: int, second: int, room: Sequence[int], shared: Sequence[bool]) -> bool:
    """Whether two needs fit: the first on any day, the second only on the shared days.

    Every distribution of the second need over its days is tried.
    """
    choices = (
        range(capacity + 1) if is_shared else range(1)
        for capacity, is_shared in zip(room, shared, strict=True)
    )
    return any(sum(loads) == second and first <= sum(room) - second for loads in product(*choices))


def least_reserve_counts(
    total: int, unit: int, study: Sequence[int], reserve: Sequence[int]
) -> list[int] | None:
    """Return the units per day of the uncut deal that puts the fewest units into the reserve.

    All units have ``unit`` minutes. Among equal deals, the nearest to the even deal is returned,
    then the one that deals units earlier; ``None`` if no uncut deal exists. Every day has one span
    of study time followed by one span of reserve.
    """
    even = cumulative(even_counts(total, len(study)))
    best: tuple[int, int, tuple[int, ...]] | None = None
    for counts in product(range(total + 1), repeat=len(study)):
        later = [max(0, n - capacity // unit) for n, capacity in zip(counts, study, strict=True)]
        fit = all(n * unit <= capacity for n, capacity in zip(later, reserve, strict=True))
        if sum(counts) == total and fit:
            distance = sum((a - b) ** 2 for a, b in zip(cumulative(counts), even, strict=True))
            rank = (sum(later), distance, tuple(-n for n in cumulative(counts)))
            best = min(best or rank, rank)
    if best is None:
        return None
    ends = [-n for n in best[2]]
    return [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def least_reserve_of_two(
    needs: tuple[tuple[int, int], tuple[int, int]], study: Sequence[int], reserve: Sequence[int]
) -> int | None:
    """Return the least minutes in the reserve of two contents that may use every day, uncut.

    ``needs`` has the number of units and the minutes of a unit of each. Every deal of the units to
    the days is tried, and on each day every choice of those in study time. ``None`` means that
    there is no uncut deal.
    """
    (first, a), (second, b) = needs

    def used(day: int, m: int, n: int) -> int | None:
        found = (
            (m - i) * a + (n - j) * b
            for i, j in product(range(m + 1), range(n + 1))
            if i * a + j * b <= study[day] and (m - i) * a + (n - j) * b <= reserve[day]
        )
        return min(found, default=None)

    states: dict[tuple[int, int], int] = {(0, 0): 0}
    for day in range(len(study)):
        reached: dict[tuple[int, int], int] = {}
        for (m, n), total in states.items():
            for to in product(range(m, first + 1), range(n, second + 1)):
                minutes = used(day, to[0] - m, to[1] - n)
                if minutes is not None:
                    reached[to] = min(reached.get(to, total + minutes), total + minutes)
        states = reached
    return states.get((first, second))


def fewest_cuts_of_two(
    first: Sequence[int], second: Sequence[int], room: Sequence[int], shared: Sequence[bool]
) -> int | None:
    """Return the least number of cuts that places both contents; ``None`` if they do not fit.

    The second content uses only the shared days. Every distribution of its minutes is tried. The
    unit of time may be several minutes, and every unit can be cut.
    """
    own = [capacity if is_shared else 0 for capacity, is_shared in zip(room, shared, strict=True)]
    found = [
        _cuts(second, loads) + (_least_cuts(first, left, shortest=0).get(sum(first)) or 0)
        for loads in product(*(range(capacity + 1) for capacity in own))
        if sum(loads) == sum(second)
        for left in [[capacity - used for capacity, used in zip(room, loads, strict=True)]]
        if sum(first) <= sum(left)
    ]
    return min(found, default=None)


def _cuts(minutes: Sequence[int], loads: Sequence[int]) -> int:
    """Return the number of minutes at which a day with these loads ends within a unit."""
    return len(set(cumulative(loads)) - {0, *cumulative(minutes)})
