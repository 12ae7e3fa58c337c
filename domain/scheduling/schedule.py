"""The computation of a schedule, for both generation and preview, step by step.

The problem (``demand``), the distribution of units over days (``distribution``), the rows of each
day (``layout``), the reviews (``review``), what is unplaced and why (``explanation``), and how good
the result is (``quality``).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from domain.errors import (
    DayReason,
    DayWithoutPlan,
    InvalidInputError,
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NothingPlacedError,
)
from domain.scheduling.calendar import Day, DayKind
from domain.scheduling.demand import Demand, Problem, problem_of, wrapped_up
from domain.scheduling.distribution.deal import Distribution, target_minutes
from domain.scheduling.distribution.strategies import distribute
from domain.scheduling.explanation import certificate, repairs, unplaced_ranges
from domain.scheduling.layout.comfort import comfort_of
from domain.scheduling.layout.study import lay_out
from domain.scheduling.minutes import UNKNOWN_EPISODE_MINUTES
from domain.scheduling.quality import quality
from domain.scheduling.result import PlanWarning, Schedule, ScheduledPlan, warning
from domain.scheduling.review import place_reviews
from domain.scheduling.rows import Row
from domain.scheduling.spans import merged, total
from domain.scheduling.types import ContentType, Request
from domain.scheduling.validation import field_errors

ENGINE_VERSION: Final = "1"
"""Increased when the same request may give another schedule; stored with each generation."""

_WEEKDAYS: Final = "월화수목금토일"
_WEEKDAYS_EN: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def schedule(request: Request) -> Schedule:
    """Plan the remaining units of every content from ``request.today`` on.

    The function is pure and deterministic: equal requests give equal schedules, whatever the order
    of their rows. A full calendar is not an error: ``unplaced`` has the units that do not fit.

    Raises ``InvalidInputError`` (with every error), ``NoContentsError``, ``NoBlocksError``,
    ``NoStudyDaysError`` and ``NothingPlacedError``.
    """
    check(request)
    problem = problem_of(request)
    distribution = distribute(problem)
    problem, deals = distribution.problem, distribution.deals
    comfort = comfort_of(request)
    study, shrunk_wrap_ups = lay_out(deals, problem.rooms, comfort, wrapped_up(request))
    if not study and any(demand.units for demand in problem.demands):
        raise _nothing_placed(problem)
    reviews, review_warnings = place_reviews(problem, study, comfort)
    placed = [deal.placed for deal in deals]
    unplaced = unplaced_ranges(problem, placed)
    # If all units are placed in study time, no time is short, whatever the even deal would need.
    is_short = bool(unplaced) or any(row.reserve for row in study)
    return Schedule(
        plans=_plans(problem.days, [*study, *reviews]),
        unplaced=unplaced,
        certificate=certificate(problem) if unplaced else None,
        repairs=repairs(_as_stored(distribution), unplaced) if unplaced else (),
        warnings=(
            *_input_warnings(request, problem.demands),
            *(_shortages(problem) if is_short else ()),
            *(one.warning(problem.days[one.day].date.isoformat()) for one in shrunk_wrap_ups),
            *review_warnings,
        ),
        quality=quality(problem, placed, study, distribution.minimums),
        day_shifts=distribution.day_shifts,
    )


def _as_stored(distribution: Distribution) -> Problem:
    """Return the problem of the next generation, which keeps the day shifts of this one."""
    problem, shifts = distribution.problem, distribution.day_shifts
    if not shifts:
        return problem
    request = problem.request.with_day_shifts(shifts)
    contents = {content.position: content for content in request.contents}
    demands = [
        replace(demand, content=contents[demand.content.position]) for demand in problem.demands
    ]
    return replace(problem, request=request, demands=demands)


def check(request: Request) -> None:
    """Raise the errors of a request that cannot be planned."""
    if found := field_errors(request):
        raise InvalidInputError(found)
    if not request.contents:
        raise NoContentsError
    if not request.blocks and not any(day.study or day.self_study for day in request.special_days):
        raise NoBlocksError


def _plans(days: Sequence[Day], rows: Sequence[Row]) -> tuple[ScheduledPlan, ...]:
    return tuple(
        ScheduledPlan(sequence, day.date, *row[1:], day.week, day.cycle, day.cycle_day)
        for sequence, row in enumerate(sorted(rows), 1)
        for day in (days[row.day],)
    )


def _input_warnings(request: Request, demands: Sequence[Demand]) -> Iterator[PlanWarning]:
    length = (request.period_end - request.period_start).days + 1
    if length > 366:
        yield warning("long_period", days=length)
    if len(request.contents) > 6:
        yield warning("many_contents", count=len(request.contents))
    for content in sorted(request.contents, key=lambda content: content.position):
        if content.type is ContentType.LECTURE:
            unknown = [
                content.first_unit + i for i, m in enumerate(content.episode_minutes) if m is None
            ]
            for first, after in merged((unit, unit + 1) for unit in unknown):
                yield warning(
                    "assumed_minutes",
                    content=content.position,
                    first_unit=first,
                    last_unit=after - 1,
                    minutes=UNKNOWN_EPISODE_MINUTES,
                )
    if not any(demand.units for demand in demands):
        yield warning("nothing_left")


def _shortages(problem: Problem) -> Iterator[PlanWarning]:
    """Yield a warning for each study day to which the even deal gives more than its study time."""
    dealt: Mapping[int, list[int]] = defaultdict(list)
    for demand in problem.demands:
        for index, minutes in target_minutes(demand).items():
            dealt[index].append(minutes)
    for index in sorted(dealt):
        day, free = problem.days[index], total(problem.rooms[index].study)
        if sum(dealt[index]) > free:
            yield warning(
                "shortage",
                week=day.week,
                weekday=_WEEKDAYS[day.date.weekday()],
                weekday_en=_WEEKDAYS_EN[day.date.weekday()],
                date=day.date.isoformat(),
                need=sum(dealt[index]),
                free=free,
            )


def _nothing_placed(problem: Problem) -> NoStudyDaysError | NothingPlacedError:
    left = problem.days[problem.first_day :]
    if all(day.kind is DayKind.EXCLUDED for day in left):
        return NoStudyDaysError()
    reasons: dict[DayKind, DayReason] = {
        DayKind.EXCLUDED: "excluded",
        DayKind.NO_TIME: "no_study_time",
    }
    return NothingPlacedError(
        days=tuple(
            DayWithoutPlan(
                day.date,
                reasons.get(day.kind) or ("unused" if problem.rooms[index].minutes else "full"),
            )
            for index, day in enumerate(left, problem.first_day)
        )
    )
