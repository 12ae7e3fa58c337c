"""Placing what a day got: rows from–to, wrap-up where there is room for it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from domain.scheduling.allotment import Allotment, Item
from domain.scheduling.dealing import Deal
from domain.scheduling.packing import Room, Run, pack
from domain.scheduling.vocabulary import ContentType, PlanKind
from domain.scheduling.warnings import PlanWarning, warning


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

    def warning(self, date: str) -> PlanWarning:
        """The warning that tells it."""
        return warning(
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
        runs, given = _with_wrap_ups(items, wraps, rooms[day], allotment.runs.get(day))
        shrunk += [
            ShrunkWrapUp(day, item.deal.demand.content.position, need, got)
            for item, need, got in zip(items, wraps, given, strict=True)
            if got < need
        ]
        for item, item_runs, wrap in zip(items, runs, given, strict=True):
            rows += _rows(day, item, item_runs, wrap, parts)
    return rows, shrunk


def _with_wrap_ups(
    items: Sequence[Item], wraps: Sequence[int], room: Room, found: list[list[Run]] | None
) -> tuple[list[list[Run]], list[int]]:
    """Runs of a day's items and the wrap-ups they got.

    Each content in turn gets the longest wrap-up with which every unit stays whole and
    none is driven from study time into the reserve. ``found`` is the placing to fall back
    on where the items fit in that way alone.
    """
    bare = _pack_all(items, [0] * len(items), room)
    if bare is None:
        return _stretched(wraps, room, _closed_up(room, found or []))
    if not any(wraps):
        return bare, [0] * len(items)
    most_reserve = _reserve_used(items, bare)
    given = list(wraps)

    def attempt() -> list[list[Run]] | None:
        runs = _pack_all(items, given, room)
        return runs if runs and _reserve_used(items, runs) <= most_reserve else None

    if runs := attempt():
        return runs, given
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


def _reserve_used(items: Sequence[Item], runs: Sequence[Sequence[Run]]) -> int:
    """Minutes of study in the reserve, wrap-ups aside."""
    return sum(
        item.deal.prefix[run.last] - item.deal.prefix[run.first]
        for item, own in zip(items, runs, strict=True)
        for run in own
        if run.reserve
    )


def _closed_up(room: Room, runs: list[list[Run]]) -> list[list[Run]]:
    """The same runs, in each span one behind the other from its beginning on.

    Where a pair of contents was dealt again, the others have stayed where they were, and what
    the pair has left is free before them.
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
    """Runs that stay where they are, their last ones stretched into what is free behind them."""
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
        """How many pieces each unit of a content has; empty if none is split."""
        return self.pieces.get(content, {})

    def next(self, content: int, unit: int) -> int:
        """The least number that no piece of the unit has yet, kept ones among them."""
        taken = self.taken[content].setdefault(unit, set())
        number = next(number for number in count(1) if number not in taken)
        taken.add(number)
        return number


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
