"""Placing what a day got: rows from–to, wrap-up where there is room for it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from domain.scheduling.allotment import Allotment, Item
from domain.scheduling.dealing import Deal
from domain.scheduling.notices import Notice, notice
from domain.scheduling.packing import Room, Run, pack
from domain.scheduling.vocabulary import ContentType, PlanKind


class Row(NamedTuple):
    """A row on one day, in the order of its sort key."""

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
    """A wrap-up that had to be shorter than asked for."""

    day: int
    content: int
    need: int
    given: int

    def notice(self, date: str) -> Notice:
        """The warning that tells it."""
        return notice(
            "wrap_up_shrunk", date=date, content=self.content, need=self.need, given=self.given
        )


def place(allotment: Allotment, rooms: Mapping[int, Room]) -> tuple[list[Row], list[ShrunkWrapUp]]:
    """The study rows of every day, and the wrap-ups that were shortened."""
    rows: list[Row] = []
    shrunk: list[ShrunkWrapUp] = []
    parts = _Parts(allotment)
    for day in sorted(allotment.items):
        items = allotment.items[day]
        wraps = [item.deal.demand.content.wrap_up_minutes for item in items]
        runs = _pack_all(items, wraps, rooms[day])
        if runs is None:
            given, runs = _shrink(items, wraps, rooms[day])
            if runs is None:
                runs = allotment.runs[day]
            shrunk += [
                ShrunkWrapUp(day, item.deal.demand.content.position, need, got)
                for item, need, got in zip(items, wraps, given, strict=True)
                if got < need
            ]
            wraps = given
        for item, item_runs, wrap in zip(items, runs, wraps, strict=True):
            rows += _rows(day, item, item_runs, wrap, parts)
    return rows, shrunk


def _pack_all(items: Sequence[Item], wraps: Sequence[int], room: Room) -> list[list[Run]] | None:
    """Runs of every item in the order of placing, or ``None`` if they do not all fit whole."""
    free = room.copy()
    placed: list[list[Run]] = []
    for item, wrap in zip(items, wraps, strict=True):
        runs = pack(item.deal.prefix, item.first, item.last, free, wrap)
        if runs is None:
            return None
        free.take(runs)
        placed.append(runs)
    return placed


def _shrink(
    items: Sequence[Item], wraps: Sequence[int], room: Room
) -> tuple[list[int], list[list[Run]] | None]:
    """The longest wrap-ups, one content after the other, with which every unit stays whole."""
    given = [0] * len(items)
    best = _pack_all(items, given, room)
    if best is None:
        return given, None
    for index, wrap in enumerate(wraps):
        fits, too_long = 0, wrap + 1
        while too_long - fits > 1:
            given[index] = (fits + too_long) // 2
            runs = _pack_all(items, given, room)
            if runs is None:
                too_long = given[index]
            else:
                fits, best = given[index], runs
        given[index] = fits
    return given, best


class _Parts:
    """Numbers the pieces of split units over all days."""

    def __init__(self, allotment: Allotment) -> None:
        self.seen: dict[int, Counter[int]] = {}
        self.pieces: dict[int, Counter[int]] = {}
        deals = {id(item.deal): item.deal for items in allotment.items.values() for item in items}
        for deal in deals.values():
            kept = deal.demand.kept_pieces
            if kept or len(deal.units) > len(deal.demand.units):
                position = deal.demand.content.position
                self.seen[position] = Counter(kept)
                self.pieces[position] = Counter(kept) + Counter(deal.units)

    def of(self, content: int) -> Mapping[int, int]:
        """How many pieces each unit of a content has; empty if none is split."""
        return self.pieces.get(content, {})

    def next(self, content: int, unit: int) -> int:
        """The number of the unit's next piece."""
        self.seen[content][unit] += 1
        return self.seen[content][unit]


def _rows(day: int, item: Item, runs: Iterable[Run], wrap_up: int, parts: _Parts) -> Iterator[Row]:
    """One row for each stretch of consecutive whole units, each episode and each piece."""
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
    """A run's items cut into rows: at gaps, around pieces, and a lecture's at every episode."""
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
