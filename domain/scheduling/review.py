"""Places the reviews: the units that a cycle has studied, on the review days of the cycle.

Ranges of units are half-open in this module, so that the functions for spans can be used for them.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise

from domain.scheduling.calendar import Day, DayKind
from domain.scheduling.demand import Demand
from domain.scheduling.minutes import deltas, rounded_multiples
from domain.scheduling.packing import Room, Run, fewest_cuts, pack, reach
from domain.scheduling.placement import Row
from domain.scheduling.planning import Content, Request
from domain.scheduling.spans import Span, merged, total
from domain.scheduling.studied import studied_by_cycle
from domain.scheduling.vocabulary import PlanKind
from domain.scheduling.warnings import PlanWarning, warning


@dataclass(slots=True)
class _Review:
    """A contiguous range that a cycle has studied, with the minutes of its study and its review."""

    demand: Demand
    units: Span
    study: int
    minutes: int = 0

    @property
    def content(self) -> int:
        return self.demand.content.position


def place_reviews(
    request: Request,
    days: Sequence[Day],
    demands: Sequence[Demand],
    rows: Iterable[Row],
    rooms: Mapping[int, Room],
) -> tuple[list[Row], list[PlanWarning]]:
    """Return the review rows of every cycle, and warnings about shortened and missing reviews.

    ``rows`` are the new study rows. ``rooms`` has the free time by day; the time of the reviews is
    removed from it. Review days have no new study. Reviews start on the first review day of their
    cycle that is not in the past and continue on the next ones. A group without review days has
    neither reviews nor warnings.
    """
    if request.review_days == 0:
        return [], []
    review_rows: list[Row] = []
    warnings: list[PlanWarning] = []
    open_days: dict[int, list[int]] = defaultdict(list)
    for index in sorted(rooms):
        if days[index].kind is DayKind.REVIEW:
            open_days[days[index].cycle].append(index)
    for cycle, studied in sorted(studied_by_cycle(request, days, rows).items()):
        own = open_days[cycle]
        reviews, late = _reviews(demands, studied, own)
        warnings += _set_minutes(request, cycle, reviews, sum(_held(rooms[day]) for day in own))
        for review in reviews:
            if review.minutes:
                review_rows += _place(review, {day: rooms[day] for day in own})
        warnings += [_unreviewed(cycle, r) for r in [*reviews, *late] if not r.minutes]
    return review_rows, warnings


def _reviews(
    demands: Sequence[Demand],
    studied: Mapping[int, Sequence[tuple[Span, int]]],
    review_days: Sequence[int],
) -> tuple[list[_Review], list[_Review]]:
    """Return the ranges studied before the first review day, and the ones studied later.

    Both are in the order of placing. Ranges that were studied later cannot be reviewed.
    """
    timely: list[_Review] = []
    late: list[_Review] = []
    for demand in demands:
        found = list(_within(demand.content, studied.get(demand.content.position, ())))
        before = [span for span, day in found if review_days and day < review_days[0]]
        after = [span for span, day in found if not review_days or day >= review_days[0]]
        timely += [_review(demand, units) for units in merged(before)]
        late += [_review(demand, units) for units in merged(after)]
    return timely, late


def _within(content: Content, studied: Iterable[tuple[Span, int]]) -> Iterator[tuple[Span, int]]:
    """Yield the studied ranges within the content's range.

    The content's range may have been reduced after a kept plan was generated.
    """
    for (start, end), day in studied:
        first, last = max(start, content.first_unit), min(end, content.last_unit + 1)
        if first < last:
            yield (first, last), day


def _review(demand: Demand, units: Span) -> _Review:
    first = demand.content.first_unit
    return _Review(demand, units, sum(demand.minutes[units[0] - first : units[1] - first]))


def _set_minutes(
    request: Request, cycle: int, reviews: Sequence[_Review], free: int
) -> list[PlanWarning]:
    """Set the minutes of the reviews: review factor × study minutes.

    If the reviews need more than the ``free`` minutes, all are reduced in proportion, and a warning
    is returned, unless there are no free minutes: each range is then reported as unreviewed.
    Cumulative sums are rounded, so that the minutes of a content, and of all reduced reviews, have
    only one rounding error.
    """
    ordered = sorted(reviews, key=lambda review: (review.content, review.units))
    factor = Fraction(request.factors.review)
    for content in dict.fromkeys(review.content for review in ordered):
        own = [review for review in ordered if review.content == content]
        costs = rounded_multiples(accumulate(review.study for review in own), factor)
        for review, minutes in zip(own, deltas(costs), strict=True):
            review.minutes = minutes
    need = sum(review.minutes for review in ordered)
    if need <= free:
        return []
    given = rounded_multiples(
        accumulate(review.minutes for review in ordered), Fraction(free, need)
    )
    for review, minutes in zip(ordered, deltas(given), strict=True):
        review.minutes = minutes
    return [warning("review_shrunk", cycle=cycle, need=need, free=free)] if free else []


def _place(review: _Review, rooms: Mapping[int, Room]) -> Iterator[Row]:
    """Yield the rows of a review, and remove their time from the rooms.

    Units are only cut if they do not fit uncut.
    """
    items, prefix = _items(review)
    placed = _pack_over_days(prefix, rooms)
    pieces = [1] * len(items)
    if placed is None:
        lengths = [length for room in rooms.values() for length in room.lengths()]
        cuts = fewest_cuts(prefix, lengths)
        if cuts is None:
            raise AssertionError("reviews are shrunk to what their days hold")
        whole, prefix = prefix, sorted({*prefix, *cuts})
        origin = [bisect_left(whole, end) - 1 for end in prefix[1:]]
        items, pieces = [items[i] for i in origin], [origin.count(i) for i in origin]
        placed = _pack_over_days(prefix, rooms)
    if placed is None:
        raise AssertionError("pieces must fit into the spans for which they were cut")
    placed_pieces = 0
    for day, run in placed:
        rooms[day].take([run])
        for first, last in _stretches(run, pieces):
            split = pieces[first] > 1
            placed_pieces = placed_pieces % pieces[first] + 1 if split else 0
            start = run.start + prefix[first] - prefix[run.first]
            yield Row(
                day,
                start,
                start + prefix[last] - prefix[first],
                review.content,
                PlanKind.REVIEW,
                items[first][0],
                items[last - 1][1] - 1,
                placed_pieces if split else 1,
                pieces[first],
                0,
                run.reserve,
            )


def _items(review: _Review) -> tuple[list[Span], list[int]]:
    """Return the items of a review, as ranges of units, and their cumulative minutes.

    A unit whose review has 0 minutes belongs to the item before it.
    """
    first = review.demand.content.first_unit
    start, end = review.units
    study = review.demand.minutes[start - first : end - first]
    after = rounded_multiples(accumulate(study), Fraction(review.minutes, review.study))
    bounds = [start]
    prefix = [0]
    for unit, minutes in enumerate(after, start):
        if minutes > prefix[-1]:
            prefix.append(minutes)
            bounds.append(unit + 1)
        elif len(bounds) > 1:
            bounds[-1] = unit + 1
    return list(pairwise(bounds)), prefix


def _pack_over_days(
    prefix: Sequence[int], rooms: Mapping[int, Room]
) -> list[tuple[int, Run]] | None:
    """Return runs with as many items as fit on each day, or ``None`` if items remain."""
    placed: list[tuple[int, Run]] = []
    first = 0
    for day, room in rooms.items():
        last = reach(prefix, first, room.lengths())
        if last > first:
            placed += [(day, run) for run in pack(prefix, first, last, room) or ()]
            first = last
    return placed if first == len(prefix) - 1 else None


def _stretches(run: Run, pieces: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the item ranges of a run's rows: consecutive whole items, and each piece separately."""
    first = run.first
    while first < run.last:
        last = first + 1
        while last < run.last and pieces[first] == 1 and pieces[last] == 1:
            last += 1
        yield first, last
        first = last


def _held(room: Room) -> int:
    return total(room.study) + total(room.reserve)


def _unreviewed(cycle: int, review: _Review) -> PlanWarning:
    return warning(
        "unreviewed",
        cycle=cycle,
        content=review.content,
        first_unit=review.units[0],
        last_unit=review.units[1] - 1,
    )
