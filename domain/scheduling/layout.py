"""Lays out each day: rows with start and stop, and the wrap-ups that fit.

The contents of a day are packed one after another, in the order of placing, from the earliest free
minute on. If that cuts a unit or does not hold all, the placement that was found together with the
distribution is used. Wrap-ups are shortened by bisection. The cost is a few passes over the spans
of the day for each content.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple

from domain.scheduling.distribution.deal import Deal, Share, shares_by_day
from domain.scheduling.placement import Room, Run, pack
from domain.scheduling.result import PlanWarning, warning
from domain.scheduling.types import ContentType, PlanKind


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


@dataclass(frozen=True, slots=True)
class ShrunkWrapUp:
    """A wrap-up that is shorter than requested, because its full length does not fit."""

    day: int
    content: int
    need: int
    given: int

    def warning(self, date: str) -> PlanWarning:
        """Return the warning that reports it."""
        return warning(
            "wrap_up_shrunk", date=date, content=self.content, need=self.need, given=self.given
        )


def lay_out(
    deals: Sequence[Deal], rooms: Mapping[int, Room]
) -> tuple[list[Row], list[ShrunkWrapUp]]:
    """Return the study rows of every day, and the wrap-ups that were shortened.

    The deals must be in the order of placing.
    """
    rows: list[Row] = []
    shrunk: list[ShrunkWrapUp] = []
    parts = _Parts(deals)
    for day, shares in sorted(shares_by_day(deals).items()):
        wraps = [share.deal.demand.content.wrap_up_minutes for share in shares]
        runs, given = _with_wrap_ups(shares, wraps, rooms[day])
        shrunk += [
            ShrunkWrapUp(day, share.deal.demand.content.position, need, wrap)
            for share, need, wrap in zip(shares, wraps, given, strict=True)
            if wrap < need
        ]
        for share, own_runs, wrap in zip(shares, runs, given, strict=True):
            rows += _rows(share, own_runs, wrap, parts)
    return rows, shrunk


def _with_wrap_ups(
    shares: Sequence[Share], wraps: Sequence[int], room: Room
) -> tuple[list[list[Run]], list[int]]:
    """Return the runs of a day's shares and the minutes of their wrap-ups.

    One content after another gets the longest wrap-up with which every unit is uncut and no unit
    is moved from study time to the reserve. The placement that was found together with the deals
    is used if packing the shares one after another fails.
    """
    bare = _pack_all(shares, [0] * len(shares), room)
    if bare is None:
        return _stretched(wraps, room, _closed_up(room, [share.runs for share in shares]))
    if not any(wraps):
        return bare, [0] * len(shares)
    max_reserve = _reserve_used(shares, bare)
    given = list(wraps)

    def attempt() -> list[list[Run]] | None:
        runs = _pack_all(shares, given, room)
        return runs if runs and _reserve_used(shares, runs) <= max_reserve else None

    if runs := attempt():
        return runs, given
    # Bisection over the minutes of one wrap-up after another: about log2(minutes) packings each.
    given, best = [0] * len(shares), bare
    for index, wrap in enumerate(wraps):
        fits, too_long = 0, wrap + 1
        while too_long - fits > 1:
            given[index] = (fits + too_long) // 2
            if runs := attempt():
                fits, best = given[index], runs
            else:
                too_long = given[index]
        given[index] = fits
    return best, given


def _pack_all(shares: Sequence[Share], wraps: Sequence[int], room: Room) -> list[list[Run]] | None:
    """Return the runs of all shares in the order of placing, or ``None`` if units do not fit."""
    free = room.copy()
    placed: list[list[Run]] = []
    for share, wrap in zip(shares, wraps, strict=True):
        runs = pack(share.deal.prefix, share.items, free, wrap)
        if runs is None:
            return None
        free.take(runs)
        placed.append(runs)
    return placed


def _reserve_used(shares: Sequence[Share], runs: Sequence[Sequence[Run]]) -> int:
    """Return the minutes of study in the reserve, without wrap-ups."""
    return sum(
        share.deal.prefix[run.items.stop] - share.deal.prefix[run.items.start]
        for share, own in zip(shares, runs, strict=True)
        for run in own
        if run.reserve
    )


def _closed_up(room: Room, runs: list[list[Run]]) -> list[list[Run]]:
    """Return the same runs, moved to the beginning of each span without gaps.

    Gaps exist if a pair of contents was dealt again: the runs of the others have not moved, and
    the time that the pair used before is free.
    """
    closed_up: list[list[Run]] = [[] for _ in runs]
    spans = iter(sorted([*room.study, *room.reserve]))
    end = free = 0
    for share, run in sorted(
        ((share, run) for share, own in enumerate(runs) for run in own), key=_start
    ):
        while run.start >= end:
            free, end = next(spans)
        stop = free + run.stop - run.start
        is_moved = run.start != free
        closed_up[share].append(run._replace(start=free, stop=stop) if is_moved else run)
        free = stop
    return closed_up


def _stretched(
    wraps: Sequence[int], room: Room, runs: list[list[Run]]
) -> tuple[list[list[Run]], list[int]]:
    """Return the same runs, the last of each item extended by the wrap-up into free time after it.

    The wrap-up is shortened to the time until the next run or the end of the span.
    """
    bounds = [run.start for own in runs for run in own]
    bounds = sorted([*bounds, *(stop for _, stop in (*room.study, *room.reserve))])
    stretched, given = [], []
    for wrap, own in zip(wraps, runs, strict=True):
        last = own[-1]
        limit = bounds[bisect_left(bounds, last.stop)]
        given.append(min(wrap, limit - last.stop))
        stretched.append([*own[:-1], last._replace(stop=last.stop + given[-1])])
    return stretched, given


def _start(numbered: tuple[int, Run]) -> int:
    return numbered[1].start


class _Parts:
    """Numbers the pieces of split units over all days."""

    def __init__(self, deals: Sequence[Deal]) -> None:
        self.kept: dict[int, Mapping[int, set[int]]] = {}
        self.last: dict[int, dict[int, int]] = {}
        self.pieces: dict[int, Counter[int]] = {}
        for deal in deals:
            kept = deal.demand.kept_pieces
            if kept or deal.cuts:
                position = deal.demand.content.position
                self.kept[position], self.last[position] = kept, {}
                self.pieces[position] = Counter(deal.units)
                self.pieces[position].update({u: len(numbers) for u, numbers in kept.items()})

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


def _rows(share: Share, runs: Iterable[Run], wrap_up: int, parts: _Parts) -> Iterator[Row]:
    """Yield one row for each range of consecutive whole units, each episode and each piece."""
    deal, last = share.deal, share.items.stop
    position, units, prefix = deal.demand.content.position, deal.units, deal.prefix
    pieces = parts.of(position)
    for run in runs:
        offset = run.start - prefix[run.items.start]
        for items in _ranges(deal, run.items, pieces):
            first, stop = items.start, items.stop
            unit = units[first]
            split = pieces.get(unit, 1)
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


def _ranges(deal: Deal, items: range, pieces: Mapping[int, int]) -> Iterable[range]:
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
