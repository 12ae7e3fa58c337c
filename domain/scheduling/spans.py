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
    for span in sorted(spans):
        start, end = span
        if start >= end:
            continue
        if tidy and start <= tidy[-1][1]:
            tidy[-1] = (tidy[-1][0], max(end, tidy[-1][1]))
        else:
            tidy.append(span)
    return tidy


def without(spans: Sequence[Span], holes: Iterable[Span]) -> list[Span]:
    """Return the minutes of tidy ``spans`` that are not in ``holes``, as tidy spans.

    Holes may be in any order and overlap. The cost is that of sorting them, and linear otherwise.
    """
    gaps = merged(holes) if spans else []
    if not gaps:
        return list(spans)
    rest: list[Span] = []
    first = 0  # the first gap that ends after the start of the span
    for start, end in spans:
        while first < len(gaps) and gaps[first][1] <= start:
            first += 1
        index = first
        while index < len(gaps) and gaps[index][0] < end:
            if start < gaps[index][0]:
                rest.append((start, gaps[index][0]))
            start = gaps[index][1]  # noqa: PLW2901 - what remains of the span begins there
            index += 1
        if start < end:
            rest.append((start, end))
        first = max(first, index - 1)  # the last gap may also cover a part of the next span
    return rest


def contains(spans: Iterable[Span], span: Span) -> bool:
    """Whether one of some tidy spans contains a whole span."""
    return any(start <= span[0] and span[1] <= end for start, end in spans)


def total(spans: Iterable[Span]) -> int:
    """Return the number of minutes in spans that do not overlap."""
    # For a few spans, a loop takes half of the time of sum() with a generator.
    minutes = 0
    for start, end in spans:
        minutes += end - start
    return minutes


def front(spans: Sequence[Span], minutes: int) -> list[Span]:
    """Return the first ``minutes`` minutes of tidy ``spans``, or all if they have fewer."""
    if minutes <= 0:
        return []
    for index, (start, end) in enumerate(spans):
        minutes -= end - start
        if minutes <= 0:
            return [*spans[:index], (start, end + minutes)]
    return list(spans)
