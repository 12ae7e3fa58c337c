"""A corpus of groups as students and tutors enter them, the same for the same seed.

Hypothesis tries unusual requests; these are usual ones: 7 to 112 days, school days shorter than
weekends, lunch, classes with travel, holidays, special days, exams, plans of another group, and
contents that fill 20 to 110 % of their days. Their strategy is ``even``; the settings of the
strategy ``balanced`` differ from the default in some groups, so that ``balanced(group)`` is the
same group under the other strategy.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from domain.scheduling.types import (
    LEVEL_FACTORS,
    AcademySchedule,
    Allocation,
    Balance,
    Block,
    BlockKind,
    Busy,
    Content,
    ContentType,
    Difficulty,
    Exclusion,
    ExclusionType,
    Factors,
    NonStudyBlock,
    Request,
    SpecialDay,
    Strategy,
)
from tests.unit.scheduling.checking.amounts import Amounts
from tests.unit.scheduling.checking.world import World

WEEK = range(7)
CYCLES = (*[(6, 1)] * 6, (5, 2), (5, 2), (6, 0), (3, 1), (4, 2), (2, 1), (5, 1), (9, 3), (13, 1))
MAX_CONTENT_UNITS = 2_000


def corpus(count: int, seed: int) -> Iterator[Request]:
    """Yield ``count`` requests; the first ones are the same for a higher count."""
    for index in range(count):
        yield group_of(seed, index)


def group_of(seed: int, index: int) -> Request:
    """Return the request with an index, from 0 on, in the corpus of a seed."""
    return _group(random.Random(f"{seed}/{index}"))  # noqa: S311 - they must be repeatable


def _group(chance: random.Random) -> Request:
    days = chance.choice([7, 14, 21, 28, 28, 42, 56, 84, 112])
    start = date(2025, 1, 1) + timedelta(days=chance.randrange(365))
    study_days, review_days = chance.choice(CYCLES)
    late = chance.choice([0, 0, 0, 0, days // 4])
    request = Request(
        strategy=Strategy.EVEN,
        period_start=start,
        period_end=start + timedelta(days=days - 1),
        today=start + timedelta(days=late),
        contents=tuple(_contents(chance)),
        blocks=tuple(_blocks(chance)),
        study_days=study_days,
        review_days=review_days,
        factors=Factors(
            level=chance.choice(list(LEVEL_FACTORS.values())),
            weakness=Decimal(chance.choice(["1.2", "1.2", "1.0"])),
        ),
        self_study_on_holidays=chance.random() < 0.3,
        target_date=_exam(chance, start, days),
        non_study_blocks=tuple(_meals(chance)),
        academy_schedules=tuple(_classes(chance)),
        exclusions=tuple(_exclusions(chance, start, days)),
        special_days=tuple(_special_days(chance, start, days)),
    )
    dated = tuple(
        replace(content, deadline=_exam(chance, start, days)) for content in request.contents
    )
    low, high = chance.choice([(0.2, 0.8), (0.2, 0.8), (0.8, 1.1), (1.0, 1.1)])
    fraction = chance.uniform(low, high)
    if chance.random() < 0.5:
        dated = tuple(replace(content, wrap_up_minutes=0) for content in dated)
    request = replace(request, contents=dated, busy=tuple(_busy(chance, start, days)))
    return replace(_filled(request, fraction, chance), **_balance_settings(chance))


def balanced(request: Request) -> Request:
    """Return the same group under the strategy ``balanced``."""
    return replace(request, strategy=Strategy.BALANCED)


def _balance_settings(chance: random.Random) -> dict[str, Any]:
    """Return the settings of the strategy ``balanced``; four groups of five have usual sessions."""
    settings: dict[str, Any] = {}
    if chance.random() < 0.25:
        settings["balance"] = Balance.MINUTES
    if chance.random() < 0.2:
        settings["shortest_session"] = chance.choice([5, 10, 20, 25, 30])
    if chance.random() < 0.2:
        settings["longest_sitting"] = chance.choice([45, 50, 60, 90, 120])
        settings["pause_minutes"] = chance.choice([5, 10, 15, 20])
    if chance.random() < 0.15:
        settings["buffer_days"] = chance.choice([1, 1, 2, 3])
    return settings


def _blocks(chance: random.Random) -> Iterator[Block]:
    """Yield evenings on school days, and longer days at the weekend or no time at all."""
    evening = chance.choice([16, 17, 18, 19]) * 60 + chance.choice([0, 0, 30])
    for weekday in WEEK:
        is_weekend = weekday in {0, 6}
        start = chance.choice([9, 10, 13]) * 60 if is_weekend else evening
        hours = chance.choice([0, 3, 5, 8]) if is_weekend else chance.choice([1.5, 2, 3, 4])
        end = min(22 * 60, start + round(hours * 60))
        if start < end:
            yield Block(BlockKind.STUDY, weekday, start, end)
        if chance.random() < 0.5:
            yield Block(BlockKind.SELF_STUDY, weekday, 22 * 60, 22 * 60 + chance.choice([60, 90]))
        if is_weekend and hours == 0 and chance.random() < 0.5:
            yield Block(BlockKind.SELF_STUDY, weekday, 10 * 60, 12 * 60)


def _meals(chance: random.Random) -> Iterator[NonStudyBlock]:
    for weekday in WEEK:
        yield NonStudyBlock(weekday, 12 * 60, 13 * 60)
        if chance.random() < 0.6:
            yield NonStudyBlock(weekday, 18 * 60 + 30, 19 * 60)


def _classes(chance: random.Random) -> Iterator[AcademySchedule]:
    for weekday in chance.sample(WEEK, chance.choice([0, 0, 1, 2, 3])):
        start = chance.choice([15, 17, 19]) * 60
        length = chance.choice([60, 90, 120])
        yield AcademySchedule(weekday, start, start + length, chance.choice([0, 20, 30]))


def _exclusions(chance: random.Random, start: date, days: int) -> Iterator[Exclusion]:
    for _ in range(chance.randint(0, max(1, days // 14))):
        day = start + timedelta(days=chance.randrange(days))
        yield Exclusion(day, chance.choice(list(ExclusionType)))


def _special_days(chance: random.Random, start: date, days: int) -> Iterator[SpecialDay]:
    for offset in chance.sample(range(days), chance.choice([0, 0, 1, 3])):
        study = chance.choice([(), ((600, 720),), ((540, 720), (780, 960))])
        self_study = chance.choice([(), ((1200, 1290),)])
        yield SpecialDay(start + timedelta(days=offset), study, self_study)


def _busy(chance: random.Random, start: date, days: int) -> Iterator[Busy]:
    """Yield plans of another group, in a tenth of the groups."""
    if chance.random() < 0.1:
        for offset in chance.sample(range(days), days // 5):
            minute = chance.choice([10, 14, 17, 19, 20]) * 60
            yield Busy(start + timedelta(days=offset), minute, minute + chance.choice([25, 40, 60]))


def _exam(chance: random.Random, start: date, days: int) -> date | None:
    if chance.random() < 0.75:
        return None
    return start + timedelta(days=chance.randint(days // 2, days + 7))


def _contents(chance: random.Random) -> Iterator[Content]:
    for position in range(1, chance.choice([1, 2, 3, 4, 4, 5, 6, 9]) + 1):
        is_weak = chance.random() < 0.35
        type_ = chance.choice([ContentType.BOOK, ContentType.BOOK, *ContentType])
        first = chance.choice([1, 1, 1, chance.randint(2, 120)])
        given = type_ is ContentType.CUSTOM or (type_ is ContentType.BOOK and chance.random() < 0.7)
        pages, tasks = chance.randint(2, 10), chance.choice([15, 20, 30, 45, 60, 90, 120])
        difficulty = chance.choice([None, *Difficulty])
        yield Content(
            position=position,
            type=type_,
            allocation=Allocation.WEAKNESS if is_weak else Allocation.STRATEGY,
            first_unit=first,
            last_unit=first,
            weekly_days=None if is_weak else chance.choice([2, 3, 3, 4]),
            minutes_per_unit=(tasks if type_ is ContentType.CUSTOM else pages) if given else None,
            difficulty=difficulty if type_ is ContentType.BOOK and not given else None,
            episode_minutes=_episodes(chance) if type_ is ContentType.LECTURE else (),
            wrap_up_minutes=chance.choice([0, 0, 0, 10, 15]),
        )


def _episodes(chance: random.Random) -> tuple[int | None, ...]:
    """Return the lengths of a long lecture, of which a group takes the first ones."""
    usual = chance.randint(20, 80)
    return tuple(
        None if chance.random() < 0.02 else min(90, max(20, usual + chance.randint(-10, 10)))
        for _ in range(MAX_CONTENT_UNITS)
    )


def _filled(request: Request, fraction: float, chance: random.Random) -> Request:
    """Return the request with contents that need about a fraction of the time of their days.

    The contents divide the days unequally, by random weights. The reserve counts in half of the
    groups that are not overfull.
    """
    world = World(request)
    with_reserve = chance.random() < 0.5 or fraction > 1
    weights = {content.position: chance.uniform(0.5, 2) for content in request.contents}
    days = {content.position: set(world.own_days(content)) for content in request.contents}
    share = dict.fromkeys(weights, 0.0)
    for day in world.study_days():
        users = [position for position, own in days.items() if day in own]
        whole = sum(weights[position] for position in users)
        for position in users:
            room = world.room(day) if with_reserve else len(world.free(day, reserve=False))
            share[position] += fraction * room * weights[position] / whole
    return replace(
        request,
        contents=tuple(
            _cut(content, request, share[content.position]) for content in request.contents
        ),
    )


def _cut(content: Content, request: Request, minutes: float) -> Content:
    long = replace(content, last_unit=content.first_unit + MAX_CONTENT_UNITS - 1)
    count = _count(list(Amounts(long, request).minutes.values()), minutes)
    return replace(
        content,
        last_unit=content.first_unit + count - 1,
        episode_minutes=content.episode_minutes[:count],
    )


def _count(costs: Sequence[int], minutes: float) -> int:
    """Return the number of units that need at most so many minutes, at least one."""
    count = 0
    while count < len(costs) and costs[count] <= minutes:
        minutes -= costs[count]
        count += 1
    return max(1, count)
