"""Arithmetic on half-open spans ``[start, end)`` of minutes.

A list of spans is *tidy* if it is in ascending order and no span is empty, overlaps another or is
adjacent to another.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the same minutes as a tidy list. Empty and reversed spans contain no minutes."""
    tidy: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if tidy and start <= tidy[-1][1]:
            tidy[-1] = (tidy[-1][0], max(end, tidy[-1][1]))
        else:
            tidy.append((start, end))
    return tidy


def without(spans: Sequence[Span], holes: Iterable[Span]) -> list[Span]:
    """Return the minutes of tidy ``spans`` that are not in ``holes``."""
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
    """Return the number of minutes in spans that do not overlap."""
    return sum(end - start for start, end in spans)


def front(spans: Sequence[Span], minutes: int) -> list[Span]:
    """Return the first ``minutes`` minutes of tidy ``spans``, or all if they have fewer."""
    taken: list[Span] = []
    for start, end in spans:
        if minutes <= 0:
            break
        taken.append((start, min(end, start + minutes)))
        minutes -= end - start
    return taken
