"""Divides the sessions of a day that do not all fit whole, one after another, into its spans."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from domain.scheduling.layout.day_sessions import FreeSpan, Pieces, Session, division_cost
from domain.scheduling.layout.few_spans import MAX_CUTS, are_few, divided_exactly
from domain.scheduling.layout.many_spans import divided_by_search
from domain.scheduling.placement import Run

_MAX_SHORT: Final = 3
"""The number of short pieces up to which a division with fewer of them is looked for."""


def divided_runs(
    sessions: Sequence[Session],
    spans: Sequence[FreeSpan],
    reserve: int,
    bare: Sequence[Sequence[Run]] | None,
) -> list[list[Run]] | None:
    """Return runs of sessions that are cut where a span ends, with the fewest short pieces.

    If ``bare`` has as few short pieces and cuts, its division is used.
    """
    spans = sorted(spans)
    cost = partial(_cost, sessions, max(span.stop - span.start for span in spans))
    if bare is None:
        found = divided(sessions, spans, reserve, (_MAX_SHORT, MAX_CUTS))
        return None if found is None else _in_turn(sessions, spans, found)
    known = _held(spans, bare)
    short, cuts = cost(known)
    limit = (min(short, _MAX_SHORT), MAX_CUTS) if short else (0, min(cuts - 1, MAX_CUTS))
    found = divided(sessions, spans, reserve, limit)
    pieces = known if found is None else min(known, found, key=cost)
    return _in_turn(sessions, spans, pieces)


def divided(
    sessions: Sequence[Session],
    spans: Sequence[FreeSpan],
    reserve: int,
    limit: tuple[int, int] = (0, MAX_CUTS),
) -> Pieces | None:
    """Return what each span holds of each session: few short pieces first, then cheap cuts.

    ``spans`` are in order of time, and of the reserve at most ``reserve`` minutes are used.
    ``None`` means that no way was found with the number of short pieces and the cost of cuts that
    ``limit`` has. In many or long spans, a way may have more of both.
    """
    if limit[1] < 0:
        return None
    if are_few(spans):
        return divided_exactly(sessions, spans, reserve, limit)
    found = divided_by_search(sessions, spans, reserve)
    if found is None and limit[0]:
        anyhow = [one._replace(shortest_piece=1) for one in sessions]
        found = divided_by_search(anyhow, spans, reserve)
    return found


def _held(spans: Sequence[FreeSpan], runs: Sequence[Sequence[Run]]) -> Pieces:
    """Return what each span holds of each session by the runs of the sessions."""
    return [
        [
            range(inside[0].items.start, inside[-1].items.stop) if inside else range(0)
            for own in runs
            for inside in ([run for run in own if span.start <= run.start < span.stop],)
        ]
        for span in spans
    ]


def _cost(sessions: Sequence[Session], longest_span: int, pieces: Pieces) -> tuple[int, int]:
    """Return how many pieces of sessions are too short, and what the cuts cost."""
    costs = [
        division_cost(session, [session.length(one) for one in held if one], longest_span)
        for session, held in zip(sessions, zip(*pieces, strict=True), strict=True)
    ]
    return sum(short for short, _ in costs), sum(cuts for _, cuts in costs)


def _in_turn(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], pieces: Pieces
) -> list[list[Run]]:
    """Return the runs of the pieces, one after another in each span."""
    runs: list[list[Run]] = [[] for _ in sessions]
    for span, held in zip(spans, pieces, strict=True):
        start = span.start
        for session, items, own in zip(sessions, held, runs, strict=True):
            if items:
                stop = start + session.length(items)
                own.append(Run(start, stop, items, span.reserve))
                start = stop
    return runs
