"""Arranges the sessions of a day as a person would: whole, with pauses, and on the clock's marks.

A *session* is what a content gets on one day. Its rules, of which the last ones give way first if
the day has not the room: a session stays in one span if a span can hold it, and otherwise is cut
between units into pieces of at least ten minutes; after the longest sitting there is a pause; rows
begin on the five-minute marks. The sessions are placed one after another into the first span that
holds them, in turn, or else the longest one first, with all rules, then with fewer ones. At last
the time that a span has left is used for pauses and marks that were given up before. The cost is
that of at most seven such passes.

Nothing is decided here about which units a day gets, and none of them is cut.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

from domain.scheduling.placement import Run
from domain.scheduling.types import Request, Strategy

MARK: Final = 5
"""Rows begin at multiples of so many minutes."""
SHORTEST_PIECE: Final = 10
"""The least minutes of a piece of a session of study that is cut."""
SHORTEST_REVIEW: Final = 5
"""The same for a review."""
_UNLIMITED: Final = 24 * 60
_MANY_SPANS: Final = 12
"""In more spans only one order of the sessions is tried."""


class Session(NamedTuple):
    """Units of a content on one day: the items of each row, in order, and a wrap-up after them."""

    prefix: Sequence[int]
    rows: Sequence[range]
    wrap_up: int = 0
    shortest_piece: int = SHORTEST_PIECE
    is_weakness: bool = False

    @property
    def minutes(self) -> int:
        """The length, with the wrap-up."""
        return self.prefix[self.rows[-1].stop] - self.prefix[self.rows[0].start] + self.wrap_up

    def length(self, items: range) -> int:
        """Return the length of some items, with the wrap-up after the last one."""
        wrap_up = self.wrap_up if items.stop == self.rows[-1].stop else 0
        return self.prefix[items.stop] - self.prefix[items.start] + wrap_up

    def fitting(self, items: range, limit: int) -> range:
        """Return the first items that fit into ``limit`` minutes, so that no piece is too short."""
        if self.length(items) <= limit:
            return items
        prefix, first, stop = self.prefix, items.start, items.stop
        at = min(bisect_right(prefix, prefix[first] + limit, first, stop) - 1, stop - 1)
        while at > first and prefix[stop] - prefix[at] < self.shortest_piece:
            at -= 1
        if prefix[max(at, first)] - prefix[first] < self.shortest_piece:
            at = first
        return range(first, at)


class FreeSpan(NamedTuple):
    """A free span of a day, and whether it is in the reserve."""

    start: int
    stop: int
    reserve: bool


@dataclass(frozen=True, slots=True)
class Comfort:
    """The wishes for a day: minutes of the longest sitting and of a pause."""

    longest_sitting: int
    pause_minutes: int


def comfort_of(request: Request) -> Comfort | None:
    """Return the wishes of a group, or ``None`` if its strategy places rows one after another."""
    if request.strategy is Strategy.EVEN:
        return None
    return Comfort(request.longest_sitting, request.pause_minutes)


@dataclass(slots=True)
class _Clock:
    """The next free minute of a span, and since when there has been no pause (``None``: fresh).

    ``pauses`` and ``marks`` have the minutes that may still be spent on pauses and marks.
    """

    comfort: Comfort
    now: int
    since: int | None = None
    pauses: int = _UNLIMITED
    marks: int = _UNLIMITED

    def copy(self) -> "_Clock":
        """Return a clock that shows the same."""
        return _Clock(self.comfort, self.now, self.since, self.pauses, self.marks)

    def start(self) -> int:
        """Return the minute at which the next row begins: on a mark, if it may."""
        gap = -self.now % MARK
        return self.now + gap if gap <= self.marks else self.now

    def sitting(self, start: int) -> int:
        """Return how many minutes a row may have that begins at ``start``."""
        if self.pauses < self.comfort.pause_minutes:
            return _UNLIMITED
        since = start if self.since is None else self.since
        return self.comfort.longest_sitting - (start - since)

    def pause(self) -> bool:
        """Make a pause, unless there is nothing to rest from; return whether there is one."""
        if self.since is None or self.pauses < self.comfort.pause_minutes:
            return False
        self.pauses -= self.comfort.pause_minutes
        self.now += self.comfort.pause_minutes
        self.since = None
        return True

    def run(self, start: int, stop: int) -> None:
        """Go on to the end of a row."""
        self.marks -= start - self.now
        self.now = stop
        if self.since is None:
            self.since = start


def arrange(
    sessions: Sequence[Session],
    spans: Sequence[FreeSpan],
    comfort: Comfort,
    bare: Sequence[Sequence[Run]] | None,
) -> list[list[Run]] | None:
    """Return the runs of each session.

    ``spans`` are in the order in which they are used. ``bare`` has runs that are known to fit, for
    the case that the sessions cannot be kept whole; if it is ``None``, so is the result then.
    """
    orders = _orders(sessions)
    runs: list[list[Run]] = [[] for _ in sessions]
    if len(spans) > _MANY_SPANS:
        orders = orders[:1]
    spare = sum(stop - start for start, stop, _ in spans) - sum(one.minutes for one in sessions)
    for pauses, marks in ((_UNLIMITED, _UNLIMITED), (_UNLIMITED, 0), (0, 0)):
        if pauses and spare < comfort.pause_minutes:
            continue
        for order in orders:
            clocks = [_Clock(comfort, span.start, None, pauses, marks) for span in spans]
            placed = _place([sessions[index] for index in order], spans, clocks)
            if placed is not None:
                for index, own in zip(order, placed, strict=True):
                    runs[index] = own
                if marks:
                    return runs
                return loosened(sessions, spans, comfort, runs)
    return None if bare is None else loosened(sessions, spans, comfort, bare)


def loosened(
    sessions: Sequence[Session],
    spans: Sequence[FreeSpan],
    comfort: Comfort,
    runs: Sequence[Sequence[Run]],
) -> list[list[Run]]:
    """Return the runs with pauses and marks, as far as each span has time left for them.

    Each span keeps its runs and their order.
    """
    found: list[list[Run]] = [[] for _ in sessions]
    for span in spans:
        inside = sorted(
            (run.start, index, run.items)
            for index, own in enumerate(runs)
            for run in own
            if span.start <= run.start < span.stop
        )
        spare = (
            span.stop
            - span.start
            - sum(sessions[index].length(items) for _, index, items in inside)
        )
        groups = [
            (index, _merged(sessions[index], [items for _, _, items in group]))
            for index, group in groupby(inside, key=lambda one: one[1])
        ]
        clock = _Clock(comfort, span.start, None, spare, 0)
        _refill(sessions, groups, span, clock)
        pauses = spare - clock.pauses
        clock = _Clock(comfort, span.start, None, pauses, spare - pauses)
        for index, own in _refill(sessions, groups, span, clock):
            found[index] += own
    return [sorted(own, key=lambda run: run.start) for own in found]


def _orders(sessions: Sequence[Session]) -> list[list[int]]:
    """Return the orders that are tried, in the order of preference.

    In turn; with the longest sessions first except for those that open the day; longest first;
    longest first even if a weakness comes after a strategy then.
    """
    in_turn = list(range(len(sessions)))
    weak = sum(session.is_weakness for session in sessions)
    openers = {0, weak}

    def rank(index: int) -> tuple[bool, int, int]:
        return index >= weak, -sessions[index].minutes, index

    opened = sorted(in_turn, key=lambda i: (i >= weak, i not in openers, *rank(i)))
    found: list[list[int]] = []
    anyhow = sorted(in_turn, key=lambda index: rank(index)[1:])
    for order in (in_turn, opened, sorted(in_turn, key=rank), anyhow):
        if order not in found:
            found.append(order)
    return found


def _place(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], clocks: list[_Clock]
) -> list[list[Run]] | None:
    """Return the runs of each session, or ``None`` if one does not fit."""
    placed = []
    for session in sessions:
        runs = _whole(session, spans, clocks) or _cut(session, spans, clocks)
        if runs is None:
            return None
        placed.append(runs)
    return placed


def _whole(session: Session, spans: Sequence[FreeSpan], clocks: list[_Clock]) -> list[Run] | None:
    """Place a session into the first span that holds it."""
    minutes = session.minutes
    for index, span in enumerate(spans):
        if span.stop - clocks[index].now < minutes:
            continue
        clock = clocks[index].copy()
        runs, rest = _fill(session, session.rows, span, clock)
        if not rest:
            clocks[index] = clock
            return runs
    return None


def _cut(session: Session, spans: Sequence[FreeSpan], clocks: list[_Clock]) -> list[Run] | None:
    """Place a session that no span can hold into several spans, in the order of time."""
    minutes = session.minutes
    if any(minutes <= span.stop - span.start for span in spans):
        return None
    placed: list[Run] = []
    rows = session.rows
    for index in sorted(range(len(spans)), key=lambda index: spans[index].start):
        if spans[index].stop <= clocks[index].now:
            continue
        clock = clocks[index].copy()
        runs, rows = _fill(session, rows, spans[index], clock)
        if runs:
            clocks[index] = clock
            placed += runs
        if not rows:
            return placed
    return None


def _fill(
    session: Session, rows: Sequence[range], span: FreeSpan, clock: _Clock
) -> tuple[list[Run], Sequence[range]]:
    """Return the runs of rows that fit into a span, and the rows that remain."""
    runs: list[Run] = []
    waiting = list(rows)
    if clock.sitting(clock.now) < session.minutes <= clock.comfort.longest_sitting:
        clock.pause()
    while waiting:
        items = waiting[0]
        start = clock.start()
        rest = span.stop - start
        fitting = session.fitting(items, min(rest, clock.sitting(start)))
        if not fitting and clock.since is None and session.length(items[:1]) <= rest:
            fitting = items[:1]  # a unit that is longer than the longest sitting
        if fitting:
            stop = start + session.length(fitting)
            runs.append(Run(start, stop, fitting, span.reserve))
            clock.run(start, stop)
            waiting[0] = range(fitting.stop, items.stop)
            if not waiting[0]:
                del waiting[0]
        elif clock.now >= span.stop or not clock.pause():
            break
    return runs, waiting


def _merged(session: Session, pieces: Sequence[range]) -> list[range]:
    """Return pieces of rows, joined where a row was cut."""
    ends = {row.stop for row in session.rows}
    rows: list[range] = []
    for piece in pieces:
        if rows and rows[-1].stop == piece.start and piece.start not in ends:
            rows[-1] = range(rows[-1].start, piece.stop)
        else:
            rows.append(piece)
    return rows


def _refill(
    sessions: Sequence[Session],
    groups: Sequence[tuple[int, list[range]]],
    span: FreeSpan,
    clock: _Clock,
) -> list[tuple[int, list[Run]]]:
    """Place rows again in the same span and order."""
    placed = []
    for index, rows in groups:
        runs, rest = _fill(sessions[index], rows, span, clock)
        if rest:
            raise AssertionError("rows must fit into the span in which they were")
        placed.append((index, runs))
    return placed
