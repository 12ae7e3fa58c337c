"""The checker's least possible level, against a flow and against all combinations of shifts."""

import random
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import lcm

import pytest

from domain.scheduling.types import Balance, Request
from tests.unit.scheduling.build import at, block, book, make_request, on
from tests.unit.scheduling.checking.amounts import Amounts, amounts_of
from tests.unit.scheduling.checking.flows import max_flow
from tests.unit.scheduling.checking.levels import Held, Problem, least_level, level_for, problem_of
from tests.unit.scheduling.checking.shifts import choices, least_over_shifts
from tests.unit.scheduling.checking.world import World
from tests.unit.scheduling.corpus import corpus

GROUPS = [group for group in corpus(60, seed=21) if len(group.contents) <= 5]


def needs_of(amounts: Mapping[int, Amounts]) -> dict[int, int]:
    """Return the remaining minutes of the contents, by position."""
    return {p: one.cost(one.remaining) for p, one in amounts.items()}


def flows(problem: Problem, level: Fraction) -> bool:
    """Whether a flow places all minutes below a level, in addition to the minimums.

    The minutes of the minimums are taken from the contents and from the days beforehand, and all
    numbers are multiplied so that they are integers.
    """
    needs, room = dict(problem.needs), {}
    for day, held in problem.days.items():
        most = min(Fraction(held.room), max(Fraction(0), level * held.rate - held.kept))
        room[day] = most if held.rate else Fraction(held.room)
        if held.rate and held.kept > level * held.rate:
            return False
    for position, floor in problem.floors.items():
        needs[position] -= floor.minutes * len(floor.due)
        for day in floor.due:
            room[day] -= floor.minutes
    if min(room.values()) < 0:
        return False
    scale = lcm(*(value.denominator for value in room.values()))
    scaled = {day: int(value * scale) for day, value in room.items()}
    whole = {position: need * scale for position, need in needs.items()}
    return max_flow(whole, {p: sorted(problem.own[p]) for p in whole}, scaled) == sum(
        whole.values()
    )


@pytest.mark.parametrize("request_", GROUPS[:14], ids=range(14))
def test_least_level_is_the_least_with_a_flow(request_: Request) -> None:
    world, amounts = World(request_), amounts_of(request_)
    problem = problem_of(world, amounts, needs_of(amounts), request_.balance)
    # The minimums of a content with few units are not on certain days, so no flow decides them.
    certain = {p: floor for p, floor in problem.floors.items() if floor.due}
    problem = replace(problem, floors=certain)
    level = problem.least_level()
    if level is None:
        problem = replace(problem, floors={})
        level = problem.least_level()
    if level is not None:
        assert flows(problem, level)
        assert not flows(problem, level * Fraction(999_999, 1_000_000))


def test_level_for_minutes_fills_the_smallest_days_first() -> None:
    minutes = {Held(1, 0, 30): 2, Held(1, 0, 100): 1}
    assert level_for(60, minutes) == 20
    assert level_for(100, minutes) == 40
    assert level_for(161, minutes) is None
    assert level_for(0, minutes) == 0


def test_level_for_fullness_counts_kept_minutes() -> None:
    assert level_for(60, {Held(120, 0, 120): 1}) == Fraction(1, 2)
    assert level_for(60, {Held(120, 30, 90): 1}) == Fraction(3, 4)
    assert level_for(30, {Held(100, 50, 50): 1, Held(100, 0, 100): 1}) == Fraction(3, 10)
    assert level_for(90, {Held(0, 0, 60): 1, Held(100, 0, 100): 1}) == Fraction(3, 10)


def test_least_level_includes_the_minimums_of_weaknesses() -> None:
    """A strategy of one day cannot have the day alone if a weakness must be studied on it."""
    request = make_request(
        book(1, 4, 30),
        book(1, 1, 60, weekly=2, position=2, deadline=on("01-08")),
        period="01-06..01-09",
        blocks=block(17, 19),
        non_study_blocks=(),
    )
    world, amounts = World(request), amounts_of(request)
    assert World(request).own_days(request.contents[1]) == [on("01-07")]
    assert least_level(world, amounts, needs_of(amounts), Balance.ROOM) == Fraction(90, 120)
    assert least_level(world, amounts, needs_of(amounts), Balance.MINUTES) == 90


def _levels_of_all_shifts(request: Request) -> list[Fraction]:
    """Return the least level of every combination of shifts that fits into study time."""
    amounts = amounts_of(request)
    found = []
    shifts = (
        range(request.study_days) if content.weekly_days else range(1)
        for content in request.contents
    )
    for combination in product(*shifts):
        world = World(request, dict(zip(amounts, combination, strict=True)))
        problem = problem_of(world, amounts, needs_of(amounts), request.balance)
        in_study = all(
            held.room == len(world.free(day, reserve=False)) for day, held in problem.days.items()
        )
        level = problem.least_level()
        if level is not None and in_study:
            found.append(level)
    return found


SMALL = [
    replace(group, blocks=tuple(b for b in group.blocks if b.kind.value == "study"))
    for group in GROUPS
    if sum(content.weekly_days is not None for content in group.contents) <= 2
    and (group.period_end - group.period_start).days <= 42
    and group.study_days <= 6
][:8]


@pytest.mark.parametrize("request_", SMALL, ids=range(len(SMALL)))
def test_least_over_shifts_is_that_of_the_best_combination(request_: Request) -> None:
    amounts = amounts_of(request_)
    levels = _levels_of_all_shifts(request_)
    if levels:
        options = choices(World(request_), amounts)
        first = max(levels)
        assert least_over_shifts(World(request_), amounts, options, first) == min(levels)


def test_random_shifts_of_four_strategies_are_never_below_the_least() -> None:
    chance = random.Random(3)  # noqa: S311 - it must be repeatable
    request = make_request(
        *(book(1, 40 + 10 * i, 4, weekly=2 + i % 3, position=i) for i in range(1, 5)),
        period="01-06..01-26",
        blocks=block(17, 22, (1, 2, 3, 4, 5)) + block(at("09:00") / 60, 14, (0, 6)),
    )
    amounts = amounts_of(request)
    options = choices(World(request), amounts)
    least = least_over_shifts(World(request), amounts, options, Fraction(1))
    levels = []
    for _ in range(60):
        shifts = {p: chance.randrange(6) for p in amounts}
        level = least_level(World(request, shifts), amounts, needs_of(amounts), Balance.ROOM)
        levels.append(level)
    assert all(level is not None and level >= least for level in levels)
