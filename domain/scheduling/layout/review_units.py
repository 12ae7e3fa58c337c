"""The units of a review: items with minutes, which are cut only if they do not fit uncut.

Ranges of units are half-open in this module, so that the functions for spans can be used for them.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from domain.scheduling.demand import Demand
from domain.scheduling.placement import Room, Run, pack, reach
from domain.scheduling.rounding import rounded_shares
from domain.scheduling.rows import Row
from domain.scheduling.spans import Span
from domain.scheduling.splitting import fewest_cuts


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


def items_of(review: Review) -> tuple[list[Span], list[int]]:
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


def pack_over_days(
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


def cut_items(
    items: Sequence[Span], prefix: Sequence[int], rooms: Mapping[int, Room], shortest: int
) -> tuple[list[Span], list[int], list[int], list[tuple[int, Run]]]:
    """Return the items with as few cuts as possible, their minutes, pieces, and placed runs."""
    lengths = [length for room in rooms.values() for length in room.lengths()]
    cuts = fewest_cuts(prefix, lengths, shortest=1)
    # Moved ends may not fit, because spans may end at other items, too.
    for whole, left in (_moved(prefix, cuts, shortest), (prefix, cuts)):
        divided = sorted({*whole, *left})
        placed = pack_over_days(divided, rooms)
        if placed is not None:
            origin = [bisect_left(whole, end) - 1 for end in divided[1:]]
            counts = Counter(origin)
            single = _single_units(items, counts)
            return [single[i] for i in origin], divided, [counts[i] for i in origin], placed
    raise AssertionError("pieces must fit into the spans for which they were cut")


def ranges_of_rows(run: Run, pieces: Sequence[int]) -> Iterator[range]:
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


def without_short_pieces(rows: Sequence[Row], shortest: int) -> list[Row]:
    """Return the rows of a review, in order of time, such that no piece of a unit is too short.

    The minutes of a piece that is too short are given to the row before or after it, if that is in
    the same span: the unit is reviewed in its other pieces.
    """
    left = list(rows)
    while (found := _joinable(left, shortest)) is not None:
        at, other = found
        piece, row = left[at], left[other]
        left[other] = row._replace(
            start=min(row.start, piece.start), stop=max(row.stop, piece.stop)
        )
        del left[at]
        left = _renumbered(left, piece.first_unit)
    return left


def _joinable(rows: Sequence[Row], shortest: int) -> tuple[int, int] | None:
    """Return the indexes of a piece that is too short, and of the row that it can join, if any."""
    for at, piece in enumerate(rows):
        if piece.parts > 1 and piece.stop - piece.start < shortest:
            for other in range(max(0, at - 1), min(at + 2, len(rows))):
                row = rows[other]
                if row.first_unit != piece.first_unit and _touch(row, piece):
                    return at, other
    return None


def _touch(a: Row, b: Row) -> bool:
    return (a.day, a.reserve) == (b.day, b.reserve) and (a.stop == b.start or b.stop == a.start)


def _renumbered(rows: Sequence[Row], unit: int) -> list[Row]:
    """Return the rows after the pieces of a unit are counted again; a whole one joins a row."""
    found: list[Row] = []
    parts = sum(row.parts > 1 and row.first_unit == unit for row in rows)
    part = 0
    for row in rows:
        own = row
        if row.parts > 1 and row.first_unit == unit:
            part += 1
            own = row._replace(part=part, parts=parts)
        if found and _is_continued(found[-1], own):
            own = own._replace(start=found[-1].start, first_unit=found.pop().first_unit)
        found.append(own)
    return found


def _is_continued(before: Row, row: Row) -> bool:
    is_next = before.last_unit + 1 == row.first_unit
    return before.parts == row.parts == 1 and is_next and _touch(before, row)


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
