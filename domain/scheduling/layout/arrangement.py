"""Arranges the sessions of a day as a person would: whole, with pauses, and on the clock's marks.

A *session* is what a content gets on one day. Its rules, of which the last ones give way first if
the day has not the room: a session stays in one span if a span can hold it, and otherwise is cut
between units into pieces of at least ten minutes; after the longest sitting there is a pause; rows
begin on the five-minute marks. The sessions are placed one after another into the first span that
holds them, in turn, or else the longest one first, with all rules, then with fewer ones. If none of
these ways holds them, they are divided by a search (see ``division``). At last the time that a
span has left is used for pauses and marks that were given up before.

Nothing is decided here about which units a day gets, and none of them is cut.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby, islice, pairwise, takewhile
from operator import attrgetter
from typing import Final

from domain.scheduling.layout.attempts import Attempt, attempts_of, begins_as_wanted, turned
from domain.scheduling.layout.comfort import MARK, UNLIMITED, Clock, Comfort
from domain.scheduling.layout.day_sessions import FreeSpan, Session
from domain.scheduling.layout.division import divided_runs
from domain.scheduling.placement import Run, reserve_minutes

_FEW_SPANS: Final = 6
"""The number of spans up to which a search divides the sessions between them."""


def arrange(
    sessions: Sequence[Session],
    spans: Sequence[FreeSpan],
    comfort: Comfort,
    bare: Sequence[Sequence[Run]] | None,
    reserve: int,
) -> list[list[Run]] | None:
    """Return the runs of each session, with at most ``reserve`` minutes in the reserve.

    ``spans`` are in the order in which they are used. ``bare`` has runs that are known to fit, for
    the case that no better ones are found, with at most so much reserve; if it is ``None``, so is
    the result then.
    """
    study = sum(stop - start for start, stop, in_reserve in spans if not in_reserve)
    if sum(session.minutes for session in sessions) > study + reserve:
        return None
    runs = _first_fit(sessions, spans, comfort, reserve)
    if runs is not None:
        return runs
    few = len(spans) <= _FEW_SPANS
    found = divided_runs(sessions, spans, reserve, bare) if few else bare
    return None if found is None else loosened(sessions, spans, comfort, found)


def _first_fit(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], comfort: Comfort, reserve: int
) -> list[list[Run]] | None:
    """Return the runs if each session, in one of the orders, goes into the first span with room."""
    for attempt in attempts_of(sessions, spans, comfort):
        found = _attempted(sessions, spans, comfort, reserve, attempt)
        if found is None:
            continue
        if not begins_as_wanted(sessions, attempt.order):
            for order in turned(sessions):
                for early in (True, False):
                    other = attempt._replace(order=order, early=early)
                    runs = _attempted(sessions, spans, comfort, reserve, other)
                    if runs is not None:
                        return runs
        return found
    return None


def _attempted(
    sessions: Sequence[Session],
    spans: Sequence[FreeSpan],
    comfort: Comfort,
    reserve: int,
    attempt: Attempt,
) -> list[list[Run]] | None:
    """Return the runs of an attempt, ``None`` if a session does not fit."""
    order, pauses, marks, early = attempt
    clocks = [Clock(comfort, span.start, pauses, marks, early=early) for span in spans]
    placed = _place([sessions[index] for index in order], spans, clocks)
    if placed is None or reserve_minutes(placed) > reserve:
        return None
    runs = [own for _, own in sorted(zip(order, placed, strict=True))]
    if marks and not _touch(spans, comfort):
        return runs
    return loosened(sessions, spans, comfort, runs)


def _touch(spans: Iterable[FreeSpan], comfort: Comfort) -> bool:
    """Whether one of the spans begins before there was time for a pause after another."""
    ordered = sorted(spans)
    return any(b.start - a.stop < comfort.pause_minutes for a, b in pairwise(ordered))


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
    sitting, stop = 0, -UNLIMITED
    for span in sorted(spans):
        inside = sorted(
            (run.start, index, run.items)
            for index, own in enumerate(runs)
            for run in own
            if span.start <= run.start < span.stop
        )
        if not inside:
            continue
        groups = [
            (index, _rows_within(sessions[index], [items for _, _, items in group]))
            for index, group in groupby(inside, key=lambda one: one[1])
        ]
        rested = span.start - stop
        if rested >= comfort.pause_minutes:
            sitting = rested = 0
        clock = Clock(comfort, span.start, 0, 0, sitting, rested=rested)
        sitting, stop = _loosen(sessions, groups, span, clock, found)
    return [sorted(own, key=lambda run: run.start) for own in found]


def _loosen(
    sessions: Sequence[Session],
    groups: Sequence[tuple[int, list[range]]],
    span: FreeSpan,
    fresh: Clock,
    found: list[list[Run]],
) -> tuple[int, int]:
    """Add the runs of one span, and return the minutes of the last sitting and its end."""
    spare = span.stop - span.start
    spare -= sum(sessions[index].length(row) for index, rows in groups for row in rows)
    ways = []
    for early in (True, False):
        clock = replace(fresh, pauses=spare, early=early)
        _refill(sessions, groups, span, clock)
        pauses = spare - clock.pauses
        clock = replace(fresh, pauses=pauses, marks=spare - pauses, early=early)
        placed = _refill(sessions, groups, span, clock)
        off = sum(run.start % MARK > 0 for _, own in placed for run in own)
        ways.append((clock.excess, off, placed, clock))
        if not clock.excess and not off:
            break
    _, _, placed, clock = min(ways, key=lambda way: way[:2])
    for index, own in placed:
        found[index] += own
    return clock.sitting, clock.now


def _place(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], clocks: list[Clock]
) -> list[list[Run]] | None:
    """Return the runs of each session, or ``None`` if one does not fit."""
    placed = []
    for session in sessions:
        runs = _whole(session, spans, clocks) or _cut(session, spans, clocks)
        if runs is None:
            return None
        placed.append(runs)
    return placed


def _whole(session: Session, spans: Sequence[FreeSpan], clocks: list[Clock]) -> list[Run] | None:
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


def _cut(session: Session, spans: Sequence[FreeSpan], clocks: list[Clock]) -> list[Run] | None:
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
    session: Session, rows: Sequence[range], span: FreeSpan, clock: Clock
) -> tuple[list[Run], Sequence[range]]:
    """Return the runs of rows that fit into a span, and the rows that remain."""
    runs: list[Run] = []
    waiting = list(rows)
    minutes = session.length(range(rows[0].start, rows[-1].stop))
    if clock.early and clock.left() < minutes <= clock.comfort.longest_sitting:
        clock.pause()
    while waiting:
        items = waiting[0]
        start = clock.start()
        rest = span.stop - start
        fitting = session.fitting(items, min(rest, clock.left()))
        if not fitting and not clock.sitting:
            least = session.least(items)
            if session.length(least) <= rest:
                fitting = least
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


def _rows_within(session: Session, pieces: Sequence[range]) -> list[range]:
    """Return the rows of consecutive pieces, each as long as it may be."""
    first, stop = pieces[0].start, pieces[-1].stop
    at = bisect_right(session.rows, first, key=attrgetter("stop"))
    inside = takewhile(lambda row: row.start < stop, islice(session.rows, at, None))
    return [range(max(first, row.start), min(stop, row.stop)) for row in inside]


def _refill(
    sessions: Sequence[Session],
    groups: Sequence[tuple[int, list[range]]],
    span: FreeSpan,
    clock: Clock,
) -> list[tuple[int, list[Run]]]:
    """Place rows again in the same span and order."""
    placed = []
    for index, rows in groups:
        runs, rest = _fill(sessions[index], rows, span, clock)
        if rest:
            raise AssertionError("rows must fit into the span in which they were")
        placed.append((index, runs))
    return placed
