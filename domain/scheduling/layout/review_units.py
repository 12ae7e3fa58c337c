"""The units of a review: items with minutes, which are cut only if they do not fit uncut.

Ranges of units are half-open in this module, so that the functions for spans can be used for them.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Self

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
    ``kept`` are the minutes of pieces that are kept; ``minutes`` are without them.
    """

    demand: Demand
    units: Span
    days: Sequence[int]
    study: int
    minutes: int = 0
    kept: int = 0

    @classmethod
    def of(cls, demand: Demand, units: Span, days: Sequence[int]) -> Self:
        """Return the review of a range of units, without its minutes."""
        first = demand.content.first_unit
        return cls(demand, units, days, sum(demand.minutes[units[0] - first : units[1] - first]))

    @property
    def content(self) -> int:
        return self.demand.content.position


def items_of(review: Review) -> tuple[list[Span], list[int]]:
    """Return the items of a review, as ranges of units, and their cumulative minutes.

    A unit whose review has 0 minutes belongs to the item before it. What is left of a review of
    which pieces are kept is one item, as these were.
    """
    if review.kept:
        return [review.units], [0, review.minutes]
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
    the same span: the unit is reviewed in its other pieces. The cost is linear in the rows, because
    only the first and the last piece of a unit can join another row.
    """
    done: list[Row] = []
    rest = list(reversed(rows))
    is_changed = False
    while rest:
        piece = rest.pop()
        is_short = piece.parts > 1 and piece.stop - piece.start < shortest
        other = next((own for own in (done, rest) if is_short and _can_join(piece, own)), None)
        if other is None:
            done.append(piece)
            continue
        other.append(_joined(other.pop(), piece))
        _count_again(done, rest, piece.first_unit)
        is_changed = True
    return _continued(done) if is_changed else done


def _can_join(piece: Row, rows: Sequence[Row]) -> bool:
    """Whether a piece can join the last one of some rows."""
    return bool(rows) and rows[-1].first_unit != piece.first_unit and _touch(rows[-1], piece)


def _joined(row: Row, piece: Row) -> Row:
    return row._replace(start=min(row.start, piece.start), stop=max(row.stop, piece.stop))


def _touch(a: Row, b: Row) -> bool:
    return (a.day, a.reserve) == (b.day, b.reserve) and (a.stop == b.start or b.stop == a.start)


def _count_again(done: list[Row], rest: list[Row], unit: int) -> None:
    """Count the pieces of a unit again, of which one was joined; one that is left is whole.

    They are the last ones of ``done`` or of ``rest``, which is in reverse order. All are returned
    to ``rest``, because the row before the removed piece may be able to join others now.
    """
    while done and _is_piece(done[-1], unit):
        rest.append(done.pop())
    pieces = []
    while rest and _is_piece(rest[-1], unit):
        pieces.append(rest.pop())
    parts = len(pieces)
    counted = [row._replace(part=part, parts=parts) for part, row in enumerate(pieces, 1)]
    rest += reversed(counted)


def _is_piece(row: Row, unit: int) -> bool:
    return row.parts > 1 and row.first_unit == unit


def _continued(rows: Iterable[Row]) -> list[Row]:
    """Return the rows after whole ones that continue the one before have joined it."""
    found: list[Row] = []
    for row in rows:
        own = row
        if found and _is_continued(found[-1], own):
            own = own._replace(start=found[-1].start, first_unit=found.pop().first_unit)
        found.append(own)
    return found


def _is_continued(before: Row, row: Row) -> bool:
    is_next = before.last_unit + 1 == row.first_unit
    return before.parts == row.parts == 1 and is_next and _touch(before, row)


def _single_units(items: Sequence[Span], counts: Mapping[int, int]) -> list[Span]:
    """Return the items such that one in several pieces is a single unit, except for the last item.

    The further units of such an item, whose review has 0 minutes, move to the next item.
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
    """Return the ends of items, moved to cuts that would leave a short piece, and the other cuts.

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
