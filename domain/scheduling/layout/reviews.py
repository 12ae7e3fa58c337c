"""Lays out the reviews of a cycle: rows with start and stop on its review days.

Reviews are packed one after another into the first free minutes. With comfort, they are spread over
the review days, the longest one first onto the day of which the largest share is free then, and the
sessions of each day are arranged like study. Units are cut only if they do not fit uncut. The cost
is linear in the reviewed units and the spans of the review days, unless units have to be cut.

Ranges of units are half-open in this module, so that the functions for spans can be used for them.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from operator import itemgetter
from typing import Final

from domain.scheduling.demand import placing_order
from domain.scheduling.layout.arrangement import arrange, loosened
from domain.scheduling.layout.comfort import Comfort
from domain.scheduling.layout.day_sessions import SHORTEST_REVIEW, FreeSpan, Session
from domain.scheduling.layout.review_units import (
    Review,
    cut_items,
    items_of,
    pack_over_days,
    ranges_of_rows,
    without_short_pieces,
)
from domain.scheduling.placement import Room, Run, pack_in_turn, reserve_minutes
from domain.scheduling.rows import Row, new_row
from domain.scheduling.spans import Span
from domain.scheduling.types import MINUTES_PER_DAY, Allocation, PlanKind


def lay_out_reviews(
    reviews: Sequence[Review],
    days: Sequence[int],
    rooms: Mapping[int, Room],
    comfort: Comfort | None,
) -> list[Row]:
    """Return the rows of the reviews of a cycle. The rooms are not changed."""
    if comfort is not None:
        # The longest ones fill what the others leave, because they can be cut.
        reviews = sorted(reviews, key=lambda review: (len(review.days), review.minutes))
    free = {day: rooms[day].copy() for day in days}
    shortest = SHORTEST_REVIEW if comfort else 1
    rows: list[Row] = []
    for review in reviews:
        placed = list(_place(review, {day: free[day] for day in review.days}, shortest))
        rows += without_short_pieces(placed, shortest)
    if comfort is None:
        return rows
    return _arranged(reviews, days, rooms, rows, comfort)


def _arranged(
    reviews: Sequence[Review],
    days: Sequence[int],
    rooms: Mapping[int, Room],
    rows: list[Row],
    comfort: Comfort,
) -> list[Row]:
    """Return rows that a person would choose, or ``rows`` if the days have not the room.

    The reserve of a day is only used if ``rows`` use it.
    """
    reserve = sum(row.stop - row.start for row in rows if row.reserve)
    opened = {day: Room(rooms[day].study, rooms[day].reserve if reserve else ()) for day in days}
    ways = [_divided(reviews, opened)]
    if all(len(review.days) == len(days) for review in reviews):
        ways.append([(days, reviews)])
    found: list[list[Row]] = []
    for groups in ways:
        way = groups and _arranged_groups(groups, opened, comfort, reserve)
        if way:
            found.append(way)
            if not _short_rows(way):
                return way
    return min([*found, _loosened(rows, reviews, rooms, comfort)], key=_short_rows)


def _short_rows(rows: Iterable[Row]) -> int:
    return sum(row.stop - row.start < SHORTEST_REVIEW for row in rows)


def _arranged_groups(
    groups: Sequence[tuple[Sequence[int], Sequence[Review]]],
    rooms: Mapping[int, Room],
    comfort: Comfort,
    reserve: int,
) -> list[Row] | None:
    """Return the rows of reviews that share days, with at most ``reserve`` minutes of reserve."""
    arranged: list[Row] = []
    for days, own in groups:
        found = _arranged_days(own, {day: rooms[day] for day in days}, comfort, reserve)
        if found is None:
            return None
        reserve -= sum(row.stop - row.start for row in found if row.reserve)
        arranged += found
    return arranged


def _loosened(
    rows: Sequence[Row], reviews: Sequence[Review], rooms: Mapping[int, Room], comfort: Comfort
) -> list[Row]:
    """Return the same rows with pauses and marks, as far as their spans have time left for them."""
    moved: list[Row] = []
    by_day: Mapping[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_day[row.day].append(row)
    items_of_reviews = _Items(reviews)
    for day, room in rooms.items():
        own = by_day[day]
        items = [items_of_reviews.of(row) for row in own]
        sessions = [
            Session(prefix, [range(len(units))], shortest_piece=SHORTEST_REVIEW)
            for units, prefix in items
        ]
        runs = [
            [Run(row.start, row.stop, range(len(units)), row.reserve)]
            for row, (units, _) in zip(own, items, strict=True)
        ]
        spans = [FreeSpan(*span, reserve=False) for span in room.study]
        spans += [FreeSpan(*span, reserve=True) for span in room.reserve]
        moved += [
            row._replace(
                start=run.start,
                stop=run.stop,
                first_unit=units[run.items.start][0],
                last_unit=units[run.items.stop - 1][1] - 1,
            )
            for row, (units, _), found in zip(
                own, items, loosened(sessions, spans, comfort, runs), strict=True
            )
            for run in found
        ]
    return moved


class _Items:
    """The items of reviews, to be read by row."""

    def __init__(self, reviews: Iterable[Review]) -> None:
        self._reviews: Mapping[int, list[Review]] = defaultdict(list)
        for review in sorted(reviews, key=lambda one: one.units):
            self._reviews[review.content].append(review)
        self._items: dict[Span, tuple[Sequence[Span], Sequence[int]]] = {}

    def of(self, row: Row) -> tuple[Sequence[Span], Sequence[int]]:
        """Return the items of a row and their cumulative minutes; one item if units are cut."""
        whole = [(row.first_unit, row.last_unit + 1)], [0, row.stop - row.start]
        review = self._review_of(row)
        if review is None or row.parts > 1:
            return whole
        items, prefix = self._items_of(review)
        first = bisect_left(items, row.first_unit, key=_start)
        stop = bisect_right(items, row.last_unit, key=_start)
        if first == stop:
            return whole
        minutes = [at - prefix[first] for at in prefix[first : stop + 1]]
        own = items[first:stop]
        is_same = minutes[-1] == whole[1][1] and (own[0][0], own[-1][1]) == whole[0][0]
        return (own, minutes) if is_same else whole

    def _review_of(self, row: Row) -> Review | None:
        """Return the review of a row; those of a content have no units in common."""
        own = self._reviews[row.content]
        at = bisect_right(own, row.first_unit, key=lambda review: review.units[0]) - 1
        return own[at] if at >= 0 and row.first_unit < own[at].units[1] else None

    def _items_of(self, review: Review) -> tuple[Sequence[Span], Sequence[int]]:
        key = review.content, review.units[0]
        if key not in self._items:
            self._items[key] = items_of(review)
        return self._items[key]


_start: Final = itemgetter(0)


def _divided(
    reviews: Sequence[Review], rooms: Mapping[int, Room]
) -> list[tuple[Sequence[int], Sequence[Review]]] | None:
    """Return the reviews of each day, the days filled alike; ``None`` if one fits into no day.

    Reviews with fewer days are assigned first, then longer ones, each to the day of which the
    largest share is free then.
    """
    by_day: dict[int, list[Review]] = {day: [] for day in rooms}
    left = {day: room.minutes for day, room in rooms.items()}
    for review in sorted(reviews, key=lambda one: (len(one.days), -one.minutes, one.content)):
        fitting = [day for day in review.days if left[day] >= review.minutes]
        if not fitting:
            return None
        day = max(fitting, key=lambda d: (Fraction(left[d] - review.minutes, rooms[d].minutes), -d))
        left[day] -= review.minutes
        by_day[day].append(review)
    return [([day], own) for day, own in by_day.items()]


def _arranged_days(
    reviews: Sequence[Review], rooms: Mapping[int, Room], comfort: Comfort, reserve: int
) -> list[Row] | None:
    """Return the rows of reviews on some days, or ``None`` if their units do not fit uncut.

    At most ``reserve`` minutes are in the reserve.
    """
    reviews = sorted(reviews, key=lambda one: placing_order(one.demand.content))
    items = [items_of(review) for review in reviews]
    sessions = [
        Session(
            prefix,
            [range(len(own))],
            shortest_piece=SHORTEST_REVIEW,
            is_weakness=review.demand.content.allocation is Allocation.WEAKNESS,
        )
        for review, (own, prefix) in zip(reviews, items, strict=True)
    ]
    bare = None
    if len(rooms) == 1:
        ((day, room),) = rooms.items()
        bare = pack_in_turn(
            ((prefix, range(len(prefix) - 1), 0) for _, prefix in items),
            room.moved(day * MINUTES_PER_DAY),
        )
    found = _arranged_sessions(sessions, rooms, comfort, bare, reserve)
    if found is None:
        return None
    return [
        _row(review, own, run)
        for review, (own, _), runs in zip(reviews, items, found, strict=True)
        for run in runs
    ]


def _arranged_sessions(
    sessions: Sequence[Session],
    rooms: Mapping[int, Room],
    comfort: Comfort,
    bare: Sequence[Sequence[Run]] | None,
    reserve: int,
) -> list[list[Run]] | None:
    """Return the runs of sessions on some days, in study time alone if that holds them."""
    spans = [
        FreeSpan(day * MINUTES_PER_DAY + start, day * MINUTES_PER_DAY + stop, in_reserve)
        for in_reserve in (False, True)
        for day, room in rooms.items()
        for start, stop in (room.reserve if in_reserve else room.study)
    ]
    study = [span for span in spans if not span.reserve]
    used = reserve_minutes(bare or ())
    found = arrange(sessions, study, comfort, None if used else bare, 0)
    if found is None and len(study) < len(spans):
        found = arrange(sessions, spans, comfort, bare if used <= reserve else None, reserve)
    return found


def _row(review: Review, items: Sequence[Span], run: Run) -> Row:
    """Return the row of a run, whose minutes are counted from the first day of the period."""
    start = run.start % MINUTES_PER_DAY
    return new_row(
        day=run.start // MINUTES_PER_DAY,
        start=start,
        stop=start + run.stop - run.start,
        content=review.content,
        kind=PlanKind.REVIEW,
        first_unit=items[run.items.start][0],
        last_unit=items[run.items.stop - 1][1] - 1,
        part=1,
        parts=1,
        wrap_up=0,
        reserve=run.reserve,
    )


def _place(review: Review, rooms: Mapping[int, Room], shortest: int) -> Iterator[Row]:
    """Yield the rows of a review, and remove their time from the rooms.

    Units are only cut if they do not fit uncut. If a piece would have less than ``shortest``
    minutes, the end of its unit is moved to the cut instead, as far as the rows then still fit.
    """
    items, prefix = items_of(review)
    placed = pack_over_days(prefix, rooms)
    pieces: Sequence[int] = ()
    if placed is None:
        items, prefix, pieces, placed = cut_items(items, prefix, rooms, shortest)
    numbers: dict[Span, int] = {}  # of the last piece of each item
    for day, run in placed:
        rooms[day].take([run])
        for own in ranges_of_rows(run, pieces):
            item = items[own.start]
            split, part = pieces[own.start] if pieces else 1, 1
            if split > 1:
                numbers[item] = part = numbers.get(item, 0) + 1
            start = run.start + prefix[own.start] - prefix[run.items.start]
            yield new_row(
                day=day,
                start=start,
                stop=start + prefix[own.stop] - prefix[own.start],
                content=review.content,
                kind=PlanKind.REVIEW,
                first_unit=item[0],
                last_unit=items[own.stop - 1][1] - 1,
                part=part,
                parts=split,
                wrap_up=0,
                reserve=run.reserve,
            )
