"""Terse requests, and how their schedules are read.

What a request does not say: block 10–19 and lunch 12–13 daily, factor 1.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from domain.scheduling.engine import schedule
from domain.scheduling.planning import (
    AcademySchedule,
    Block,
    Busy,
    Content,
    Exclusion,
    Factors,
    KeptPlan,
    NonStudyBlock,
    Request,
)
from domain.scheduling.schedule import Schedule, ScheduledPlan
from domain.scheduling.vocabulary import Allocation, BlockKind, ContentType, ExclusionType, PlanKind
from tests.unit.scheduling.checker import check
from tests.unit.scheduling.checking.case import clock

DAILY = tuple(range(7))
SUNDAY, MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY = DAILY
FACTOR_ONE = Factors(weakness=Decimal("1.0"))


def on(day: str) -> date:
    """``"01-06"`` is in 2025; a whole ISO date is itself."""
    return date.fromisoformat(day if len(day) == 10 else f"2025-{day}")


def at(clock: float | str) -> int:
    """Minutes of ``10``, ``13.5`` or ``"13:30"``."""
    if isinstance(clock, str):
        hours, minutes = clock.split(":")
        return int(hours) * 60 + int(minutes)
    return round(clock * 60)


def block(
    start: float | str, end: float | str, weekdays: Iterable[int] = DAILY
) -> tuple[Block, ...]:
    """Study time."""
    return tuple(Block(BlockKind.STUDY, day, at(start), at(end)) for day in weekdays)


def reserve(
    start: float | str, end: float | str, weekdays: Iterable[int] = DAILY
) -> tuple[Block, ...]:
    """Self-study time."""
    return tuple(Block(BlockKind.SELF_STUDY, day, at(start), at(end)) for day in weekdays)


def lunch(start: float = 12, end: float = 13) -> tuple[NonStudyBlock, ...]:
    """A daily meal."""
    return tuple(NonStudyBlock(day, at(start), at(end)) for day in DAILY)


def lesson(weekday: int, start: float, end: float, travel: int = 0) -> AcademySchedule:
    """A weekly class."""
    return AcademySchedule(weekday, at(start), at(end), travel)


def off(*days: str, type_: ExclusionType = ExclusionType.VACATION) -> tuple[Exclusion, ...]:
    """Exclusions."""
    return tuple(Exclusion(on(day), type_) for day in days)


def holiday(*days: str) -> tuple[Exclusion, ...]:
    """Designated holidays."""
    return off(*days, type_=ExclusionType.DESIGNATED_HOLIDAY)


def book(first: int, last: int, minutes: int | None = 6, **more: Any) -> Content:
    """A book, weakness unless ``weekly`` days a cycle are given."""
    weekly = more.pop("weekly", None)
    return Content(
        position=more.pop("position", 1),
        type=more.pop("type", ContentType.BOOK),
        allocation=Allocation.STRATEGY if weekly else Allocation.WEAKNESS,
        first_unit=first,
        last_unit=last,
        weekly_days=weekly,
        minutes_per_unit=minutes,
        **more,
    )


def custom(first: int, last: int, minutes: int, **more: Any) -> Content:
    """A custom content."""
    return book(first, last, minutes, type=ContentType.CUSTOM, **more)


def lecture(*episodes: int | None, first: int = 1, **more: Any) -> Content:
    """A lecture of episodes with these minutes."""
    last = first + len(episodes) - 1
    return book(
        first, last, None, type=ContentType.LECTURE, episode_minutes=tuple(episodes), **more
    )


def busy(day: str, start: float, end: float) -> Busy:
    """Another group's plan."""
    return Busy(on(day), at(start), at(end))


def kept(first: int, last: int, day: str, start: float, end: float, **more: Any) -> KeptPlan:
    """A kept study row of content 1."""
    return KeptPlan(
        content=more.pop("content", 1),
        kind=more.pop("kind", PlanKind.STUDY),
        date=on(day),
        start_minute=at(start),
        end_minute=at(end),
        first_unit=first,
        last_unit=last,
        **more,
    )


def ask(*contents: Content, period: str = "01-06..01-12", **more: Any) -> Request:
    """A request; ``period`` is ``"first..last"`` and today its first day unless said."""
    start, end = (on(day) for day in period.split(".."))
    today = on(more.pop("today")) if "today" in more else start
    study_days, review_days = more.pop("cycle", (6, 1))
    defaults: dict[str, Any] = {
        "blocks": block(10, 19),
        "non_study_blocks": lunch(),
        "factors": FACTOR_ONE,
    }
    return Request(
        period_start=start,
        period_end=end,
        today=today,
        contents=contents,
        study_days=study_days,
        review_days=review_days,
        **{**defaults, **more},
    )


def worked_example() -> Request:
    """The example of the specification: 28 days, a class on Wednesdays, four contents."""
    return ask(
        book(1, 200, 5, position=1),
        book(1, 150, 4, position=2, weekly=3),
        lecture(*[30] * 30, position=3, weekly=3, wrap_up_minutes=15),
        book(1, 180, 4, position=4, weekly=3),
        period="01-01..01-28",
        blocks=block(10, 19) + reserve(19, 22),
        academy_schedules=(lesson(WEDNESDAY, 14, 17, 60),),
        exclusions=off("01-15"),
        factors=Factors(),
    )


def row(day: int, start: int, end: int, first: int, last: int, **more: Any) -> ScheduledPlan:
    """A study row of content 1 on day ``day`` of the first cycle."""
    plain = ScheduledPlan(
        sequence=day,
        date=on("01-05") + timedelta(days=day),
        start_minute=start,
        end_minute=end,
        content=1,
        kind=PlanKind.STUDY,
        first_unit=first,
        last_unit=last,
        part=1,
        parts=1,
        wrap_up_minutes=0,
        reserve=False,
        week=1,
        cycle=1,
        cycle_day=day,
    )
    return replace(plain, **more)


def answer_to(request: Request) -> Schedule:
    """The schedule, once the checker has nothing against it."""
    answer = schedule(request)
    assert check(request, answer) == []
    return answer


def study(answer: Schedule, content: int = 1) -> list[ScheduledPlan]:
    """The study rows of a content."""
    return [r for r in answer.plans if r.kind is PlanKind.STUDY and r.content == content]


def reviews(answer: Schedule) -> list[ScheduledPlan]:
    """The review rows."""
    return [row for row in answer.plans if row.kind is PlanKind.REVIEW]


def ranges(rows: list[ScheduledPlan]) -> list[tuple[int, int]]:
    """Their units."""
    return [(row.first_unit, row.last_unit) for row in rows]


def hours(rows: list[ScheduledPlan]) -> list[str]:
    """Their times."""
    return [f"{clock(row.start_minute)}-{clock(row.end_minute)}" for row in rows]


def dates(rows: list[ScheduledPlan]) -> list[str]:
    """Their month and day, each once."""
    return list(dict.fromkeys(f"{row.date:%m-%d}" for row in rows))
