"""The search for the fewest cuts finds a minimum, quickly even if there are many short spans."""

from itertools import accumulate, product
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling import splitting
from domain.scheduling.splitting import (
    divisible_reach,
    equal_pieces,
    fewest_cuts,
    level_pieces,
    longest_spans,
)

UNITS = st.lists(st.integers(1, 40), min_size=1, max_size=6)
LENGTHS = st.lists(st.integers(0, 40), max_size=7)


def positions(
    prefix: list[int], lengths: list[int], filled: tuple[bool, ...], shortest: int
) -> tuple[int, int]:
    """Return the end of the units and the number of cuts if these spans are filled completely."""
    position = cuts = 0
    for length, fill in zip(lengths, filled, strict=True):
        stop = min(position + length, prefix[-1])
        whole = max((end for end in prefix if position <= end <= stop), default=position)
        inside = max(end for end in prefix if end <= stop)
        unit = next((end for end in prefix if end > stop), stop) - inside
        is_cut = fill and stop > whole and unit >= shortest
        cuts += is_cut
        position = stop if is_cut else whole
    return position, cuts


def least(prefix: list[int], lengths: list[int], shortest: int) -> tuple[int, int]:
    """Return the most units that fit, and the least number of cuts, by trying every choice."""
    choices = list(product((False, True), repeat=len(lengths)))
    furthest = max(positions(prefix, lengths, filled, shortest)[0] for filled in choices)
    placed = max(index for index, end in enumerate(prefix) if end <= furthest)
    part = prefix[: placed + 1]
    found = (positions(part, lengths, filled, shortest) for filled in choices)
    return placed, min(cuts for position, cuts in found if position == part[-1])


@given(UNITS, LENGTHS, st.sampled_from([1, 15, 25, 1441]))
def test_fewest_cuts_are_those_of_an_exhaustive_search(
    units: list[int], lengths: list[int], shortest: int
) -> None:
    prefix = [0, *accumulate(units)]
    placed, cuts = least(prefix, lengths, shortest)
    assert divisible_reach(prefix, lengths, shortest) == placed
    assert len(fewest_cuts(prefix[: placed + 1], lengths, shortest)) == cuts


def test_fewest_cuts_of_long_units_in_many_short_spans_are_found() -> None:
    # Each unit fills 48 spans, so a search that keeps all states would need millions of them.
    prefix = list(range(0, 180 * 1440 + 1, 1440))
    assert len(fewest_cuts(prefix, [30] * 17_000, 20)) == 180 * 47


@given(UNITS, LENGTHS)
def test_pieces_of_long_units_become_as_equal_as_their_spans_allow(
    units: list[int], lengths: list[int]
) -> None:
    prefix = [0, *accumulate(units)]
    prefix = prefix[: divisible_reach(prefix, lengths, 1) + 1]
    cuts = fewest_cuts(prefix, lengths, 1)
    moved = level_pieces(prefix, cuts, lengths, longest_day=0)
    assert len(moved) == len(cuts)
    assert divisible_reach([0, *sorted({*prefix, *moved} - {0})], lengths, 1441) == len(
        {*prefix, *moved} - {0}
    )


def test_pieces_of_a_unit_longer_than_a_day_are_equal() -> None:
    assert equal_pieces([0, 901], [300, 600, 900], longest_day=300) == [225, 450, 675]
    assert equal_pieces([0, 100, 500], [300], longest_day=399) == [300]
    assert equal_pieces([0, 100, 500], [50, 300], longest_day=399) == [50, 300]


def test_pieces_of_a_unit_longer_than_a_day_are_level_in_their_spans() -> None:
    assert level_pieces([0, 400], [300], [300, 300], longest_day=300) == [200]
    assert level_pieces([0, 100, 500], [300], [300, 300], longest_day=300) == [300]
    assert level_pieces([0, 94], [40], [40, 18, 56, 20], longest_day=56) == [40]


def one_by_one(prefix: list[int], cuts: list[int], lengths: list[int], shortest: int) -> list[int]:
    """Return what ``longest_spans`` leaves of the lengths, found by trying each span."""
    for threshold in sorted(set(lengths), reverse=True):
        kept = [length if length >= threshold else 0 for length in lengths]
        if is_enough(prefix, cuts, kept, shortest):
            break
    else:
        return lengths
    for index, length in enumerate(kept):
        fewer = [*kept[:index], 0, *kept[index + 1 :]]
        if length == threshold and is_enough(prefix, cuts, fewer, shortest):
            kept = fewer
    return kept


def is_enough(prefix: list[int], cuts: list[int], lengths: list[int], shortest: int) -> bool:
    fits = divisible_reach(prefix, lengths, shortest) == len(prefix) - 1
    return fits and len(fewest_cuts(prefix, lengths, shortest)) <= len(cuts)


@given(UNITS, st.lists(st.sampled_from([0, 7, 16, 16, 20, 33]), min_size=1, max_size=14))
def test_longest_spans_are_those_of_trying_each_span(units: list[int], lengths: list[int]) -> None:
    prefix = list(accumulate(units, initial=0))
    prefix = prefix[: divisible_reach(prefix, lengths, 1) + 1]
    cuts = fewest_cuts(prefix, lengths, 1)
    found, cuts_found = longest_spans(prefix, cuts, lengths, 1)
    if cuts:
        assert list(found) == one_by_one(prefix, cuts, lengths, 1)
        assert len(cuts_found) <= len(cuts)


def test_longest_spans_are_found_in_few_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, prefix = [16] * 187, [110 * count for count in range(25)]
    searches = Mock(side_effect=fewest_cuts)
    monkeypatch.setattr(splitting, "fewest_cuts", searches)
    kept, _ = longest_spans(prefix, fewest_cuts(prefix, lengths, 20), lengths, 20)
    assert sum(kept) == 16 * 7 * 24
    assert searches.call_count <= 40
