"""Small groups with extreme numbers: units longer than any day, days of minutes, many settings.

The corpus has usual groups and Hypothesis prefers simple values; these combine what is rare.
"""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from domain.scheduling.types import (
    Allocation,
    Balance,
    Block,
    BlockKind,
    Busy,
    Content,
    ContentType,
    Exclusion,
    ExclusionType,
    Factors,
    Request,
    Strategy,
)


def odd_group(seed: int, index: int, strategy: Strategy) -> Request:
    """Return a group, the same one for the same seed and index."""
    chance = random.Random(f"odd {seed}/{index}")  # noqa: S311 - they must be repeatable
    days = chance.randint(3, 24)
    start = date(2025, 1, 1) + timedelta(chance.randrange(60))
    study_days, review_days = chance.choice([(6, 1), (3, 1), (2, 1), (5, 2), (6, 0), (1, 1)])
    return Request(
        strategy=strategy,
        period_start=start,
        period_end=start + timedelta(days - 1),
        today=start + timedelta(chance.choice([0, 0, 0, days // 2])),
        contents=tuple(_contents(chance, start, days)),
        blocks=tuple(_blocks(chance)),
        study_days=study_days,
        review_days=review_days,
        factors=Factors(weakness=Decimal(chance.choice(["1.0", "1.2"]))),
        self_study_on_holidays=chance.random() < 0.3,
        exclusions=tuple(_exclusions(chance, start, days)),
        busy=tuple(_busy(chance, start, days)),
        balance=chance.choice(list(Balance)),
        shortest_session=chance.choice([5, 15, 15, 30]),
        longest_sitting=chance.choice([45, 100]),
        pause_minutes=chance.choice([0, 5, 10]),
        buffer_days=chance.choice([0, 0, 0, 1, 2]),
    )


def _contents(chance: random.Random, start: date, days: int) -> Iterator[Content]:
    for position in range(chance.choice([1, 2, 2, 3, 4])):
        type_ = chance.choice(list(ContentType))
        allocation = chance.choice(list(Allocation))
        count, first = chance.choice([1, 2, 3, 5, 8, 20, 40]), chance.randint(1, 5)
        length: dict[str, Any] = {
            "minutes_per_unit": chance.choice([1, 3, 6, 10, 19, 20, 25, 45, 70, 100, 150])
        }
        if type_ is ContentType.LECTURE:
            episodes = (chance.choice([None, 5, 12, 30, 50, 90, 130]) for _ in range(count))
            length = {"episode_minutes": tuple(episodes)}
        yield Content(
            position=position,
            type=type_,
            allocation=allocation,
            first_unit=first,
            last_unit=first + count - 1,
            weekly_days=chance.choice([2, 3, 4]) if allocation is Allocation.STRATEGY else None,
            wrap_up_minutes=chance.choice([0, 0, 5, 15]),
            deadline=start + timedelta(chance.randrange(days)) if chance.random() < 0.2 else None,
            **length,
        )


def _blocks(chance: random.Random) -> Iterator[Block]:
    for weekday in range(7):
        if chance.random() < 0.8:
            begin = chance.choice([540, 600, 960])
            end = begin + chance.choice([15, 25, 45, 60, 90, 150, 240])
            yield Block(BlockKind.STUDY, weekday, begin, end)
        if chance.random() < 0.5:
            end = 1140 + chance.choice([10, 30, 60])
            yield Block(BlockKind.SELF_STUDY, weekday, 1140, end)
        if chance.random() < 0.2:
            yield Block(BlockKind.STUDY, weekday, 840, 840 + chance.choice([10, 30, 60]))


def _busy(chance: random.Random, start: date, days: int) -> Iterator[Busy]:
    for _ in range(chance.choice([0, 0, 1, 3])):
        begin = chance.choice([540, 555, 600, 960, 1140])
        day = start + timedelta(chance.randrange(days))
        yield Busy(day, begin, begin + chance.choice([15, 30, 60]))


def _exclusions(chance: random.Random, start: date, days: int) -> Iterator[Exclusion]:
    excluded = {chance.randrange(days) for _ in range(chance.choice([0, 0, 1, 3]))}
    for day in sorted(excluded):
        yield Exclusion(start + timedelta(day), chance.choice(list(ExclusionType)))
