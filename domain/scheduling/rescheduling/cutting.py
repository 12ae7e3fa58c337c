"""Units that are cut because they would not be placed otherwise, which is the last resort.

The last days of a stuck content are laid out anew, as few of them as help most, with as few cuts as
their free spans allow. The number of days is doubled until everything is placed, so the cost is
linear in the spans of the days, apart from a logarithmic factor. Units that are pieces already are
not cut again, and neither are units of which a piece is done.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from domain.scheduling.distribution.deal import Deal
from domain.scheduling.placement import Room, reach
from domain.scheduling.rescheduling.catching_up import CaughtUp, Content
from domain.scheduling.rescheduling.session import OpenDay, lay_out_session
from domain.scheduling.rescheduling.timetable import Timetable
from domain.scheduling.rows import Row
from domain.scheduling.splitting import SHORTEST_DIVISIBLE, divisible_reach, fewest_cuts


def cut_to_fit(content: Content, found: CaughtUp, timetable: Timetable) -> CaughtUp | None:
    """Place more of a content than was found, with cuts, or return ``None`` if that is impossible.

    The rows of all other contents hold their time.
    """
    best: _LastDays | None = None
    demand = content.demand  # whose own days are not those of the content if these are shifted
    days = sorted({*content.days, *demand.reserve_days, *demand.spare_days})
    count = 1
    while count < 2 * len(days):
        tried = _LastDays.of(content, found, timetable, days[-count:])
        if tried is not None and tried.stop > (found.placed if best is None else best.stop):
            best = tried
        if tried is None or tried.stop == content.count:
            break
        count *= 2
    if best is None:
        return None
    new = best.rows(content, timetable)
    if new is None:
        return None
    first = min(best.rooms)
    return CaughtUp([*(row for row in found.rows if row.day < first), *new], best.stop)


@dataclass(frozen=True, slots=True)
class _LastDays:
    """The free time of the last days of a content, which hold the items from start to stop."""

    start: int
    stop: int
    rooms: dict[int, Room]

    @classmethod
    def of(
        cls, content: Content, found: CaughtUp, timetable: Timetable, days: Sequence[int]
    ) -> "_LastDays | None":
        """Return as many items as the days hold with cuts; ``None`` if a piece is among them."""
        start = sum(_items(row) for row in found.rows if row.day < days[0])
        whole = content.count
        for item in range(start, content.count):
            if content.numbers[item] != (1, 1) or (
                content.deal.units[item] in content.demand.kept_pieces
            ):
                whole = item
                break
        if whole <= found.placed:
            return None
        rooms = {day: timetable.free(day, {content.position}) for day in days}
        spans = [length for room in rooms.values() for length in room.lengths()]
        prefix = content.deal.prefix[start : whole + 1]
        rest = [minute - prefix[0] for minute in prefix]
        return cls(start, start + divisible_reach(rest, spans, SHORTEST_DIVISIBLE), rooms)

    def rows(self, content: Content, timetable: Timetable) -> list[Row] | None:
        """Return the rows of the items, or ``None`` if a day does not hold its part."""
        deal, numbers = self._cut(content)
        rows: list[Row] = []
        first = self.start
        for day, room in self.rooms.items():
            stop = reach(deal.prefix, first, room.lengths())
            if stop > first:
                open_day = OpenDay(room, timetable.room(day), content.comfort)
                wrap_up = timetable.wrap_up(day, deal.demand.content)
                layout = lay_out_session(deal, range(first, stop), (), open_day, wrap_up)
                if layout is None:
                    return None
                rows += layout.rows(deal, day, numbers)
            first = stop
        return rows if first == len(deal.units) else None

    def _cut(self, content: Content) -> tuple[Deal, list[tuple[int, int]]]:
        """Return the items until the last one that is placed, with as few cuts as possible."""
        deal, begin = content.deal, content.deal.prefix[self.start]
        rest = [minute - begin for minute in deal.prefix[self.start : self.stop + 1]]
        spans = [length for room in self.rooms.values() for length in room.lengths()]
        cuts = fewest_cuts(rest, spans, SHORTEST_DIVISIBLE)
        ends = sorted({*rest, *cuts})
        units = [deal.units[self.start + bisect_right(rest, at) - 1] for at in ends[:-1]]
        cut = Deal(
            demand=content.demand,
            units=[*deal.units[: self.start], *units],
            prefix=[*deal.prefix[: self.start], *(begin + at for at in ends)],
            days=[],
            counts=[],
            cuts=len(cuts),
        )
        return cut, [*content.numbers[: self.start], *_numbers(units)]


def _items(row: Row) -> int:
    """Return the number of items of a row."""
    return 1 if row.parts > 1 else row.last_unit - row.first_unit + 1


def _numbers(units: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the part and the parts of each item, of which those of a unit are adjacent."""
    parts = Counter(units)
    for unit, own in groupby(units):
        yield from ((part, parts[unit]) for part, _ in enumerate(own, 1))
