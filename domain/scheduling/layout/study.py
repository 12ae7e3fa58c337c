"""Lays out each day: rows with start and stop, and the wrap-ups that fit.

The contents of a day are packed one after another, in the order of placing, from the earliest free
minute on. If that cuts a unit or does not hold all, the placement that was found together with the
distribution is used. Wrap-ups are shortened by bisection. The cost is a few passes over the spans
of the day for each content.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from domain.scheduling.distribution.deal import Deal, Share, shares_by_day
from domain.scheduling.layout.arrangement import arrange
from domain.scheduling.layout.comfort import Comfort
from domain.scheduling.layout.day_sessions import FreeSpan, Session
from domain.scheduling.placement import Room, Run, pack_in_turn, reserve_minutes
from domain.scheduling.result import PlanWarning, warning
from domain.scheduling.rows import Parts, Row, rows_of, whole_ranges_of
from domain.scheduling.spans import total
from domain.scheduling.types import Allocation


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
    deals: Sequence[Deal],
    rooms: Mapping[int, Room],
    comfort: Comfort | None = None,
    wrapped_up: Container[tuple[int, int]] = (),
) -> tuple[list[Row], list[ShrunkWrapUp]]:
    """Return the study rows of every day, and the wrap-ups that were shortened.

    The deals must be in the order of placing. With ``comfort``, the sessions of a day are arranged
    so that they are pleasant to work through, as far as the day has the room. A content has no
    wrap-up on the days with which it is in ``wrapped_up``.
    """
    placed: list[tuple[Share, list[Run], int]] = []
    shrunk: list[ShrunkWrapUp] = []
    parts = Parts(deals)
    turns = _Turns()
    for day, shares in sorted(shares_by_day(deals).items()):
        contents = [share.deal.demand.content for share in shares]
        wraps = [
            0 if (day, content.position) in wrapped_up else content.wrap_up_minutes
            for content in contents
        ]
        runs, given = _with_wrap_ups(shares, wraps, rooms[day])
        if comfort is not None:
            arrangement = _Arrangement(shares, turns.of(shares), rooms[day], parts, comfort)
            runs, given = arrangement.with_wrap_ups(wraps, runs, given)
            turns.opened(shares, runs)
        shrunk += [
            ShrunkWrapUp(day, share.deal.demand.content.position, need, wrap)
            for share, need, wrap in zip(shares, wraps, given, strict=True)
            if wrap < need
        ]
        placed += zip(shares, runs, given, strict=True)
    for share, own, _ in placed:
        parts.count(share, own)
    return [row for one in placed for row in rows_of(*one, parts)], shrunk


def _with_wrap_ups(
    shares: Sequence[Share], wraps: Sequence[int], room: Room
) -> tuple[list[list[Run]], list[int]]:
    """Return the runs of a day's shares and the minutes of their wrap-ups.

    One content after another gets the longest wrap-up with which every unit is uncut and no unit
    is moved from study time to the reserve. The placement that was found together with the deals
    is used if packing the shares one after another fails.
    """
    bare = _pack_all(shares, [0] * len(shares), room)
    if bare is None or _uses_more_reserve(shares, bare):
        return _stretched(wraps, room, _closed_up(room, [share.runs for share in shares]))
    if not any(wraps):
        return bare, [0] * len(shares)
    max_reserve = _study_in_reserve(shares, bare)
    given = list(wraps)

    def attempt() -> list[list[Run]] | None:
        runs = _pack_all(shares, given, room)
        return runs if runs and _study_in_reserve(shares, runs) <= max_reserve else None

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
    owned = zip(shares, wraps, strict=True)
    return pack_in_turn(((share.deal.prefix, share.items, wrap) for share, wrap in owned), room)


def _uses_more_reserve(shares: Sequence[Share], runs: Sequence[Sequence[Run]]) -> bool:
    """Whether a content uses more of the reserve than in the placement that was found before.

    A content that has study time on other days would not need it then.
    """
    return any(
        share.day in share.deal.runs
        and _study_in_reserve([share], [own]) > _study_in_reserve([share], [share.runs])
        for share, own in zip(shares, runs, strict=True)
    )


def _study_in_reserve(shares: Sequence[Share], runs: Sequence[Sequence[Run]]) -> int:
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
    """Return the same runs, the last one of each share extended by the wrap-up.

    It is in the free time after the run, and shortened to the time until the next run or the end of
    the span.
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


@dataclass(frozen=True, slots=True)
class _Arrangement:
    """The shares of a day, to be arranged in ``order`` as a person would do it."""

    shares: Sequence[Share]
    order: Sequence[int]
    room: Room
    parts: Parts
    comfort: Comfort

    def with_wrap_ups(
        self, wraps: Sequence[int], plain: list[list[Run]], given: list[int]
    ) -> tuple[list[list[Run]], list[int]]:
        """Return the runs and the wrap-ups, from those that are found already.

        If these wrap-ups are shorter than requested, it is tried with the whole ones, and then to
        lengthen them.
        """
        arranged = self._arranged(given, plain) or plain
        if given == wraps:
            return arranged, given
        whole = self._arranged(wraps, None)
        if whole and _study_in_reserve(self.shares, whole) <= _study_in_reserve(self.shares, plain):
            return whole, list(wraps)
        missing = [need - wrap for need, wrap in zip(wraps, given, strict=True)]
        stretched, more = _stretched(missing, self.room, arranged)
        if not any(more):
            return arranged, given
        longer = [wrap + added for wrap, added in zip(given, more, strict=True)]
        return self._rested(wraps, longer, stretched), longer

    def _rested(
        self, wraps: Sequence[int], given: Sequence[int], stretched: list[list[Run]]
    ) -> list[list[Run]]:
        """Return the runs arranged again, because longer sittings may need pauses.

        Not if that uses more of the reserve, or leaves time in which a wrap-up would be longer.
        """
        arranged = self._arranged(given, stretched)
        missing = [need - wrap for need, wrap in zip(wraps, given, strict=True)]
        if arranged is None or any(_stretched(missing, self.room, arranged)[1]):
            return stretched
        more = _study_in_reserve(self.shares, arranged) > _study_in_reserve(self.shares, stretched)
        return stretched if more else arranged

    def _arranged(
        self, wraps: Sequence[int], plain: Sequence[Sequence[Run]] | None
    ) -> list[list[Run]] | None:
        """Return the runs that a person would choose, or ``None`` if the day has not the room.

        The reserve is only used if the ``plain`` runs use it, and no more of it, but less if study
        time holds one more unit.
        """
        sessions = [self._session(index, wraps[index]) for index in self.order]
        spans = [FreeSpan(start, stop, reserve=False) for start, stop in self.room.study]
        used = reserve_minutes(plain or ())
        bare = None if plain is None else [plain[index] for index in self.order]
        found = arrange(sessions, spans, self.comfort, None if used else bare, 0)
        if found is None and used:
            spans += [FreeSpan(start, stop, reserve=True) for start, stop in self.room.reserve]
            least = sum(one.minutes for one in sessions) - total(self.room.study)
            if used >= max(0, least) + min(map(_shortest_unit, self.shares)):
                found = arrange(sessions, spans, self.comfort, None, max(0, least))
            found = found or arrange(sessions, spans, self.comfort, bare, used)
        if found is None:
            return None
        by_index = dict(zip(self.order, found, strict=True))
        return [by_index[index] for index in range(len(self.shares))]

    def _session(self, index: int, wrap_up: int) -> Session:
        share = self.shares[index]
        content = share.deal.demand.content
        return Session(
            share.deal.prefix,
            list(whole_ranges_of(share.deal, share.items, self.parts.of(content.position))),
            wrap_up,
            is_weakness=content.allocation is Allocation.WEAKNESS,
        )


def _shortest_unit(share: Share) -> int:
    """Return the minutes of the shortest unit or piece that a share has."""
    prefix = share.deal.prefix
    return min(prefix[item + 1] - prefix[item] for item in share.items)


class _Turns:
    """Lets another content open each day, within weakness and within strategy."""

    def __init__(self) -> None:
        self.last: dict[Allocation, int] = {}

    def of(self, shares: Sequence[Share]) -> list[int]:
        """Return the order of a day's shares: the one after that which was first the last time."""
        order: list[int] = []
        for allocation in Allocation:
            own = _indexes(shares, allocation)
            if own:
                positions = [shares[index].deal.demand.content.position for index in own]
                first = bisect_right(positions, self.last.get(allocation, -1)) % len(own)
                order += own[first:] + own[:first]
        return order

    def opened(self, shares: Sequence[Share], runs: Sequence[Sequence[Run]]) -> None:
        """Remember which shares are the first ones of a day."""
        for allocation in Allocation:
            own = _indexes(shares, allocation)
            if own:
                first = min(own, key=lambda index: runs[index][0].start)
                self.last[allocation] = shares[first].deal.demand.content.position


def _indexes(shares: Sequence[Share], allocation: Allocation) -> list[int]:
    return [i for i, one in enumerate(shares) if one.deal.demand.content.allocation is allocation]
