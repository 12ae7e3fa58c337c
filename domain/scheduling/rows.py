"""The rows of a day: one for each range of consecutive whole units, each episode and each piece.

Pieces of a unit are numbered over all days. The cost is linear in the units.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple

from domain.scheduling.demand import Piece
from domain.scheduling.distribution.deal import Deal, Share
from domain.scheduling.placement import Run
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import ContentType, KeptPlan, PlanKind


class Row(NamedTuple):
    """A row on one day. The order of the fields is the sort order of rows."""

    day: int
    start: int
    stop: int
    content: int
    kind: PlanKind
    first_unit: int
    last_unit: int
    part: int
    parts: int
    wrap_up: int
    reserve: bool


new_row: Final = partial(Row.__new__, Row)
"""Creates a row by names, twice as fast as the class, which copies the names to a dictionary."""


def row_of(plan: KeptPlan | ScheduledPlan, day: int) -> Row:
    """Return a plan as a row on a day of the calendar."""
    return new_row(
        day=day,
        start=plan.start_minute,
        stop=plan.end_minute,
        content=plan.content,
        kind=plan.kind,
        first_unit=plan.first_unit,
        last_unit=plan.last_unit,
        part=plan.part,
        parts=plan.parts,
        wrap_up=plan.wrap_up_minutes,
        reserve=plan.reserve,
    )


def piece_of(plan: KeptPlan | Row) -> Piece:
    """Return a plan of a piece of a unit as that piece."""
    if isinstance(plan, Row):
        return Piece(plan.parts, plan.stop - plan.start - plan.wrap_up)
    return Piece(plan.parts, plan.end_minute - plan.start_minute - plan.wrap_up_minutes)


class Parts:
    """Numbers the pieces of split units over all days.

    ``count`` must be called before rows are numbered. Consecutive pieces in a run are one.
    """

    def __init__(self, deals: Sequence[Deal]) -> None:
        self.kept: dict[int, Mapping[int, Collection[int]]] = {}
        self.last: dict[int, dict[int, int]] = {}
        self.pieces: dict[int, Counter[int]] = {}
        self.totals: dict[int, Counter[int]] = {}
        for deal in deals:
            kept = deal.demand.kept_pieces
            if kept or deal.cuts:
                position = deal.demand.content.position
                counts = Counter({unit: len(numbers) for unit, numbers in kept.items()})
                self.kept[position], self.last[position] = kept, {}
                self.pieces[position] = counts + Counter(deal.units)
                self.totals[position] = counts

    def count(self, share: Share, runs: Iterable[Run]) -> None:
        """Count the rows of a share."""
        position = share.deal.demand.content.position
        if position in self.totals:
            for run in runs:
                ranges = whole_ranges_of(share.deal, run.items, self.pieces[position])
                self.totals[position].update(share.deal.units[items.start] for items in ranges)

    def total(self, content: int, unit: int) -> int:
        """Return the number of rows of the pieces of a unit, 1 if it is not split."""
        return self.totals[content][unit] if content in self.totals else 1

    def of(self, content: int) -> Mapping[int, int]:
        """Return the number of pieces of each unit of a content; empty if none is split."""
        return self.pieces.get(content, {})

    def next(self, content: int, unit: int) -> int:
        """Return the lowest number that no other piece of the unit has, including kept pieces."""
        kept = self.kept[content].get(unit, ())
        number = self.last[content].get(unit, 0) + 1
        while number in kept:
            number += 1
        self.last[content][unit] = number
        return number


def rows_of(share: Share, runs: Iterable[Run], wrap_up: int, parts: Parts) -> Iterator[Row]:
    """Yield one row for each range of consecutive whole units, each episode and each piece."""
    deal, last = share.deal, share.items.stop
    position, units, prefix = deal.demand.content.position, deal.units, deal.prefix
    pieces = parts.of(position)
    for run in runs:
        offset = run.start - prefix[run.items.start]
        for items in whole_ranges_of(deal, run.items, pieces):
            first, stop = items.start, items.stop
            unit = units[first]
            split = parts.total(position, unit)
            wrap = wrap_up if stop == last else 0
            yield new_row(
                day=share.day,
                start=offset + prefix[first],
                stop=offset + prefix[stop] + wrap,
                content=position,
                kind=PlanKind.STUDY,
                first_unit=unit,
                last_unit=units[stop - 1],
                part=parts.next(position, unit) if split > 1 else 1,
                parts=split,
                wrap_up=wrap,
                reserve=run.reserve,
            )


def ranges_of(deal: Deal, items: range, pieces: Mapping[int, int]) -> Iterable[range]:
    """Return the items of a run's rows.

    A range ends at a gap between units and before and after a piece. Each episode of a lecture is
    a separate range.
    """
    units, first, stop = deal.units, items.start, items.stop
    if deal.demand.content.type is ContentType.LECTURE:
        return [range(item, item + 1) for item in items]
    if len(items) == 1 or (not pieces and units[stop - 1] - units[first] == stop - 1 - first):
        return [items]
    bounds = [
        at
        for at in range(first + 1, stop)
        if units[at] != units[at - 1] + 1
        or pieces.get(units[at], 1) > 1
        or pieces.get(units[at - 1], 1) > 1
    ]
    return [range(*bound) for bound in pairwise([first, *bounds, stop])]


def whole_ranges_of(deal: Deal, items: range, pieces: Mapping[int, int]) -> Iterable[range]:
    """Return the same ranges, but consecutive pieces of a unit as one range.

    A unit all of whose pieces are consecutive counts as whole.
    """
    units, first, stop = deal.units, items.start, items.stop
    if not pieces:
        return ranges_of(deal, items, pieces)
    counts = Counter(units[first:stop])
    is_lecture = deal.demand.content.type is ContentType.LECTURE

    def is_bound(before: int, unit: int) -> bool:
        is_cut = any(pieces.get(one, 1) > counts[one] for one in (before, unit))
        return unit != before and (is_lecture or unit != before + 1 or is_cut)

    bounds = [at for at in range(first + 1, stop) if is_bound(units[at - 1], units[at])]
    return [range(*bound) for bound in pairwise([first, *bounds, stop])]
