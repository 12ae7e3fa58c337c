"""Lives with random edits of the group: nothing is lost, doubled or planned where it cannot be."""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest

from domain.scheduling.rescheduling.reschedule import CatchUp
from domain.scheduling.types import (
    AcademySchedule,
    Allocation,
    Content,
    ContentType,
    Exclusion,
    ExclusionType,
    Request,
    SpecialDay,
    Strategy,
)
from domain.scheduling.validation import field_errors
from tests.unit.scheduling.lives import Life, next_day, violations
from tests.unit.scheduling.test_rescheduling import lives

GROUPS = int(os.environ.get("EDITED_LIVES", "6"))
Edit = Callable[[Request, date, random.Random], Request]


def exclude(request: Request, day: date, chance: random.Random) -> Request:
    excluded = Exclusion(day + timedelta(chance.randrange(14)), chance.choice(list(ExclusionType)))
    return replace(request, exclusions=(*request.exclusions, excluded))


def add_class(request: Request, _: date, chance: random.Random) -> Request:
    start = chance.randrange(0, 1300, 10)
    lesson = AcademySchedule(
        chance.randrange(7), start, start + chance.choice([30, 60, 120]), chance.choice([0, 20])
    )
    return replace(request, academy_schedules=(*request.academy_schedules, lesson))


def open_special_day(request: Request, day: date, chance: random.Random) -> Request:
    date_, start = day + timedelta(chance.randrange(10)), chance.randrange(0, 1200, 10)
    spans = ((start, start + chance.choice([30, 120, 240])),) if chance.random() < 0.7 else ()
    others = (special for special in request.special_days if special.date != date_)
    return replace(request, special_days=(*others, SpecialDay(date_, spans)))


def change_period(request: Request, _: date, chance: random.Random) -> Request:
    return replace(request, period_end=request.period_end + timedelta(chance.randrange(-9, 9)))


def add_content(request: Request, _: date, chance: random.Random) -> Request:
    content = Content(
        position=max(content.position for content in request.contents) + 1,
        type=ContentType.BOOK,
        allocation=Allocation.WEAKNESS,
        first_unit=1,
        last_unit=chance.randrange(5, 60),
        minutes_per_unit=5,
    )
    return replace(request, contents=(*request.contents, content))


def of_a_content(edit: Callable[[Content, date, random.Random], Content]) -> Edit:
    def edited(request: Request, day: date, chance: random.Random) -> Request:
        contents = list(request.contents)
        index = chance.randrange(len(contents))
        contents[index] = edit(contents[index], day, chance)
        return replace(request, contents=tuple(contents))

    return edited


def change_range(content: Content, _: date, chance: random.Random) -> Content:
    last = max(content.first_unit, content.last_unit + chance.randrange(-8, 9))
    units = last - content.first_unit + 1
    episodes = (*content.episode_minutes, *[40] * units)[:units]
    is_lecture = content.type is ContentType.LECTURE
    return replace(content, last_unit=last, episode_minutes=episodes if is_lecture else ())


def set_deadline(content: Content, day: date, chance: random.Random) -> Content:
    return replace(content, deadline=day + timedelta(chance.randrange(3, 30)))


def change_minutes(content: Content, _: date, chance: random.Random) -> Content:
    if content.type is ContentType.LECTURE:
        return replace(content, wrap_up_minutes=chance.choice([0, 5, 20]))
    minutes = max(1, (content.minutes_per_unit or 6) + chance.randrange(-2, 3))
    return replace(content, minutes_per_unit=minutes, difficulty=None)


EDITS: list[Edit] = [
    exclude,
    add_class,
    open_special_day,
    change_period,
    add_content,
    of_a_content(change_range),
    of_a_content(set_deadline),
    of_a_content(change_minutes),
]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_edited_lives_keep_every_unit_once(strategy: Strategy) -> None:
    chance = random.Random(f"edits/{strategy}")  # noqa: S311 - it must be repeatable
    edited = 0
    for life in lives(strategy, GROUPS):
        day = life.request.period_start
        while day <= life.request.period_end:
            life.live_through(day, chance)
            day = next_day(day)
            if chance.random() < 0.35:
                edited += reschedule_after_an_edit(life, day, chance)
                assert list(violations(life, day)) == [], day
    assert edited >= 5 * GROUPS


def reschedule_after_an_edit(life: Life, day: date, chance: random.Random) -> bool:
    """Reschedule; return whether the edit was valid. An invalid one is left out."""
    request = chance.choice(EDITS)(life.request, day, chance)
    asked = replace(request, today=max(day, request.period_start), kept=tuple(life.done))
    is_valid = not field_errors(asked)
    life.reschedule(
        day,
        request=request if is_valid else life.request,
        frozen_until=day + timedelta(2) if chance.random() < 0.2 else None,
        how=chance.choice(list(CatchUp)),
    )
    return is_valid
