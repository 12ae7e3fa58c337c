"""Requests within the limits of a group that may be slow to plan.

A ``Recipe`` has a few numbers from which a request is built, so that it can be changed, sent to
another process and printed.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

from domain.scheduling.calendar import Day, DayKind, calendar
from domain.scheduling.result import clock
from domain.scheduling.spans import merged, total, without
from domain.scheduling.types import (
    MAX_UNITS,
    AcademySchedule,
    Allocation,
    Block,
    BlockKind,
    Busy,
    Content,
    ContentType,
    KeptPlan,
    NonStudyBlock,
    PlanKind,
    Request,
    SpecialDay,
    Strategy,
)
from domain.scheduling.validation import MAX_CONTENTS, MAX_DAYS, MAX_SPANS

START: Final = date(2025, 1, 1)
WEEK: Final = range(7)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The numbers from which a request is built; equal recipes give equal requests."""

    seed: int = 1
    days: int = MAX_DAYS
    study_spans: int = 24
    self_study_spans: int = 0
    meals: int = 0
    classes: int = 0
    contents: int = MAX_CONTENTS
    weaknesses: int = 3
    lectures: int = 0
    deadlines: int = 0
    shortest: int = 20
    longest: int = 90
    percent_full: int = 100
    kept: int = 0
    busy: int = 0
    special_days: int = 0
    today_percent: int = 0
    study_days: int = 6
    review_days: int = 1


CHOICES: Final[dict[str, Sequence[int]]] = {
    "days": (31, 92, 183, 366, 550, MAX_DAYS, MAX_DAYS),
    "study_spans": (0, 1, 2, 6, 12, MAX_SPANS, MAX_SPANS),
    "self_study_spans": (0, 0, 1, 6, MAX_SPANS, MAX_SPANS),
    "meals": (0, 0, 1, 6, MAX_SPANS),
    "classes": (0, 0, 1, 6, MAX_SPANS),
    "contents": (1, 2, 3, 6, MAX_CONTENTS, MAX_CONTENTS),
    "weaknesses": (0, 1, 3, 6, MAX_CONTENTS),
    "lectures": (0, 0, 3, MAX_CONTENTS),
    "deadlines": (0, 0, 3, 6, MAX_CONTENTS),
    "shortest": (1, 2, 5, 19, 20, 30, 60, 400, 1440),
    "longest": (1, 2, 7, 21, 45, 90, 240, 700, 1440),
    "percent_full": (50, 80, 90, 95, 98, 99, 100, 100, 101, 105, 115, 130),
    "kept": (0, 0, 100, 1_000, 5_000),
    "busy": (0, 0, 100, 2_000, 9_000),
    "special_days": (0, 0, 10, 100),
    "today_percent": (0, 0, 0, 20, 60),
    "study_days": (1, 4, 6, 6, 13, 30),
    "review_days": (0, 1, 1, 2, 7),
}


def anything(chance: random.Random) -> Recipe:
    """Return a random recipe."""
    numbers = {name: chance.choice(values) for name, values in CHOICES.items()}
    return valid(Recipe(seed=chance.randrange(1_000_000), **numbers))


def changed(recipe: Recipe, chance: random.Random) -> Recipe:
    """Return a recipe with one to three other numbers, or another seed."""
    names = chance.sample(sorted(CHOICES), chance.randint(0, 3))
    numbers = {name: chance.choice(CHOICES[name]) for name in names}
    return valid(replace(recipe, seed=chance.randrange(1_000_000), **numbers))


def valid(recipe: Recipe) -> Recipe:
    """Return a recipe that has blocks, and whose longest unit is not below its shortest."""
    if not recipe.study_spans + recipe.self_study_spans:
        recipe = replace(recipe, study_spans=1)
    return replace(recipe, longest=max(recipe.shortest, recipe.longest))


def build(recipe: Recipe) -> Request:
    """Return the request of a recipe, whose contents need ``percent_full`` of their days."""
    chance = random.Random(recipe.seed)  # noqa: S311 - the requests must be the same every time
    end = START + timedelta(days=recipe.days - 1)
    bare = Request(
        strategy=Strategy.EVEN,
        period_start=START,
        period_end=end,
        today=START + timedelta(days=recipe.days * recipe.today_percent // 100),
        contents=tuple(_content(recipe, position, chance) for position in range(recipe.contents)),
        blocks=tuple(_blocks(recipe, chance)),
        study_days=recipe.study_days,
        review_days=recipe.review_days,
        non_study_blocks=tuple(
            NonStudyBlock(weekday, *span) for weekday in WEEK for span in _cuts(recipe.meals, 3)
        ),
        academy_schedules=tuple(
            AcademySchedule(weekday, *span, 0)
            for weekday in WEEK
            for span in _cuts(recipe.classes, 37)
        ),
        special_days=tuple(
            SpecialDay(START + timedelta(days=offset), ((480, 600), (601, 700)), ((900, 1000),))
            for offset in sorted(
                chance.sample(range(recipe.days), min(recipe.days, recipe.special_days))
            )
        ),
    )
    busy = replace(bare, busy=tuple(_busy(bare, recipe, chance)))
    filled = replace(busy, contents=tuple(_filled(busy, recipe, chance)))
    return replace(filled, kept=tuple(_kept(filled, recipe.kept)))


def _blocks(recipe: Recipe, chance: random.Random) -> Iterator[Block]:
    """Yield spans of different lengths, so that weekdays and spans are not alike."""
    counts = {BlockKind.STUDY: recipe.study_spans, BlockKind.SELF_STUDY: recipe.self_study_spans}
    for weekday in WEEK:
        for kind, count in counts.items():
            width = 1440 // max(1, count)
            for index in range(count):
                start = index * width + (width // 2 if kind is BlockKind.SELF_STUDY else 0)
                length = chance.randint(max(1, width // 4), max(1, width - 1))
                if start + length <= 1440:
                    yield Block(kind, weekday, start, start + length)


def _cuts(count: int, offset: int) -> Iterator[tuple[int, int]]:
    """Yield short spans, which cut the blocks into more spans."""
    width = 1440 // max(1, count)
    for index in range(count):
        start = index * width + offset % width
        yield start, start + 1


def _content(recipe: Recipe, position: int, chance: random.Random) -> Content:
    """Return a content with a single unit, whose range is extended later."""
    is_weak = position < recipe.weaknesses
    last = chance.randint(recipe.days // 2, recipe.days)
    deadline = START + timedelta(days=last) if position < recipe.deadlines else None
    is_lecture = position < recipe.lectures
    return Content(
        position=position,
        type=ContentType.LECTURE if is_lecture else ContentType.CUSTOM,
        allocation=Allocation.WEAKNESS if is_weak else Allocation.STRATEGY,
        first_unit=1,
        last_unit=1,
        weekly_days=None if is_weak else 2 + position % 3,
        minutes_per_unit=None if is_lecture else 1,
        episode_minutes=(1,) if is_lecture else (),
        deadline=deadline,
    )


def _busy(request: Request, recipe: Recipe, chance: random.Random) -> Iterator[Busy]:
    """Yield plans of other groups of one minute, which cut the free time into more spans."""
    taken = set()
    for _ in range(recipe.busy):
        offset, start = chance.randrange(recipe.days), chance.randrange(1440)
        if (offset, start) not in taken:
            taken.add((offset, start))
            yield Busy(request.period_start + timedelta(days=offset), start, start + 1)


def _filled(request: Request, recipe: Recipe, chance: random.Random) -> Iterator[Content]:
    """Yield the contents with as many units as fill their share of their days.

    Each day is divided equally between the contents that may use it, so that at 100 % all minutes
    fit, but hardly more.
    """
    days = calendar(request)
    rooms = _rooms(request, days)
    own = {content.position: _own_days(request, content, days) for content in request.contents}
    owners = [sum(day in usable for usable in own.values()) for day in range(len(days))]
    longest = max(recipe.shortest, recipe.longest)
    for content in request.contents:
        factor = 1.2 if content.allocation is Allocation.WEAKNESS else 1.0
        share = sum(rooms[day] / owners[day] for day in own[content.position])
        need = max(1, round(share * recipe.percent_full / 100 / factor))
        most = MAX_UNITS // recipe.contents
        if content.type is ContentType.LECTURE:
            low = min(1440, max(recipe.shortest, need // most))
            lengths: list[int] = []
            while not lengths or (len(lengths) < most and need > 0):
                lengths.append(chance.randint(low, max(low, longest)))
                need -= lengths[-1]
            yield replace(content, last_unit=len(lengths), episode_minutes=tuple(lengths))
        else:
            unit = chance.randint(recipe.shortest, longest)
            unit = min(1440, max(unit, need // most))
            yield replace(content, last_unit=min(most, max(1, need // unit)), minutes_per_unit=unit)


def _rooms(request: Request, days: Sequence[Day]) -> list[int]:
    taken: dict[date, list[tuple[int, int]]] = {}
    for row in request.busy:
        taken.setdefault(row.date, []).append((row.start_minute, row.end_minute))
    return [
        total(without(merged((*day.study, *day.reserve)), merged(taken.get(day.date, ()))))
        for day in days
    ]


def _own_days(request: Request, content: Content, days: Sequence[Day]) -> set[int]:
    """Return about the days of a content: each k-th of n study days."""
    stop = content.deadline or date.max
    step = 1 if content.weekly_days is None else max(1, request.study_days // content.weekly_days)
    study = [index for index, day in enumerate(days) if day.kind is DayKind.STUDY]
    usable = study[step // 2 :: step]
    return {i for i in usable if request.today <= days[i].date < stop} or set(study[:1])


def _kept(request: Request, count: int) -> Iterator[KeptPlan]:
    """Yield up to ``count`` kept plans of one unit, on all days in turn, in free minutes."""
    days = [day for day in calendar(request) if day.kind is DayKind.STUDY and day.study]
    taken = {(row.date, row.start_minute) for row in request.busy}
    ends: dict[date, int] = {}
    for number in range(min(count, 40 * len(days))):
        content = request.contents[number % len(request.contents)]
        unit = 1 + 2 * (number // len(request.contents))
        day = days[number * len(days) // max(1, count) % len(days)].date
        start = ends.get(day, 0)
        if unit <= content.last_unit and start < 1440 and (day, start) not in taken:
            yield KeptPlan(content.position, PlanKind.STUDY, day, start, start + 1, unit, unit)
        ends[day] = start + 7


def described(request: Request) -> dict[str, Any]:
    """Return the request in the form of a document, with long lists shortened."""

    def shortened(rows: Sequence[Any]) -> list[Any]:
        return [*rows[:5], *([f"… {len(rows) - 5} more"] if len(rows) > 5 else [])]

    def spans(rows: Sequence[Block | NonStudyBlock | AcademySchedule]) -> list[str]:
        monday = [row for row in rows if row.weekday == 1]
        return shortened([f"{clock(r.start_minute)}-{clock(r.end_minute)}" for r in monday])

    kinds = {kind: [b for b in request.blocks if b.kind is kind] for kind in BlockKind}
    return {
        "period": {"start": str(request.period_start), "end": str(request.period_end)},
        "today": str(request.today),
        "cycle": {"study_days": request.study_days, "review_days": request.review_days},
        "blocks on a Monday": {str(kind): spans(rows) for kind, rows in kinds.items()},
        "non_study_blocks on a Monday": spans(request.non_study_blocks),
        "academy_schedules on a Monday": spans(request.academy_schedules),
        "special_days": len(request.special_days),
        "busy rows": len(request.busy),
        "kept plans": len(request.kept),
        "contents": [
            {
                "type": str(content.type),
                "allocation": str(content.allocation),
                "weekly_days": content.weekly_days,
                "range": [content.first_unit, content.last_unit],
                "minutes_per_unit": content.minutes_per_unit,
                "episodes": shortened(content.episode_minutes),
                "deadline": str(content.deadline) if content.deadline else None,
            }
            for content in request.contents
        ],
    }
