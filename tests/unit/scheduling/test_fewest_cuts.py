"""The search for the fewest cuts finds a minimum, quickly even if there are many short spans."""

from itertools import accumulate, product

from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.splitting import fewest_cuts


def positions(prefix: list[int], lengths: list[int], filled: tuple[bool, ...]) -> tuple[int, int]:
    """Return the end of the units and the number of cuts if these spans are filled completely."""
    position = cuts = 0
    for length, fill in zip(lengths, filled, strict=True):
        stop = min(position + length, prefix[-1])
        whole = max((end for end in prefix if position <= end <= stop), default=position)
        cuts += fill and stop > whole
        position = stop if fill else whole
    return position, cuts


def least(prefix: list[int], lengths: list[int]) -> int | None:
    """Return the least number of cuts, by trying every choice of spans to fill."""
    choices = product((False, True), repeat=len(lengths))
    found = (positions(prefix, lengths, filled) for filled in choices)
    return min((cuts for position, cuts in found if position == prefix[-1]), default=None)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6), st.lists(st.integers(0, 40), max_size=7)
)
def test_fewest_cuts_are_those_of_an_exhaustive_search(
    units: list[int], lengths: list[int]
) -> None:
    prefix = [0, *accumulate(units)]
    cuts = fewest_cuts(prefix, lengths)
    expected = least(prefix, lengths)
    assert (None if cuts is None else len(cuts)) == expected


def test_fewest_cuts_of_long_units_in_many_short_spans_are_found() -> None:
    # Each unit fills 48 spans, so a search that keeps all states would need millions of them.
    prefix = list(range(0, 180 * 1440 + 1, 1440))
    cuts = fewest_cuts(prefix, [30] * 17_000)
    assert cuts is not None
    assert len(cuts) == 180 * 47
