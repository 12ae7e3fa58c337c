"""Hypothesis strategies for requests: loose, tight, overfull, already started, unusual.

Every request is well-formed, so the result must be a schedule or one of the documented errors.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from domain.scheduling.types import (
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
STEPS = st.sampled_from([1, 5, 10, 30])
DATES = st.dates(date(2024, 2, 20), date(2025, 3, 5))


@st.composite
def factors(draw: st.DrawFn) -> Factors:
    """Common and unusual factors."""
    return Factors(
        level=Decimal(draw(st.sampled_from(["1.0", "0.85", "1.2"]))),
        weakness=Decimal(draw(st.sampled_from(["1.2", "1.0", "1.15"]))),
        strategy=Decimal(draw(st.sampled_from(["1.0", "0.95", "1.1"]))),
        review=Decimal(draw(st.sampled_from(["0.4", "0.4", "0.15", "1.0"]))),
    )


@st.composite
def clock_spans(draw: st.DrawFn, min_minutes: int = 10, max_minutes: int = 600) -> tuple[int, int]:
    """A span of a day, on a grid, so that spans often touch."""
    step = draw(STEPS)
    start = draw(st.integers(0, (1440 - min_minutes) // step)) * step
    return start, min(start + draw(st.integers(min_minutes, max_minutes)), 1440)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Block, ...]:
    """Blocks on all or some weekdays; some are early, some overlap, some touch.

    One group in eight has self-study only.
    """
    rows: list[Block] = []
    self_study_only = draw(st.integers(0, 7)) == 7
    counts = [(BlockKind.STUDY, 1, 3), (BlockKind.SELF_STUDY, 0, 2)]
    for kind, min_count, max_count in [(BlockKind.SELF_STUDY, 1, 3)] if self_study_only else counts:
        for start, end in draw(st.lists(clock_spans(), min_size=min_count, max_size=max_count)):
            weekdays = draw(st.sampled_from([tuple(WEEK), (1, 2, 3, 4, 5), (0, 3, 6)]))
            rows += [Block(kind, weekday, start, end) for weekday in weekdays]
    return tuple(rows)


@st.composite
def classes(draw: st.DrawFn) -> tuple[AcademySchedule, ...]:
    """At most one class per weekday, so that none overlap."""
    weekdays = draw(st.lists(st.sampled_from(WEEK), unique=True, max_size=3))
    return tuple(
        AcademySchedule(weekday, *draw(clock_spans(30, 180)), draw(st.sampled_from([0, 30, 60])))
        for weekday in weekdays
    )


@st.composite
def exclusions(draw: st.DrawFn, start: date, days: int) -> tuple[Exclusion, ...]:
    """Exclusions of all types; some have the same date, some are outside the period."""
    types = st.sampled_from([*ExclusionType, ExclusionType.DESIGNATED_HOLIDAY])
    rows = st.tuples(st.integers(-1, days), types)
    found = draw(st.lists(rows, max_size=max(1, days // 3)))
    return tuple(Exclusion(start + timedelta(days=offset), type_) for offset, type_ in found)


@st.composite
def special_days(draw: st.DrawFn, start: date, days: int) -> tuple[SpecialDay, ...]:
    """Special days with any spans, some without any, on distinct dates of the period."""
    offsets = draw(st.lists(st.integers(0, days - 1), unique=True, max_size=3))
    some = st.lists(clock_spans(), max_size=2).map(tuple)
    return tuple(SpecialDay(start + timedelta(days=i), draw(some), draw(some)) for i in offsets)


def deadlines(start: date, days: int) -> st.SearchStrategy[date | None]:
    """No deadline, or one from the first day of the period to some days after its last one."""
    offsets = st.one_of(st.integers(days // 2, days + 2), st.integers(0, days))
    return st.one_of(st.none(), st.none(), offsets.map(lambda i: start + timedelta(days=i)))


@st.composite
def with_deadlines(draw: st.DrawFn, request: Request) -> Request:
    """The same request with deadlines of some contents, and perhaps a target date."""
    days = (request.period_end - request.period_start).days + 1
    dates = deadlines(request.period_start, days)
    rows = tuple(replace(content, deadline=draw(dates)) for content in request.contents)
    return replace(request, contents=rows, target_date=draw(dates))


@st.composite
def contents(draw: st.DrawFn, position: int, max_units: int = 60) -> Content:
    """A content of any type; its units have at least one minute after all factors."""
    weak = draw(st.booleans())
    type_ = draw(st.sampled_from([ContentType.BOOK, *ContentType]))
    first = draw(st.integers(1, 40))
    count = draw(st.integers(1, max_units if type_ is not ContentType.LECTURE else 20))
    minutes = st.one_of(st.integers(2, 12), st.integers(2, 120))
    given = type_ is ContentType.CUSTOM or (type_ is ContentType.BOOK and draw(st.booleans()))
    episodes = st.lists(st.one_of(st.none(), minutes), min_size=count, max_size=count)
    return Content(
        position=position,
        type=type_,
        allocation=Allocation.WEAKNESS if weak else Allocation.STRATEGY,
        first_unit=first,
        last_unit=first + count - 1,
        weekly_days=None if weak else draw(st.sampled_from([2, 3, 4])),
        minutes_per_unit=draw(minutes) if given else None,
        difficulty=draw(st.sampled_from([None, *Difficulty]))
        if type_ is ContentType.BOOK and not given
        else None,
        episode_minutes=tuple(draw(episodes)) if type_ is ContentType.LECTURE else (),
        wrap_up_minutes=draw(st.sampled_from([0, 0, 5, 15])),
    )


@st.composite
def content_lists(draw: st.DrawFn, max_count: int = 5, max_units: int = 60) -> tuple[Content, ...]:
    """Contents whose positions are unique, but neither consecutive nor in order."""
    positions = draw(st.lists(st.integers(1, 20), unique=True, min_size=1, max_size=max_count))
    return tuple(draw(contents(position, max_units)) for position in positions)


@st.composite
def busy_rows(draw: st.DrawFn, start: date, days: int) -> tuple[Busy, ...]:
    """Plans of other groups."""
    rows = draw(st.lists(st.tuples(st.integers(0, days - 1), clock_spans(10, 240)), max_size=4))
    return tuple(Busy(start + timedelta(days=offset), *span) for offset, span in rows)


@st.composite
def any_requests(draw: st.DrawFn) -> Request:
    """Any well-formed request without kept plans."""
    start, days = draw(DATES), draw(st.integers(1, 45))
    today = draw(st.sampled_from([0, 0, 0, 0, -3, days // 4, days // 3, days // 2, days - 1, days]))
    meals = draw(st.lists(clock_spans(30, 90), max_size=2))
    request = Request(
        strategy=Strategy.EVEN,
        period_start=start,
        period_end=start + timedelta(days=days - 1),
        today=start + timedelta(days=today),
        contents=draw(content_lists()),
        blocks=draw(blocks()),
        study_days=draw(st.integers(1, 6)),
        review_days=draw(st.integers(0, 2)),
        factors=draw(factors()),
        self_study_on_holidays=draw(st.booleans()),
        non_study_blocks=tuple(
            NonStudyBlock(weekday, *meal)
            for meal in meals
            for weekday in draw(st.sampled_from([WEEK, [1, 3, 5]]))
        ),
        academy_schedules=draw(classes()),
        exclusions=draw(exclusions(start, days)),
        special_days=draw(st.one_of(st.just(()), special_days(start, days))),
        busy=draw(busy_rows(start, days)),
    )
    return draw(st.one_of(st.just(request), with_deadlines(request)))


@st.composite
def loose_requests(draw: st.DrawFn) -> Request:
    """Requests with long days and small contents, so that the even deal should fit."""
    request = draw(any_requests())
    wide = tuple(Block(BlockKind.STUDY, weekday, 8 * 60, 24 * 60) for weekday in WEEK)
    few = draw(content_lists(max_count=3, max_units=40))
    return replace(
        request,
        blocks=wide,
        contents=few,
        today=request.period_start,
        academy_schedules=(),
        non_study_blocks=request.non_study_blocks[:7],
        busy=request.busy[:1],
        special_days=(),
    )


@st.composite
def tight_requests(draw: st.DrawFn) -> Request:
    """Requests with few minutes per day, and with contents reduced to about what fits."""
    start, days = draw(DATES), draw(st.integers(1, 12))
    short = st.tuples(st.sampled_from([480, 500, 600, 720]), st.integers(1, 70))
    spans = {weekday: draw(st.lists(short, min_size=1, max_size=2)) for weekday in WEEK}
    kinds = st.sampled_from([BlockKind.STUDY, BlockKind.STUDY, BlockKind.SELF_STUDY])
    hours = [
        Block(draw(kinds), weekday, begin, begin + length)
        for weekday, some in spans.items()
        for begin, length in some
    ]
    request = Request(
        strategy=Strategy.EVEN,
        period_start=start,
        period_end=start + timedelta(days=days - 1),
        today=start + timedelta(days=draw(st.sampled_from([0, 0, 0, days // 2]))),
        contents=draw(content_lists(max_count=4, max_units=12)),
        blocks=tuple(hours),
        study_days=draw(st.integers(1, 6)),
        review_days=draw(st.integers(0, 2)),
        factors=draw(factors()),
        self_study_on_holidays=draw(st.booleans()),
        exclusions=draw(exclusions(start, days)),
    )
    request = draw(st.one_of(st.just(request), with_deadlines(request)))
    return _cut_to_fit(request, draw(st.sampled_from([0.5, 0.8, 0.95, 1.0, 1.0, 1.1, 1.5])))


def _cut_to_fit(request: Request, fraction: float) -> Request:
    world = World(request)
    cut: list[Content] = []
    for content in request.contents:
        room = sum(world.room(day) for day in world.open_days(content))
        wanted = fraction * room / len(request.contents)
        costs = Amounts(content, request).minutes
        last = content.first_unit
        while last < content.last_unit and sum(_costs_through(costs, last + 1)) <= wanted:
            last += 1
        episodes = content.episode_minutes[: last - content.first_unit + 1]
        cut.append(replace(content, last_unit=last, episode_minutes=episodes))
    return replace(request, contents=tuple(cut))


def _costs_through(costs: dict[int, int], last: int) -> Sequence[int]:
    return [minutes for unit, minutes in costs.items() if unit <= last]


def _settings(pauses: Sequence[int]) -> dict[str, st.SearchStrategy[Any]]:
    """The settings of the strategy ``balanced`` and their values; the usual ones are the first."""
    return {
        "balance": st.sampled_from(Balance),
        "shortest_session": st.sampled_from([15, 15, 0, 1, 30, 60, 240]),
        "longest_sitting": st.sampled_from([100, 100, 10, 25, 50, 1440]),
        "pause_minutes": st.sampled_from(pauses),
        "buffer_days": st.sampled_from([0, 0, 1, 3, 40]),
    }


@st.composite
def balanced_requests(
    draw: st.DrawFn,
    base: st.SearchStrategy[Request],
    pauses: Sequence[int] = (10, 10, 0, 1, 13, 60),
) -> Request:
    """Requests under the strategy ``balanced``, with any settings of it."""
    options = {name: draw(values) for name, values in _settings(pauses).items()}
    return replace(draw(base), strategy=Strategy.BALANCED, **options)


@st.composite
def shuffled(draw: st.DrawFn, request: Request) -> Request:
    """The same request with its rows in another order."""
    return replace(
        request,
        contents=tuple(draw(st.permutations(request.contents))),
        blocks=tuple(draw(st.permutations(request.blocks))),
        non_study_blocks=tuple(draw(st.permutations(request.non_study_blocks))),
        academy_schedules=tuple(draw(st.permutations(request.academy_schedules))),
        exclusions=tuple(draw(st.permutations(request.exclusions))),
        special_days=tuple(draw(st.permutations(request.special_days))),
        busy=tuple(draw(st.permutations(request.busy))),
        kept=tuple(draw(st.permutations(request.kept))),
    )
