"""Arithmetic on half-open spans ``[start, end)`` of minutes.

A list of spans is *tidy* when it ascends, nothing is empty and nothing overlaps or touches.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same minutes as a tidy list; empty and reversed spans hold none."""
    tidy: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if tidy and start <= tidy[-1][1]:
            tidy[-1] = (tidy[-1][0], max(end, tidy[-1][1]))
        else:
            tidy.append((start, end))
    return tidy


def without(spans: Sequence[Span], holes: Iterable[Span]) -> list[Span]:
    """The minutes of tidy ``spans`` that lie in none of ``holes``."""
    rest = list(spans)
    for hole_start, hole_end in holes:
        rest = [
            piece
            for start, end in rest
            for piece in ((start, min(end, hole_start)), (max(start, hole_end), end))
            if piece[0] < piece[1]
        ]
    return rest


def total(spans: Iterable[Span]) -> int:
    """The number of minutes in spans that do not overlap."""
    return sum(end - start for start, end in spans)


def front(spans: Sequence[Span], minutes: int) -> list[Span]:
    """The first ``minutes`` minutes of tidy ``spans``; all of them if they hold less."""
    taken: list[Span] = []
    for start, end in spans:
        if minutes <= 0:
            break
        taken.append((start, min(end, start + minutes)))
        minutes -= end - start
    return taken
