"""Places the reviews: the units that a cycle has studied, on the review days of the cycle.

The minutes of a review are a share of those of its study, and all reviews of a cycle are shortened
alike if they do not fit. Contents with an earlier deadline are placed first, because others can use
later days; whether all fit is decided by one sum per number of days (Hall's condition). The cost is
linear in the reviewed units and the spans of the review days, unless units have to be cut.

Ranges of units are half-open in this module, so that the functions for spans can be used for them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, groupby

from domain.scheduling.begun_reviews import (
    KeptWithin,
    begun_reviews,
    divided,
    numbered,
    without_pieces,
)
from domain.scheduling.calendar import Day, DayKind
from domain.scheduling.demand import Demand, Piece, Problem, is_complete
from domain.scheduling.layout.comfort import Comfort
from domain.scheduling.layout.review_units import Review
from domain.scheduling.layout.reviews import lay_out_reviews
from domain.scheduling.result import PlanWarning, warning
from domain.scheduling.rounding import deltas, rounded_multiples
from domain.scheduling.rows import Row, piece_of
from domain.scheduling.spans import Span, merged, without
from domain.scheduling.types import Content, KeptPlan, PlanKind, Request


def place_reviews(
    problem: Problem, rows: Sequence[Row], comfort: Comfort | None = None
) -> tuple[list[Row], list[PlanWarning]]:
    """Return the review rows of every cycle, and warnings about shortened and missing reviews.

    ``rows`` are the new study rows. Review days have no new study. Reviews start on the first
    review day of their cycle that is not in the past and continue on the next ones before the
    content's deadline. If only some pieces of the review of a unit are kept, the rest is planned. A
    group without review days has neither reviews nor warnings. With ``comfort``, the reviews are
    arranged like study, and spread over the review days of a cycle, as far as these have the room.
    """
    request, days, rooms = problem.request, problem.days, problem.rooms
    if request.review_days == 0:
        return [], []
    factor = Fraction(request.factors.review)
    review_rows: list[Row] = []
    warnings: list[PlanWarning] = []
    open_days: dict[int, list[int]] = defaultdict(list)
    for index in sorted(rooms):
        if days[index].kind is DayKind.REVIEW:
            open_days[days[index].cycle].append(index)
    if rows and problem.buffer:
        # A last cycle that has no review day is reviewed on the days that are kept free.
        last = max(days[row.day].cycle for row in rows)
        if not any(day.kind is DayKind.REVIEW and day.cycle == last for day in days):
            open_days[last] = sorted(problem.buffer)
    kept = kept_within(request)
    begun = begun_reviews(kept, problem)
    ended = list(without_pieces(kept, begun, days))
    studied_then = studied_by_cycle(ended, problem.demands, days, rows)
    for cycle, studied in sorted(studied_then.items()):
        reviews, late = timely_reviews(problem.demands, studied, open_days[cycle])
        reviews = divided(reviews, begun.get(cycle, {}))
        free = {day: rooms[day].minutes for day in open_days[cycle]}
        warnings += set_minutes(factor, cycle, reviews, free)
        # Earliest deadline first: the others can use later days.
        planned = sorted((r for r in reviews if r.minutes), key=lambda review: len(review.days))
        laid_out = lay_out_reviews(planned, open_days[cycle], rooms, comfort)
        review_rows += numbered(laid_out, begun.get(cycle, {}))
        warnings += [unreviewed(cycle, r) for r in [*reviews, *late] if not r.minutes]
    return review_rows, warnings


def timely_reviews(
    demands: Sequence[Demand],
    studied: Mapping[int, Sequence[tuple[Span, int]]],
    review_days: Sequence[int],
) -> tuple[list[Review], list[Review]]:
    """Return the ranges studied before the first review day, and the ones studied later.

    Both are in the order of placing. Ranges that were studied later cannot be reviewed.
    """
    timely: list[Review] = []
    late: list[Review] = []
    for demand in demands:
        own = [day for day in review_days if day < demand.stop]
        first = own[0] if own else -1
        before: list[Span] = []
        after: list[Span] = []
        for units, day in _within(demand.content, studied.get(demand.content.position, ())):
            (before if day < first else after).append(units)
        timely += [Review.of(demand, units, own) for units in merged(before)]
        late += [Review.of(demand, units, own) for units in merged(after)]
    return timely, late


def not_among(reviews: Sequence[Review], studied: Iterable[tuple[Span, int]]) -> list[Review]:
    """Return what the reviews have besides studied ranges, without review days."""
    ranges = merged(units for units, _ in studied)
    return [
        Review.of(one.demand, units, [])
        for one in reviews
        for units in without([one.units], ranges)
    ]


def _within(content: Content, studied: Iterable[tuple[Span, int]]) -> Iterator[tuple[Span, int]]:
    """Yield the studied ranges within the content's range.

    The content's range may have been reduced after a kept plan was generated.
    """
    for (start, end), day in studied:
        first, last = max(start, content.first_unit), min(end, content.last_unit + 1)
        if first < last:
            yield (first, last), day


def set_minutes(
    factor: Fraction, cycle: int, reviews: Sequence[Review], free: Mapping[int, int]
) -> list[PlanWarning]:
    """Set the minutes of the reviews: the review factor × study minutes.

    If the reviews need more than the ``free`` minutes of their days, all are reduced in the same
    proportion, and a warning is returned, unless there are no free minutes: each range is then
    reported as unreviewed. Cumulative sums are rounded, so that the minutes of a content, and of
    all reduced reviews, have only one rounding error.
    """
    ordered = sorted(reviews, key=lambda review: (review.content, review.units))
    for _, group in groupby(ordered, key=lambda review: review.content):
        own = list(group)
        costs = rounded_multiples(accumulate(review.study for review in own), factor)
        for review, minutes in zip(own, deltas(costs), strict=True):
            # The kept pieces of a review are not all of it, even if the sum is rounded down.
            review.minutes = max(minutes - review.kept, min(review.kept, 1))
    ordered.sort(key=lambda review: len(review.days))
    proportion, need, held = _fullest(ordered, free)
    if proportion >= 1:
        return []
    given = rounded_multiples(accumulate(review.minutes for review in ordered), proportion)
    for review, minutes in zip(ordered, deltas(given), strict=True):
        review.minutes = minutes
    return [warning("review_shrunk", cycle=cycle, need=need, free=held)] if held else []


def _fullest(reviews: Sequence[Review], free: Mapping[int, int]) -> tuple[Fraction, int, int]:
    """Return the least proportion of free to needed minutes, and both numbers of minutes.

    The days of a review are the first ones of the cycle, so by Hall's theorem all reviews fit if
    for each number of days those with at most so many days fit into them.
    """
    fullest = Fraction(1), 0, 0
    for count in {len(review.days): None for review in reviews}:
        members = [review for review in reviews if len(review.days) <= count]
        need = sum(review.minutes for review in members)
        held = sum(free[day] for day in members[-1].days)
        if need > held and Fraction(held, need) < fullest[0]:
            fullest = Fraction(held, need), need, held
    return fullest


def unreviewed(cycle: int, review: Review) -> PlanWarning:
    return warning(
        "unreviewed",
        cycle=cycle,
        content=review.content,
        first_unit=review.units[0],
        last_unit=review.units[1] - 1,
    )


Studied = dict[int, dict[int, list[tuple[Span, int]]]]
"""Cycle → content → half-open ranges of units, each with the day on which it is studied."""


def kept_within(request: Request) -> list[KeptWithin]:
    """Return all kept plans of a request with their days."""
    start, last = request.period_start, (request.period_end - request.period_start).days
    return [(plan, min(max((plan.date - start).days, 0), last)) for plan in request.kept]


def studied_by_cycle(
    kept: Sequence[KeptWithin], demands: Iterable[Demand], days: Sequence[Day], rows: Iterable[Row]
) -> Studied:
    """Return the studied ranges by the cycle of their day.

    A unit in pieces belongs to the cycle of its last piece; one of which a piece is unplaced is not
    studied. Ranges that a kept review of the same cycle covers are omitted.
    """
    whole: dict[int, list[tuple[Span, int]]] = defaultdict(list)
    pieces: dict[tuple[int, int], dict[int, tuple[Piece, int]]] = defaultdict(dict)

    def add(plan: Row | KeptPlan, last_unit: int, day: int) -> None:
        if plan.parts == 1:
            whole[plan.content].append(((plan.first_unit, last_unit + 1), day))
        else:
            pieces[plan.content, plan.first_unit][plan.part] = piece_of(plan), day

    for row in rows:
        add(row, row.last_unit, row.day)
    for plan, day in kept:
        if plan.kind is PlanKind.STUDY:
            add(plan, plan.last_kept_unit, day)
    by_position = {demand.content.position: demand for demand in demands} if pieces else {}
    for (content, unit), own in pieces.items():
        known = {number: piece for number, (piece, _) in own.items()}
        if content in by_position and is_complete(known, by_position[content].unit_minutes(unit)):
            whole[content].append(((unit, unit + 1), max(day for _, day in own.values())))
    cycles: Studied = defaultdict(lambda: defaultdict(list))
    for content, ranges in whole.items():
        for units, day in ranges:
            cycles[days[day].cycle][content].append((units, day))
    _leave_out_reviewed(cycles, kept, days)
    return cycles


def _leave_out_reviewed(cycles: Studied, kept: Iterable[KeptWithin], days: Sequence[Day]) -> None:
    reviewed: Mapping[tuple[int, int], list[Span]] = defaultdict(list)
    for plan, day in kept:
        if plan.kind is PlanKind.REVIEW:
            units = plan.first_unit, plan.last_kept_unit + 1
            reviewed[days[day].cycle, plan.content].append(units)
    for (cycle, content), spans in reviewed.items():
        ranges = merged(spans)
        cycles[cycle][content] = [
            (rest, day)
            for units, day in cycles[cycle][content]
            for rest in without([units], ranges)
        ]
