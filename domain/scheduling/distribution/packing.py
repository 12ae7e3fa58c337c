"""Packing: whether the spans of a day hold the units of several contents, and where.

Contents are placed one after another, in turn or those with the longest units first. If neither
order fits into two spans of study time, every division of the contents between them is compared:
the minutes that the first span can have are the bits of an integer, so each place to divide a
content costs one shift.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from domain.scheduling.distribution.sessions import Sessions
from domain.scheduling.placement import Room, Run, pack_in_turn, reserve_minutes

_DIVIDED_SPANS: Final = 2
"""The number of spans between which contents are divided in every way."""


class ReserveNeeds:
    """The minutes of the reserve that the units of a day need; the same units are packed once.

    ``rooms`` must not change meanwhile. Searches ask for most units four times and more.
    """

    def __init__(self, contents: Sequence[Sessions], rooms: Mapping[int, Room]) -> None:
        self._contents, self._rooms = contents, rooms
        self._known: dict[tuple[int, ...], int | None] = {}

    def __call__(self, day: int, items: Mapping[int, range], most: int) -> int | None:
        """Return the minutes that a day needs for units of contents.

        Returns ``None`` if they are not placed uncut, with at most ``most`` minutes of the reserve,
        in any of the orders that are tried.
        """
        contents, room = self._contents, self._rooms[day]
        spare, longest = _spare(contents, items, room)
        if spare >= _wasted(room, longest):
            return 0
        if spare + most < 0:
            return None
        key = [day]
        for number, own in items.items():
            # Where all units have the same length, only their number matters.
            is_uniform = contents[number].is_uniform
            key += (number, len(own)) if is_uniform else (number, own.start, own.stop)
        units = tuple(key)
        if units not in self._known:
            placed = packed(contents, items, room)
            self._known[units] = None if placed is None else reserve_minutes(placed.values())
        needed = self._known[units]
        return needed if needed is not None and needed <= most else None


def packed(
    contents: Sequence[Sessions], items: Mapping[int, range], room: Room
) -> dict[int, list[Run]] | None:
    """Return the runs of units of contents, placed in turn, or else the longest units first."""
    need = sum(
        contents[number].prefix[own.stop] - contents[number].prefix[own.start]
        for number, own in items.items()
    )
    if need > room.minutes:
        return None
    in_turn = sorted(items)
    longest_first = sorted(in_turn, key=lambda number: -contents[number].demand.longest)
    best = _packed(contents, items, room, in_turn)
    if longest_first != in_turn and (best is None or reserve_minutes(best.values())):
        other = _packed(contents, items, room, longest_first)
        if other is not None and (
            best is None or reserve_minutes(other.values()) < reserve_minutes(best.values())
        ):
            best = other
    if best is None or reserve_minutes(best.values()):
        return _divided(contents, items, room, need) or best
    return best


def _divided(
    contents: Sequence[Sessions], items: Mapping[int, range], room: Room, need: int
) -> dict[int, list[Run]] | None:
    """Return runs in two spans of study time; ``None`` if no division fits, or in other rooms."""
    if len(room.study) != _DIVIDED_SPANS:
        return None
    (start, stop), (later_start, later_stop) = room.study
    reached = [1]
    for number, own in items.items():
        prefix, bits = contents[number].prefix, 0
        for end in range(own.start, own.stop + 1):
            bits |= reached[-1] << (prefix[end] - prefix[own.start])
        reached.append(bits & ((1 << (stop - start + 1)) - 1))
    minutes = reached[-1].bit_length() - 1
    if need - minutes > later_stop - later_start:
        return None
    ends = _ends(contents, items, reached, minutes)
    placed: dict[int, list[Run]] = {number: [] for number in items}
    begins = [start, later_start]
    for number, own in items.items():
        prefix = contents[number].prefix
        for span, part in enumerate(
            (range(own.start, ends[number]), range(ends[number], own.stop))
        ):
            if part:
                stop = begins[span] + prefix[part.stop] - prefix[part.start]
                placed[number].append(Run(begins[span], stop, part, reserve=False))
                begins[span] = stop
    return placed


def _ends(
    contents: Sequence[Sessions], items: Mapping[int, range], reached: Sequence[int], minutes: int
) -> dict[int, int]:
    """Return where each content ends in the first span, which has so many minutes then.

    ``reached`` has the minutes that it can have of the first contents, as bits, by their number.
    """
    ends: dict[int, int] = {}
    for turn, (number, own) in reversed(list(enumerate(items.items()))):
        prefix = contents[number].prefix
        # A content stays together if it can.
        for end in (own.stop, *range(own.start, own.stop)):
            left = minutes - prefix[end] + prefix[own.start]
            if left >= 0 and reached[turn] >> left & 1:
                ends[number], minutes = end, left
                break
    return ends


def _packed(
    contents: Sequence[Sessions], items: Mapping[int, range], room: Room, order: Sequence[int]
) -> dict[int, list[Run]] | None:
    runs = pack_in_turn(((contents[number].prefix, items[number], 0) for number in order), room)
    return None if runs is None else dict(zip(order, runs, strict=True))


def fits_easily(contents: Sequence[Sessions], items: Mapping[int, range], room: Room) -> bool:
    """Whether study time surely holds the units, because each span wastes less than one unit."""
    spare, longest = _spare(contents, items, room)
    return spare >= _wasted(room, longest)


def _spare(contents: Sequence[Sessions], items: Mapping[int, range], room: Room) -> tuple[int, int]:
    """Return the minutes of study time beside the units, and those of the longest unit."""
    spare = longest = 0
    for start, stop in room.study:
        spare += stop - start
    for number, own in items.items():
        demand = contents[number].demand
        spare -= demand.prefix[own.stop] - demand.prefix[own.start]
        longest = max(longest, demand.longest)
    return spare, longest


def _wasted(room: Room, longest: int) -> int:
    """Return the minutes that may be wasted at most at the end of the spans."""
    return 0 if len(room.study) == 1 else len(room.study) * longest
