"""Lays out the reviews of a cycle: rows with start and stop on its review days.

Reviews are packed one after another into the first free minutes. With comfort, they are spread over
the review days, the longest one first onto the day of which the largest share is free then, and the
sessions of each day are arranged like study. Units are cut only if they do not fit uncut. The cost
is linear in the reviewed units and the spans of the review days, unless units have to be cut.

Ranges of units are half-open in this module, so that the functions for spans can be used for them.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from domain.scheduling.arrangement import (
    SHORTEST_REVIEW,
    Comfort,
    FreeSpan,
    Session,
    arrange,
    loosened,
)
from domain.scheduling.demand import Demand, placing_order
from domain.scheduling.placement import Room, Run, pack, reach
from domain.scheduling.rounding import rounded_shares
from domain.scheduling.rows import Row, new_row
from domain.scheduling.spans import Span
from domain.scheduling.splitting import fewest_cuts
from domain.scheduling.types import MINUTES_PER_DAY, Allocation, PlanKind


@dataclass(slots=True)
class Review:
    """A contiguous range that a cycle has studied, with the minutes of its study and its review.

    ``days`` are the cycle's review days from today on that are before the content's deadline.
    """

    demand: Demand
    units: Span
    days: Sequence[int]
    study: int
    minutes: int = 0

    @property
    def content(self) -> int:
        return self.demand.content.position


def lay_out_reviews(
    reviews: Sequence[Review],
    days: Sequence[int],
    rooms: Mapping[int, Room],
    comfort: Comfort | None,
) -> list[Row]:
    """Return the rows of the reviews of a cycle, and remove their time from the rooms."""
    if comfort is not None:
        # The longest ones fill what the others leave, because they can be cut.
        reviews = sorted(reviews, key=lambda review: (len(review.days), review.minutes))
    before = {day: rooms[day].copy() for day in days}
    rows = [
        row
        for review in reviews
        for row in _place(
            review, {day: rooms[day] for day in review.days}, SHORTEST_REVIEW if comfort else 1
        )
    ]
    return rows if comfort is None else _arranged(reviews, days, before, rows, comfort)


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
    groups = _divided(reviews, opened)
    if groups is None and all(len(review.days) == len(days) for review in reviews):
        groups = [(days, reviews)]
    arranged: list[Row] = []
    for own_days, own in groups or ():
        found = _arranged_days(own, {day: opened[day] for day in own_days}, comfort)
        if found is None:
            return _loosened(rows, rooms, comfort)
        arranged += found
    used = sum(row.stop - row.start for row in arranged if row.reserve)
    return arranged if groups and used <= reserve else _loosened(rows, rooms, comfort)


def _loosened(rows: Sequence[Row], rooms: Mapping[int, Room], comfort: Comfort) -> list[Row]:
    """Return the same rows with pauses and marks, as far as their spans have time left for them."""
    moved: list[Row] = []
    for day, room in rooms.items():
        own = [row for row in rows if row.day == day]
        sessions = [Session([0, row.stop - row.start], [range(1)]) for row in own]
        runs = [[Run(row.start, row.stop, range(1), row.reserve)] for row in own]
        spans = [FreeSpan(*span, reserve=False) for span in room.study]
        spans += [FreeSpan(*span, reserve=True) for span in room.reserve]
        moved += [
            row._replace(start=run.start, stop=run.stop)
            for row, (run,) in zip(own, loosened(sessions, spans, comfort, runs), strict=True)
        ]
    return moved


def _divided(
    reviews: Sequence[Review], rooms: Mapping[int, Room]
) -> list[tuple[Sequence[int], Sequence[Review]]] | None:
    """Return the reviews of each day, the days filled alike; ``None`` if one fits into no day.

    The longest review is assigned first, to the day of which the largest share is free then.
    """
    by_day: dict[int, list[Review]] = {day: [] for day in rooms}
    left = {day: room.minutes for day, room in rooms.items()}
    for review in sorted(reviews, key=lambda one: (len(one.days), -one.minutes, one.content)):
        fitting = [day for day in review.days if left[day] >= review.minutes]
        if not fitting:
            return None
        day = max(fitting, key=lambda d: ((left[d] - review.minutes) / rooms[d].minutes, -d))
        left[day] -= review.minutes
        by_day[day].append(review)
    return [([day], own) for day, own in by_day.items()]


def _arranged_days(
    reviews: Sequence[Review], rooms: Mapping[int, Room], comfort: Comfort
) -> list[Row] | None:
    """Return the rows of reviews on some days, or ``None`` if their units do not fit uncut."""
    spans = [
        FreeSpan(day * MINUTES_PER_DAY + start, day * MINUTES_PER_DAY + stop, reserve)
        for reserve in (False, True)
        for day, room in rooms.items()
        for start, stop in (room.reserve if reserve else room.study)
    ]
    reviews = sorted(reviews, key=lambda one: placing_order(one.demand.content))
    items = [_items(review) for review in reviews]
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
        bare = _packed([prefix for _, prefix in items], room.moved(day * MINUTES_PER_DAY))
    found = arrange(sessions, spans, comfort, bare)
    if found is None:
        return None
    return [
        Row(
            day=run.start // MINUTES_PER_DAY,
            start=run.start % MINUTES_PER_DAY,
            stop=run.start % MINUTES_PER_DAY + run.stop - run.start,
            content=review.content,
            kind=PlanKind.REVIEW,
            first_unit=own[run.items.start][0],
            last_unit=own[run.items.stop - 1][1] - 1,
            part=1,
            parts=1,
            wrap_up=0,
            reserve=run.reserve,
        )
        for review, (own, _), runs in zip(reviews, items, found, strict=True)
        for run in runs
    ]


def _packed(prefixes: Iterable[Sequence[int]], free: Room) -> list[list[Run]] | None:
    """Return runs of reviews one after another, or ``None`` if units do not fit uncut."""
    placed = []
    for prefix in prefixes:
        runs = pack(prefix, range(len(prefix) - 1), free)
        if runs is None:
            return None
        free.take(runs)
        placed.append(runs)
    return placed


def _place(review: Review, rooms: Mapping[int, Room], shortest: int) -> Iterator[Row]:
    """Yield the rows of a review, and remove their time from the rooms.

    Units are only cut if they do not fit uncut, and not if their review has less than ``shortest``
    minutes: it is made a little longer or shorter then.
    """
    items, prefix = _items(review)
    placed = _pack_over_days(prefix, rooms)
    pieces: Sequence[int] = ()
    if placed is None:
        items, prefix, pieces, placed = _cut(items, prefix, rooms, shortest)
    numbers: dict[Span, int] = {}  # of the last piece of each item
    for day, run in placed:
        rooms[day].take([run])
        for own in _ranges(run, pieces):
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


def _cut(
    items: Sequence[Span], prefix: Sequence[int], rooms: Mapping[int, Room], shortest: int
) -> tuple[list[Span], list[int], list[int], list[tuple[int, Run]]]:
    """Return the items with as few cuts as possible, their minutes, pieces, and placed runs."""
    lengths = [length for room in rooms.values() for length in room.lengths()]
    cuts = fewest_cuts(prefix, lengths, shortest=1)
    # Moved ends may not fit, because spans may end at other items, too.
    for whole, left in (_moved(prefix, cuts, shortest), (prefix, cuts)):
        divided = sorted({*whole, *left})
        placed = _pack_over_days(divided, rooms)
        if placed is not None:
            origin = [bisect_left(whole, end) - 1 for end in divided[1:]]
            counts = Counter(origin)
            single = _single_units(items, counts)
            return [single[i] for i in origin], divided, [counts[i] for i in origin], placed
    raise AssertionError("pieces must fit into the spans for which they were cut")


def _single_units(items: Sequence[Span], counts: Mapping[int, int]) -> list[Span]:
    """Return the items such that one in several pieces is a single unit, except for the last item.

    Its further units, whose review has 0 minutes, belong to the item after it.
    """
    single = list(items)
    for index in range(len(items) - 1):
        start, stop = single[index]
        if counts[index] > 1 and stop - start > 1:
            single[index] = start, start + 1
            single[index + 1] = start + 1, single[index + 1][1]
    return single


def _moved(
    prefix: Sequence[int], cuts: Iterable[int], shortest: int
) -> tuple[list[int], list[int]]:
    """Return the minutes of items, whose ends are moved to cuts of short ones, and the other cuts.

    An item that would have no minutes then is cut.
    """
    moved, left = list(prefix), []
    for cut in cuts:
        index = bisect_left(prefix, cut)
        start, stop = moved[index - 1], moved[index]
        if min(cut - start, stop - cut) >= shortest or not start < cut < stop:
            left.append(cut)
        elif index - 1 > 0 and cut - start <= stop - cut and moved[index - 2] < cut:
            moved[index - 1] = cut
        elif index < len(prefix) - 1 and cut < moved[index + 1]:
            moved[index] = cut
        else:
            left.append(cut)
    return moved, left


def _items(review: Review) -> tuple[list[Span], list[int]]:
    """Return the items of a review, as ranges of units, and their cumulative minutes.

    A unit whose review has 0 minutes belongs to the item before it.
    """
    first = review.demand.content.first_unit
    start, end = review.units
    study = review.demand.minutes[start - first : end - first]
    after = rounded_shares(accumulate(study), review.minutes, review.study)
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
            placed += [(day, run) for run in pack(prefix, range(first, last), room) or ()]
            first = last
    return placed if first == len(prefix) - 1 else None


def _ranges(run: Run, pieces: Sequence[int]) -> Iterator[range]:
    """Yield the items of a run's rows: consecutive whole items, and each piece separately.

    ``pieces`` has the number of pieces of each item; it is empty if all are whole.
    """
    if not pieces:
        yield run.items
        return
    first = run.items.start
    while first < run.items.stop:
        stop = first + 1
        while stop < run.items.stop and pieces[first] == 1 and pieces[stop] == 1:
            stop += 1
        yield range(first, stop)
        first = stop
