"""``balanced`` against all plans of tiny worlds, compared by its goals.

A world has a few days of one span each, no reserve, no review days and contents with equal units.
Every combination of shifts and every division of the units among the own days is tried. The
schedule must reach the best possible values of the goals 2 to 5, and its highest fullness may
exceed the best one by a unit (or a session) of the day at most, as §4b allows.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from itertools import product
from math import ceil

import pytest

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Content, Request
from tests.unit.scheduling.build import block, book, make_request, study
from tests.unit.scheduling.checking.world import World
from tests.unit.scheduling.corpus import balanced

MONDAY = date(2025, 1, 6)
Counts = tuple[int, ...]


@dataclass(frozen=True, order=True)
class Goals:
    """The goals 2, 4, 5 and 6 of a plan: less is better."""

    unplaced: int
    weakness_days: int
    short_sessions: int
    fullness: Fraction


def world_of(seed: int) -> Request:
    """Return a random tiny request in which everything fits uncut on some days."""
    chance = random.Random(seed)  # noqa: S311 - it must be repeatable
    days = chance.choice([3, 4, 4])
    contents = [
        _content(chance, position, weekly=chance.choice([None, 2, 2]))
        for position in range(1, chance.choice([2, 3, 3]))
    ]
    contents.append(_content(chance, len(contents) + 1, weekly=2))
    hours = [chance.choice([60, 80, 100, 120]) for _ in range(days)]
    blocks = [
        b for day, minutes in enumerate(hours, 1) for b in block(17, 17 + minutes / 60, (day,))
    ]
    return balanced(
        make_request(
            *contents,
            period=f"{MONDAY}..{MONDAY + timedelta(days=days - 1)}",
            cycle=(days, 0),
            blocks=tuple(blocks),
            non_study_blocks=(),
            shortest_session=chance.choice([15, 15, 20, 30]),
        )
    )


def _content(chance: random.Random, position: int, weekly: int | None) -> Content:
    return book(1, chance.randint(2, 7), chance.choice([8, 10, 12, 18]), position=position,
                weekly=weekly)  # fmt: skip


@cache
def compositions(total: int, parts: int) -> list[Counts]:
    """Return every way to divide a total among so many parts."""
    if parts == 1:
        return [(total,)]
    return [(n, *rest) for n in range(total + 1) for rest in compositions(total - n, parts - 1)]


def rooms_of(request: Request) -> dict[date, int]:
    """Return the study time of every study day."""
    world = World(request)
    return {day: len(world.free(day, reserve=False)) for day in world.study_days()}


def goals(
    request: Request, rooms: Mapping[date, int], counts: Mapping[int, Mapping[date, int]]
) -> Goals:
    """Return the goals of a plan, from the units of each content on each day."""
    missing = short = needed = 0
    load = dict.fromkeys(rooms, 0)
    for content in request.contents:
        unit, units = content.minutes_per_unit or 0, counts[content.position]
        needed += content.last_unit * unit
        if content.weekly_days is None:
            least = ceil(request.shortest_session / unit)
            missing += sum(units.get(day, 0) < least for day in rooms)
        shortest = min(request.shortest_session, content.last_unit * unit)
        for day, number in units.items():
            load[day] += number * unit
            short += 0 < number * unit < shortest
    highest = max(Fraction(load[day], room) for day, room in rooms.items())
    return Goals(needed - sum(load.values()), missing, short, highest)


def all_plans(request: Request) -> Iterator[Goals]:
    """Yield the goals of every plan that places everything and exceeds no day."""
    rooms = rooms_of(request)
    options = [_options(request, content) for content in request.contents]
    for chosen in product(*options):
        counts = {c.position: units for c, units in zip(request.contents, chosen, strict=True)}
        found = goals(request, rooms, counts)
        if found.fullness <= 1:
            yield found


def _options(request: Request, content: Content) -> list[dict[date, int]]:
    shifts = range(request.study_days) if content.weekly_days else range(1)
    days = {tuple(World(request, {content.position: s}).own_days(content)) for s in shifts}
    return [
        dict(zip(own, counts, strict=True))
        for own in sorted(days)
        for counts in compositions(content.last_unit, len(own))
    ]


def _number(request: Request) -> int:
    number = 1
    for content in request.contents:
        number *= len(_options(request, content))
    return number


def _worlds(count: int) -> Iterator[Request]:
    """Yield worlds with few plans."""
    seed = 0
    while count:
        seed += 1
        request = world_of(seed)
        if _number(request) <= 40_000:
            count -= 1
            yield request


@pytest.mark.parametrize("request_", list(_worlds(50)), ids=range(50))
def test_balanced_reaches_the_best_goals_of_a_tiny_world(request_: Request) -> None:
    best = min(all_plans(request_), default=None)
    if best is None:
        return
    result = schedule(request_)
    counts = {c.position: _counts(study(result, c.position)) for c in request_.contents}
    found = goals(request_, rooms_of(request_), counts)
    assert (found.unplaced, found.weakness_days, found.short_sessions) == (
        best.unplaced,
        best.weakness_days,
        best.short_sessions,
    )
    unit = max(request_.shortest_session, *(c.minutes_per_unit or 0 for c in request_.contents))
    shortest_day = min(rooms_of(request_).values())
    assert found.fullness <= best.fullness + Fraction(unit, shortest_day)


def _counts(rows: Sequence[ScheduledPlan]) -> dict[date, int]:
    found: Counter[date] = Counter()
    for one in rows:
        found[one.date] += one.last_unit - one.first_unit + 1
    return dict(found)


def test_oracle_knows_the_best_plan_of_a_world_by_hand() -> None:
    """Two contents of two days each are on different days, each with equal sessions."""
    request = balanced(
        make_request(
            book(1, 4, 10, weekly=2),
            book(1, 4, 10, weekly=2, position=2),
            period="01-06..01-09",
            cycle=(4, 0),
            blocks=block(17, 18),
            non_study_blocks=(),
        )
    )
    assert min(all_plans(request)) == Goals(0, 0, 0, Fraction(20, 60))
