"""Properties of the schedules of ``balanced``: usual groups, and groups that are changed.

More time makes no goal worse, and goals are compared in their order: a goal may only get worse if
an earlier one gets better. The highest fullness, which whole units do not determine exactly, may
grow by one unit of a day.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import DomainError
from domain.scheduling.result import Schedule, ScheduledPlan
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Allocation, BlockKind, Request
from tests.unit.scheduling.checker import check, missed_goals
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.explanations import fullness_of
from tests.unit.scheduling.checking.minimums import least_units
from tests.unit.scheduling.checking.room import sessions
from tests.unit.scheduling.checking.world import World
from tests.unit.scheduling.corpus import balanced, corpus
from tests.unit.scheduling.kept_strategies import kept_requests
from tests.unit.scheduling.strategies import any_requests, balanced_requests, tight_requests
from tests.unit.scheduling.test_properties import result_text, violations

GROUPS = [balanced(group) for group in corpus(40, seed=13)]
NUMBERS = range(40)
SEVERAL = GROUPS[:12]
MAX_MISSED = 5
"""So many of the groups miss a goal of §4b or §5 that a change would reach."""
few_examples = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("number", NUMBERS)
def test_balanced_schedule_of_a_usual_group_breaks_no_rule(number: int) -> None:
    assert violations(GROUPS[number]) == []


def test_balanced_misses_goals_in_few_usual_groups() -> None:
    """The search is limited, so in tight groups a change may remain that reaches a goal."""
    missed = [
        number for number in NUMBERS if missed_goals(GROUPS[number], schedule(GROUPS[number]))
    ]
    assert len(missed) <= MAX_MISSED, missed


@few_examples
@given(balanced_requests(st.one_of(any_requests(), tight_requests(), kept_requests())))
def test_balanced_schedule_of_any_request_breaks_no_rule(request: Request) -> None:
    assert violations(request) == []


@few_examples
@given(st.one_of(any_requests(), tight_requests()))
def test_balanced_schedule_is_repeated_with_its_own_shifts(request: Request) -> None:
    """The shifts are stored with the contents, and a later generation keeps them."""
    request = balanced(request)
    try:
        first = schedule(request)
    except DomainError:
        return
    stored = replace(
        request,
        contents=tuple(
            replace(content, day_shift=first.day_shifts.get(content.position))
            for content in request.contents
        ),
    )
    assert schedule(stored).canonical_json() == first.canonical_json()


# --- changes that only rename --------------------------------------------------------


@pytest.mark.parametrize("request_", SEVERAL, ids=range(12))
def test_balanced_schedule_does_not_depend_on_the_order_of_rows(request_: Request) -> None:
    chance = random.Random(1)  # noqa: S311 - it must be repeatable

    def mixed(rows: Any) -> Any:
        return tuple(chance.sample(rows, len(rows)))

    names = ("contents", "blocks", "non_study_blocks", "academy_schedules", "exclusions")
    others = ("special_days", "busy")
    shuffled = {name: mixed(getattr(request_, name)) for name in (*names, *others)}
    changed = replace(request_, **shuffled)
    assert result_text(changed) == result_text(request_)


@pytest.mark.parametrize("request_", SEVERAL, ids=range(12))
def test_balanced_schedule_does_not_depend_on_the_positions_themselves(request_: Request) -> None:
    renamed = replace(
        request_, contents=tuple(replace(c, position=7 * c.position + 3) for c in request_.contents)
    )
    first, second = schedule(request_), schedule(renamed)
    assert [replace(row, content=7 * row.content + 3) for row in first.plans] == list(second.plans)
    assert {7 * p + 3: shift for p, shift in first.day_shifts.items()} == dict(second.day_shifts)


@pytest.mark.parametrize("request_", SEVERAL, ids=range(12))
@pytest.mark.parametrize("weeks", [1, 53])
def test_balanced_schedule_moves_with_the_period(request_: Request, weeks: int) -> None:
    first, second = schedule(request_), schedule(_later(request_, timedelta(weeks=weeks)))
    moved = [replace(row, date=row.date + timedelta(weeks=weeks)) for row in first.plans]
    assert moved == list(second.plans)
    assert (first.day_shifts, first.quality) == (second.day_shifts, second.quality)


def _later(request: Request, by: timedelta) -> Request:
    def dated(rows: Any) -> Any:
        return tuple(replace(row, date=row.date + by) for row in rows)

    contents = tuple(
        replace(content, deadline=content.deadline and content.deadline + by)
        for content in request.contents
    )
    return replace(
        request,
        period_start=request.period_start + by,
        period_end=request.period_end + by,
        today=request.today + by,
        target_date=request.target_date and request.target_date + by,
        contents=contents,
        exclusions=dated(request.exclusions),
        special_days=dated(request.special_days),
        busy=dated(request.busy),
    )


# --- more time -----------------------------------------------------------------------


def goals(case: Case) -> tuple[int, int, int, int]:
    """Return the goals 2 to 5 of a schedule, less is better.

    They are the unplaced minutes, the minutes in the reserve, the weakness days below the minimum,
    and the sessions that are too short.
    """
    missing = short = 0
    for position, content in case.contents.items():
        amounts, found = case.amounts[position], sessions(case, position)
        if not amounts.remaining:
            continue
        shortest = min(case.request.shortest_session, case.needs[position])
        short += sum(amounts.cost(numbers) < shortest for numbers in found.values())
        if content.allocation is Allocation.WEAKNESS:
            least = least_units(amounts, case.request.shortest_session)
            missing += sum(len(found.get(d, [])) < least for d in case.own_days[position])
    unplaced = sum(tail.minutes for tail in case.schedule.unplaced)
    reserve = sum(row.minutes - row.wrap_up_minutes for row in case.study if row.reserve)
    return unplaced, reserve, missing, short


def _roomier(request: Request) -> Request:
    """Return the request with study blocks that end half an hour later."""
    blocks = tuple(
        replace(one, end_minute=one.end_minute + 30) if one.kind is BlockKind.STUDY else one
        for one in request.blocks
    )
    return replace(request, blocks=blocks)


@pytest.mark.parametrize("number", NUMBERS)
def test_more_time_makes_no_goal_of_balanced_worse(number: int) -> None:
    # A wrap-up takes the time that it gets, and buffer days depend on what fits.
    contents = tuple(replace(one, wrap_up_minutes=0) for one in GROUPS[number].contents)
    request = replace(GROUPS[number], contents=contents, buffer_days=0)
    before = Case(request, schedule(request))
    roomier = _roomier(request)
    after = Case(roomier, schedule(roomier))
    # A search that is limited may overlook a session in tight groups.
    compared = 2 if missed_goals(roomier, after.schedule) else 4
    assert goals(after)[:compared] <= goals(before)[:compared]
    if goals(after) == goals(before):
        highest, allowed = (max(fullness_of(case).values()) for case in (after, before))
        assert highest <= allowed + _one_unit(before)


def _one_unit(case: Case) -> Fraction:
    """Return the longest unit or session / the shortest day."""
    times = [len(case.world.free(day, reserve=False)) for day in case.world.study_days()]
    longest = max(amounts.longest for amounts in case.amounts.values())
    return Fraction(max(longest, case.request.shortest_session), min(t for t in times if t))


# --- damaged schedules ---------------------------------------------------------------

Rows = list[ScheduledPlan]


def _deleted(rows: Rows, index: int) -> Rows:
    return rows[:index] + rows[index + 1 :]


def _doubled(rows: Rows, index: int) -> Rows:
    return [*rows[: index + 1], *rows[index:]]


def _a_day_later(rows: Rows, index: int) -> Rows:
    later = replace(rows[index], date=rows[index].date + timedelta(days=1))
    return [*rows[:index], later, *rows[index + 1 :]]


def _longer(rows: Rows, index: int) -> Rows:
    longer = replace(rows[index], end_minute=rows[index].end_minute + 7)
    return [*rows[:index], longer, *rows[index + 1 :]]


def _overlapping(rows: Rows, index: int) -> Rows:
    row = rows[index]
    start = rows[(index + 1) % len(rows)].start_minute + 1
    other = rows[(index + 1) % len(rows)]
    moved = replace(row, date=other.date, start_minute=start, end_minute=start + row.minutes)
    return [*rows[:index], moved, *rows[index + 1 :]]


DAMAGES: Mapping[str, Callable[[Rows, int], Rows]] = {
    "deleted": _deleted,
    "doubled": _doubled,
    "a day later": _a_day_later,
    "longer": _longer,
    "overlapping": _overlapping,
}


def _damaged(result: Schedule, damage: str) -> Iterator[Schedule]:
    chance = random.Random(5)  # noqa: S311 - it must be repeatable
    for index in chance.sample(range(len(result.plans)), min(3, len(result.plans))):
        rows = DAMAGES[damage](list(result.plans), index)
        rows.sort(key=lambda row: (row.date, row.start_minute))
        yield replace(result, plans=tuple(replace(r, sequence=i) for i, r in enumerate(rows, 1)))


@pytest.mark.parametrize("damage", DAMAGES)
def test_checker_finds_every_damaged_row_of_balanced(damage: str) -> None:
    for request in SEVERAL[:5]:
        result = schedule(request)
        expected = set(check(request, result))
        for changed in _damaged(result, damage):
            assert set(check(request, changed)) - expected


def test_checker_finds_every_wrong_shift_of_balanced() -> None:
    for request in SEVERAL[:5]:
        result = schedule(request)
        expected = set(check(request, result))
        for content in request.contents:
            used = {row.date for row in Case(request, result).study_of(content.position)}
            for wrong in range(request.study_days + 1):
                shifts = {**result.day_shifts, content.position: wrong}
                world = World(request, shifts)
                if wrong < request.study_days and used <= set(world.open_days(content)):
                    continue
                assert set(check(request, replace(result, day_shifts=shifts))) - expected
