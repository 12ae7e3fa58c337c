"""Functions that build requests with few arguments, and that read schedules.

The defaults of a request are a block 10–19 and lunch 12–13 on every day, and factor 1.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from domain.scheduling.result import Schedule, ScheduledPlan
from domain.scheduling.schedule import schedule
from domain.scheduling.types import (
    AcademySchedule,
    Allocation,
    Block,
    BlockKind,
    Busy,
    Content,
    ContentType,
    Exclusion,
    ExclusionType,
    Factors,
    KeptPlan,
    NonStudyBlock,
    PlanKind,
    Request,
    Strategy,
)
from tests.unit.scheduling.checker import check
from tests.unit.scheduling.checking.case import clock

DAILY = tuple(range(7))
SUNDAY, MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY = DAILY
FACTOR_ONE = Factors(weakness=Decimal("1.0"))


def on(day: str) -> date:
    """Return the date of ``"01-06"``, which is in 2025, or of a complete ISO date."""
    return date.fromisoformat(day if len(day) == 10 else f"2025-{day}")


def at(clock: float | str) -> int:
    """Return the minute of the day of ``10``, ``13.5`` or ``"13:30"``."""
    if isinstance(clock, str):
        hours, minutes = clock.split(":")
        return int(hours) * 60 + int(minutes)
    return round(clock * 60)


def block(
    start: float | str, end: float | str, weekdays: Iterable[int] = DAILY
) -> tuple[Block, ...]:
    """Return blocks of study time."""
    return tuple(Block(BlockKind.STUDY, day, at(start), at(end)) for day in weekdays)


def reserve(
    start: float | str, end: float | str, weekdays: Iterable[int] = DAILY
) -> tuple[Block, ...]:
    """Return blocks of self-study time, which are the reserve."""
    return tuple(Block(BlockKind.SELF_STUDY, day, at(start), at(end)) for day in weekdays)


def lunch(start: float = 12, end: float = 13) -> tuple[NonStudyBlock, ...]:
    """Return a daily meal."""
    return tuple(NonStudyBlock(day, at(start), at(end)) for day in DAILY)


def lesson(weekday: int, start: float, end: float, travel: int = 0) -> AcademySchedule:
    """Return a weekly class with its travel minutes each way."""
    return AcademySchedule(weekday, at(start), at(end), travel)


def off(*days: str, type_: ExclusionType = ExclusionType.VACATION) -> tuple[Exclusion, ...]:
    """Return exclusions, by default vacations."""
    return tuple(Exclusion(on(day), type_) for day in days)


def holiday(*days: str) -> tuple[Exclusion, ...]:
    """Return designated holidays."""
    return off(*days, type_=ExclusionType.DESIGNATED_HOLIDAY)


def book(first: int, last: int, minutes: int | None = 6, **options: Any) -> Content:
    """Return a book: a strategy of ``weekly`` days per cycle, or a weakness by default."""
    weekly = options.pop("weekly", None)
    return Content(
        position=options.pop("position", 1),
        type=options.pop("type", ContentType.BOOK),
        allocation=Allocation.STRATEGY if weekly else Allocation.WEAKNESS,
        first_unit=first,
        last_unit=last,
        weekly_days=weekly,
        minutes_per_unit=minutes,
        **options,
    )


def custom(first: int, last: int, minutes: int, **options: Any) -> Content:
    """Return a custom content."""
    return book(first, last, minutes, type=ContentType.CUSTOM, **options)


def lecture(*episodes: int | None, first: int = 1, **options: Any) -> Content:
    """Return a lecture whose episodes have these minutes, ``None`` if unknown."""
    last = first + len(episodes) - 1
    return book(
        first, last, None, type=ContentType.LECTURE, episode_minutes=tuple(episodes), **options
    )


def busy(day: str, start: float, end: float) -> Busy:
    """Return a plan of another group."""
    return Busy(on(day), at(start), at(end))


def kept(first: int, last: int, day: str, start: float, end: float, **options: Any) -> KeptPlan:
    """Return a kept plan, by default a study plan of content 1."""
    return KeptPlan(
        content=options.pop("content", 1),
        kind=options.pop("kind", PlanKind.STUDY),
        date=on(day),
        start_minute=at(start),
        end_minute=at(end),
        first_unit=first,
        last_unit=last,
        **options,
    )


def make_request(*contents: Content, period: str = "01-06..01-12", **options: Any) -> Request:
    """Return a request; ``period`` is ``"first..last"``, and today is its first day by default."""
    start, end = (on(day) for day in period.split(".."))
    today = on(options.pop("today")) if "today" in options else start
    study_days, review_days = options.pop("cycle", (6, 1))
    defaults: dict[str, Any] = {
        "blocks": block(10, 19),
        "non_study_blocks": lunch(),
        "factors": FACTOR_ONE,
    }
    return Request(
        strategy=Strategy.EVEN,
        period_start=start,
        period_end=end,
        today=today,
        contents=contents,
        study_days=study_days,
        review_days=review_days,
        **{**defaults, **options},
    )


def worked_example() -> Request:
    """Return the example of the specification: 28 days, four contents, a class on Wednesdays."""
    return make_request(
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


def row(day: int, start: int, end: int, first: int, last: int, **options: Any) -> ScheduledPlan:
    """Return a row, by default a study row of content 1, on day ``day`` of the first cycle."""
    default = ScheduledPlan(
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
    return replace(default, **options)


def checked_schedule(request: Request) -> Schedule:
    """Return the schedule of a request after the checker has found no violation."""
    result = schedule(request)
    assert not (found := check(request, result)), found
    return result


def study(result: Schedule, content: int = 1) -> list[ScheduledPlan]:
    """Return the study rows of a content."""
    return [r for r in result.plans if r.kind is PlanKind.STUDY and r.content == content]


def reviews(result: Schedule) -> list[ScheduledPlan]:
    """Return the review rows."""
    return [row for row in result.plans if row.kind is PlanKind.REVIEW]


def ranges(rows: list[ScheduledPlan]) -> list[tuple[int, int]]:
    """Return the unit ranges of the rows."""
    return [(row.first_unit, row.last_unit) for row in rows]


def hours(rows: list[ScheduledPlan]) -> list[str]:
    """Return the times of the rows."""
    return [f"{clock(row.start_minute)}-{clock(row.end_minute)}" for row in rows]


def dates(rows: list[ScheduledPlan]) -> list[str]:
    """Return the distinct dates of the rows as month and day."""
    return list(dict.fromkeys(f"{row.date:%m-%d}" for row in rows))
