"""The units of one content on one day, laid out with the least change of its rows.

Rows of the content that lie wholly within the units stay, if the units before them find room before
them, and those after them behind them; else the first or the last ones of these rows give way, as
few as possible. If none can stay, the session is laid out anew, from the minute at which it began
or, if the day does not hold it so, from the first free minute. Units stay in order of time. Of
these ways the first one is taken that is possible at all; within each, rows of a group with
``comfort`` get pauses and five-minute marks, and a session laid out anew stays in one span, as far
as the day has the room. The cost is linear in the spans of the day and the rows of the content on
it.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from domain.scheduling.distribution.deal import Deal
from domain.scheduling.layout.arrangement import arrange
from domain.scheduling.layout.comfort import MARK, Comfort
from domain.scheduling.layout.day_sessions import FreeSpan, Session
from domain.scheduling.placement import Room, Run, pack
from domain.scheduling.rows import Row, new_row, ranges_of
from domain.scheduling.spans import Span
from domain.scheduling.types import MINUTES_PER_DAY, PlanKind


class Standing(NamedTuple):
    """A row that stands, with the range of its items in the deal of its content."""

    row: Row
    items: range


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows that stay, and the runs of the other units, each with its wrap-up."""

    kept: tuple[Row, ...]
    runs: tuple[tuple[range, list[Run], int], ...]

    def rows(self, deal: Deal, day: int, numbers: Sequence[tuple[int, int]]) -> Iterator[Row]:
        """Yield all rows of the session; ``numbers`` has the part and the parts of each item."""
        yield from self.kept
        for items, runs, wrap_up in self.runs:
            pieces = {deal.units[item]: numbers[item][1] for item in items if numbers[item][1] > 1}
            for run in runs:
                offset = run.start - deal.prefix[run.items.start]
                for own in ranges_of(deal, run.items, pieces):
                    wrap = wrap_up if own.stop == items.stop else 0
                    part, parts = numbers[own.start]
                    yield new_row(
                        day=day,
                        start=offset + deal.prefix[own.start],
                        stop=offset + deal.prefix[own.stop] + wrap,
                        content=deal.demand.content.position,
                        kind=PlanKind.STUDY,
                        first_unit=deal.units[own.start],
                        last_unit=deal.units[own.stop - 1],
                        part=part,
                        parts=parts,
                        wrap_up=wrap,
                        reserve=run.reserve,
                    )


@dataclass(frozen=True, slots=True)
class OpenDay:
    """The free time of a day for a session, and at which minutes it is open, apart from rows.

    ``free`` includes the time of the session's own rows. Without ``comfort`` rows are placed one
    after another.
    """

    free: Room
    opened: Room
    comfort: Comfort | None = None

    def rooms(self, free: Room, own: Container[int] = ()) -> Iterator[Room]:
        """Yield the rooms to try: if there is comfort, first the part that leaves pauses.

        :param own: minutes at which the session's own rows begin or end: there is no pause there.
        """
        if self.comfort is not None:
            yield Room(self._eased(free.study, own), self._eased(free.reserve, own))
        yield free

    def _eased(self, spans: Sequence[Span], own: Container[int]) -> list[Span]:
        comfort = self.comfort
        assert comfort is not None  # noqa: S101 - the caller has asked for it
        edges = {minute for span in (*self.opened.study, *self.opened.reserve) for minute in span}
        eased = []
        for start, stop in spans:
            first, last = start, stop
            if start not in own:
                first += 0 if start in edges else comfort.pause_minutes
                first += -first % MARK
            if stop not in edges and stop not in own:
                last -= comfort.pause_minutes
            if first < last:
                eased.append((first, last))
        return eased


def lay_out_session(
    deal: Deal, items: range, standing: Sequence[Standing], day: OpenDay, wrap_up: int
) -> Layout | None:
    """Return the layout of the items in the free time of a day, or ``None`` if they do not fit.

    ``standing`` are the content's rows on the day, in order. The wrap-up is shortened if the day
    does not hold all of it, or holds more of it only if fewer rows stay.
    """
    best = _laid_out(deal, items, standing, day, wrap_up)
    if best is not None or not wrap_up:
        return best
    best = _laid_out(deal, items, standing, day, 0)
    if best is None:
        return None
    fits, too_long = 0, wrap_up
    while too_long - fits > 1:
        minutes = (fits + too_long) // 2
        found = _laid_out(deal, items, standing, day, minutes)
        if found is None or len(found.kept) < len(best.kept):
            too_long = minutes
        else:
            fits, best = minutes, found
    return best


def _laid_out(
    deal: Deal, items: range, standing: Sequence[Standing], day: OpenDay, wrap_up: int
) -> Layout | None:
    """Return the layout with a wrap-up of this length, or ``None`` if the day does not hold it."""
    found = _around(deal, items, standing, day, wrap_up)
    if found is not None:
        return found
    runs = _anew(deal, items, standing, day, wrap_up)
    return None if runs is None else Layout((), ((items, runs, wrap_up),))


def _around(
    deal: Deal, items: range, standing: Sequence[Standing], day: OpenDay, wrap_up: int
) -> Layout | None:
    """Return a layout in which as many as possible of the rows within the items stay, if any can.

    A row gives way if the units before it, or behind it, find no room otherwise.
    """
    inside = _may_stay(items, standing, wrap_up)
    before = behind = None
    while inside and before is None:
        part, span = range(items.start, inside[0].items.start), (0, inside[0].row.start)
        if (before := _beside(deal, part, span, day, 0)) is None:
            del inside[0]
    while inside and behind is None:
        part, span = (
            range(inside[-1].items.stop, items.stop),
            (inside[-1].row.stop, MINUTES_PER_DAY),
        )
        if (behind := _beside(deal, part, span, day, wrap_up)) is None:
            del inside[-1]
    if before is None or behind is None:
        return None
    return Layout(tuple(one.row for one in inside), (*before, *behind))


def _may_stay(items: range, standing: Sequence[Standing], wrap_up: int) -> list[Standing]:
    """Return the rows within the items that can stay as far as the wrap-up is concerned."""
    inside = _inside(items, standing)
    if not inside:
        return []
    if inside[-1].items.stop < items.stop:
        # The wrap-up is behind the last unit of the day.
        return inside[:-1] if inside[-1].row.wrap_up else inside
    return inside if _wraps(inside) or not wrap_up else []


def _beside(
    deal: Deal, items: range, span: Span, day: OpenDay, wrap_up: int
) -> tuple[tuple[range, list[Run], int], ...] | None:
    """Return the runs of items before or behind a row that stays, ``None`` if they do not fit."""
    if not items:
        return ()
    packed = _packed(deal, items, day.rooms(within(day.free, span), span), wrap_up)
    return None if packed is None else ((items, packed, wrap_up),)


def _packed(deal: Deal, items: range, rooms: Iterable[Room], wrap_up: int) -> list[Run] | None:
    """Return the runs in the first of the rooms that holds the items."""
    for room in rooms:
        if (runs := pack(deal.prefix, items, room, wrap_up)) is not None:
            return runs
    return None


def _anew(
    deal: Deal, items: range, standing: Sequence[Standing], day: OpenDay, wrap_up: int
) -> list[Run] | None:
    if standing:
        began = standing[0].row.start
        free = within(day.free, (began, MINUTES_PER_DAY))
        rooms = list(day.rooms(free, {began}))
        # A session that fits into the span in which it began stays whole.
        first = [span for span in rooms[0].study if span[0] == began]
        runs = _arranged(deal, items, first, day.comfort, wrap_up)
        runs = runs or _packed(deal, items, rooms, wrap_up)
        if runs is not None:
            return runs
    rooms = list(day.rooms(day.free))
    runs = _arranged(deal, items, rooms[0].study, day.comfort, wrap_up)
    return runs or _packed(deal, items, rooms, wrap_up)


def _arranged(
    deal: Deal, items: range, spans: Sequence[Span], comfort: Comfort | None, wrap_up: int
) -> list[Run] | None:
    """Return runs with pauses and marks, if there is comfort and the spans hold them."""
    if comfort is None or not spans:
        return None
    rows = list(ranges_of(deal, items, Counter(deal.units) if deal.cuts else {}))
    session = Session(deal.prefix, rows, wrap_up)
    free = [FreeSpan(*span, reserve=False) for span in spans]
    found = arrange([session], free, comfort, None, 0)
    return None if found is None else found[0]


def _inside(items: range, standing: Sequence[Standing]) -> list[Standing]:
    """Return the last sequence of adjacent rows, in order of time, within the items."""
    found: list[Standing] = []
    for one in standing:
        if items.start <= one.items.start and one.items.stop <= items.stop:
            if found and found[-1].items.stop != one.items.start:
                found = []
            found.append(one)
    return found


def _wraps(inside: Sequence[Standing]) -> bool:
    return inside[-1].row.wrap_up > 0


def within(room: Room, span: Span) -> Room:
    """Return the part of the free time within a span."""
    return Room(_clipped(room.study, span), _clipped(room.reserve, span))


def _clipped(spans: Sequence[Span], span: Span) -> list[Span]:
    clipped = ((max(start, span[0]), min(stop, span[1])) for start, stop in spans)
    return [(start, stop) for start, stop in clipped if start < stop]
