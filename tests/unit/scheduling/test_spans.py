"""Arithmetic on spans agrees with sets of minutes."""

from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.spans import Span, merged, without

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def minutes(spans: list[Span]) -> set[int]:
    return {minute for start, end in spans for minute in range(start, end)}


def is_tidy(spans: list[Span]) -> bool:
    return spans == merged(spans)


@given(SPANS, SPANS)
def test_minutes_without_holes_are_the_difference(spans: list[Span], holes: list[Span]) -> None:
    rest = without(merged(spans), holes)
    assert minutes(rest) == minutes(spans) - minutes(holes)
    assert is_tidy(rest)


@given(SPANS)
def test_merged_spans_have_the_same_minutes(spans: list[Span]) -> None:
    assert minutes(merged(spans)) == minutes(spans)
