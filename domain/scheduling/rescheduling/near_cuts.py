"""Units that are cut where they are stuck: near the day on which they were due.

The first unit that finds no room is cut to fit the next free spans behind the units before it, with
as few cuts as these allow. Then the content is caught up again with the pieces, so that the rows
behind them stay or move on as usual; and so on with the next unit that is stuck.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from domain.scheduling.rescheduling.catching_up import CaughtUp, Content
from domain.scheduling.rescheduling.session import Standing, within
from domain.scheduling.rescheduling.timetable import Timetable
from domain.scheduling.splitting import SHORTEST_DIVISIBLE, fewest_cuts
from domain.scheduling.types import MINUTES_PER_DAY

_MAX_UNITS: Final = 6
"""How many units of a content are cut at most, because each costs another catching up."""


def cut_near(
    content: Content, found: CaughtUp, timetable: Timetable, catch_up: Callable[[Content], CaughtUp]
) -> CaughtUp | None:
    """Place more of a content than was found, with cuts, or return ``None`` if that is impossible.

    The rows of all other contents hold their time.

    :param catch_up: catches up the content with other items.
    """
    current, placed = content, found
    for _ in range(_MAX_UNITS):
        cut = _with_next_unit_cut(current, placed, timetable)
        if cut is None:
            break
        tried = catch_up(cut)
        if cut.deal.prefix[tried.placed] <= current.deal.prefix[placed.placed]:
            break
        current, placed = cut, tried
        if placed.placed == current.count:
            break
    if placed is found:
        return None
    # The pieces of a unit count as one item of the content that was given.
    minutes = current.deal.prefix[placed.placed]
    return CaughtUp(placed.rows, content.deal.prefix.index(minutes))


def _with_next_unit_cut(content: Content, found: CaughtUp, timetable: Timetable) -> Content | None:
    """Return the content with the first unit that was not placed in pieces, if it may be cut.

    Pieces that it has already, except for kept ones, are cut anew together.
    """
    if found.placed == content.count:
        return None
    units, prefix = content.deal.units, content.deal.prefix
    unit = units[found.placed]
    items = range(found.placed, bisect_right(units, unit))
    if content.demand.unit_minutes(unit) < SHORTEST_DIVISIBLE:
        return None
    length = prefix[items.stop] - prefix[items.start]
    for reserve in (False, True):
        lengths = _next_spans(content, found, timetable, length, reserve=reserve)
        if sum(lengths) >= length:
            return _cut(content, items, fewest_cuts([0, length], lengths, shortest=1))
    return None


def _next_spans(
    content: Content, found: CaughtUp, timetable: Timetable, minutes: int, *, reserve: bool
) -> list[int]:
    """Return the lengths of the free spans behind what was found, until they have the minutes."""
    last = max(found.rows) if found.rows else None
    lengths: list[int] = []
    for day in content.days:
        if last is not None and day < last.day:
            continue
        room = timetable.free(day, {content.position}, reserve=reserve)
        if last is not None and day == last.day:
            room = within(room, (last.stop, MINUTES_PER_DAY))
        for length in room.lengths():
            lengths.append(length)
            if sum(lengths) >= minutes:
                return lengths
    return lengths


def _cut(content: Content, items: range, cuts: Sequence[int]) -> Content | None:
    """Return the content with a unit, which has these items now, cut after so many minutes each."""
    deal, first, stop = content.deal, items.start, items.stop
    unit, start, count = deal.units[first], deal.prefix[first], len(cuts) + 1
    if count <= len(items) and len(items) == 1:
        return None
    kept = content.demand.kept_pieces.get(unit, {})
    parts = count + len(kept)
    numbers = [part for part in range(1, parts + 1) if part not in kept][:count]
    more = count - len(items)
    standing: dict[int, list[Standing]] = {}
    for day, rows in content.standing.items():
        # A row that has the unit does not stand any more.
        standing[day] = [
            one if one.items.stop <= first else one._replace(items=_shifted(one.items, more))
            for one in rows
            if one.items.stop <= first or one.items.start >= stop
        ]
    ends = [start + at for at in cuts]
    return replace(
        content,
        deal=replace(
            deal,
            units=[*deal.units[:first], *[unit] * count, *deal.units[stop:]],
            prefix=[*deal.prefix[: first + 1], *ends, *deal.prefix[stop:]],
            cuts=deal.cuts + more,
        ),
        numbers=[
            *content.numbers[:first],
            *((part, parts) for part in numbers),
            *content.numbers[stop:],
        ],
        due=[*content.due[:first], *[content.due[first]] * count, *content.due[stop:]],
        standing=standing,
    )


def _shifted(items: range, by: int) -> range:
    return range(items.start + by, items.stop + by)
