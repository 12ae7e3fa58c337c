"""Places the items of each day: rows with start and end, and the wrap-ups that fit."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from domain.scheduling.distribution.even import Allotment, Item
from domain.scheduling.distribution.nearest import Deal
from domain.scheduling.placement import Room, Run, pack
from domain.scheduling.result import PlanWarning, warning
from domain.scheduling.types import ContentType, PlanKind


class Row(NamedTuple):
    """A row on one day. The order of the fields is the sort order of rows."""

    day: int
    start: int
    end: int
    content: int
    kind: PlanKind
    first_unit: int
    last_unit: int
    part: int
    parts: int
    wrap_up: int
    reserve: bool


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


def place(allotment: Allotment, rooms: Mapping[int, Room]) -> tuple[list[Row], list[ShrunkWrapUp]]:
    """Return the study rows of every day, and the wrap-ups that were shortened."""
    rows: list[Row] = []
    shrunk: list[ShrunkWrapUp] = []
    parts = _Parts(allotment)
    for day in sorted(allotment.items):
        items = allotment.items[day]
        wraps = [item.deal.demand.content.wrap_up_minutes for item in items]
        runs, given = _with_wrap_ups(items, wraps, rooms[day], allotment.runs.get(day))
        shrunk += [
            ShrunkWrapUp(day, item.deal.demand.content.position, need, wrap)
            for item, need, wrap in zip(items, wraps, given, strict=True)
            if wrap < need
        ]
        for item, item_runs, wrap in zip(items, runs, given, strict=True):
            rows += _rows(day, item, item_runs, wrap, parts)
    return rows, shrunk


def _with_wrap_ups(
    items: Sequence[Item], wraps: Sequence[int], room: Room, found: list[list[Run]] | None
) -> tuple[list[list[Run]], list[int]]:
    """Return the runs of a day's items and the minutes of their wrap-ups.

    One content after another gets the longest wrap-up with which every unit is uncut and no unit
    is moved from study time to the reserve. ``found`` is a valid placement, which is used if
    packing the items one after another fails.
    """
    bare = _pack_all(items, [0] * len(items), room)
    if bare is None:
        return _stretched(wraps, room, _closed_up(room, found or []))
    if not any(wraps):
        return bare, [0] * len(items)
    max_reserve = _reserve_used(items, bare)
    given = list(wraps)

    def attempt() -> list[list[Run]] | None:
        runs = _pack_all(items, given, room)
        return runs if runs and _reserve_used(items, runs) <= max_reserve else None

    if runs := attempt():
        return runs, given
    # Bisection over the minutes of one wrap-up after another: about log2(minutes) packings each.
    given, best = [0] * len(items), bare
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


def _pack_all(items: Sequence[Item], wraps: Sequence[int], room: Room) -> list[list[Run]] | None:
    """Return the runs of all items in the order of placing, or ``None`` if units do not fit."""
    free = room.copy()
    placed: list[list[Run]] = []
    for item, wrap in zip(items, wraps, strict=True):
        runs = pack(item.deal.prefix, item.first, item.last, free, wrap)
        if runs is None:
            return None
        free.take(runs)
        placed.append(runs)
    return placed


def _reserve_used(items: Sequence[Item], runs: Sequence[Sequence[Run]]) -> int:
    """Return the minutes of study in the reserve, without wrap-ups."""
    return sum(
        item.deal.prefix[run.last] - item.deal.prefix[run.first]
        for item, own in zip(items, runs, strict=True)
        for run in own
        if run.reserve
    )


def _closed_up(room: Room, runs: list[list[Run]]) -> list[list[Run]]:
    """Return the same runs, moved to the beginning of each span without gaps.

    Gaps exist if a pair of contents was dealt again: the runs of the others have not moved, and
    the time that the pair used before is free.
    """
    moved: dict[Run, Run] = {}
    for begin, end in (*room.study, *room.reserve):
        free = begin
        for run in sorted(run for own in runs for run in own if begin <= run.start < end):
            moved[run] = run._replace(start=free, end=free + run.end - run.start)
            free = moved[run].end
    return [[moved[run] for run in own] for own in runs]


def _stretched(
    wraps: Sequence[int], room: Room, runs: list[list[Run]]
) -> tuple[list[list[Run]], list[int]]:
    """Return the same runs, the last of each item extended by the wrap-up into free time after it.

    The wrap-up is shortened to the time until the next run or the end of the span.
    """
    starts = [run.start for own in runs for run in own]
    ends = [end for _, end in (*room.study, *room.reserve)]
    stretched, given = [], []
    for wrap, own in zip(wraps, runs, strict=True):
        last = own[-1]
        limit = min(bound for bound in (*starts, *ends) if bound >= last.end)
        given.append(min(wrap, limit - last.end))
        stretched.append([*own[:-1], last._replace(end=last.end + given[-1])])
    return stretched, given


class _Parts:
    """Numbers the pieces of split units over all days."""

    def __init__(self, allotment: Allotment) -> None:
        self.taken: dict[int, dict[int, set[int]]] = {}
        self.pieces: dict[int, Counter[int]] = {}
        deals = {id(item.deal): item.deal for items in allotment.items.values() for item in items}
        for deal in deals.values():
            kept = deal.demand.kept_pieces
            if kept or len(deal.units) > len(deal.demand.units):
                position = deal.demand.content.position
                self.taken[position] = {unit: set(numbers) for unit, numbers in kept.items()}
                self.pieces[position] = Counter(deal.units)
                self.pieces[position].update({u: len(numbers) for u, numbers in kept.items()})

    def of(self, content: int) -> Mapping[int, int]:
        """Return the number of pieces of each unit of a content; empty if none is split."""
        return self.pieces.get(content, {})

    def next(self, content: int, unit: int) -> int:
        """Return the lowest number that no other piece of the unit has, including kept pieces."""
        taken = self.taken[content].setdefault(unit, set())
        number = next(number for number in count(1) if number not in taken)
        taken.add(number)
        return number


def _rows(day: int, item: Item, runs: Iterable[Run], wrap_up: int, parts: _Parts) -> Iterator[Row]:
    """Yield one row for each range of consecutive whole units, each episode and each piece."""
    position, prefix, units = item.deal.demand.content.position, item.deal.prefix, item.deal.units
    pieces = parts.of(position)
    for run in runs:
        for first, last in _stretches(item.deal, run, pieces):
            unit = units[first]
            split = pieces.get(unit, 1)
            part = parts.next(position, unit) if split > 1 else 1
            start = run.start + prefix[first] - prefix[run.first]
            wrap = wrap_up if last == item.last else 0
            end = start + prefix[last] - prefix[first] + wrap
            numbers = unit, units[last - 1], part, split, wrap, run.reserve
            yield Row(day, start, end, position, PlanKind.STUDY, *numbers)


def _stretches(deal: Deal, run: Run, pieces: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the item ranges of a run's rows.

    A range ends at a gap between units and before and after a piece. Each episode of a lecture is
    a separate range.
    """
    units, first, end = deal.units, run.first, run.last
    if deal.demand.content.type is ContentType.LECTURE:
        yield from ((item, item + 1) for item in range(first, end))
        return
    if not pieces and units[end - 1] - units[first] == end - 1 - first:
        yield first, end
        return
    for last in range(first + 1, end + 1):
        if (
            last == end
            or units[last] != units[last - 1] + 1
            or pieces.get(units[last], 1) > 1
            or pieces.get(units[last - 1], 1) > 1
        ):
            yield first, last
            first = last
