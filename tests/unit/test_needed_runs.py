"""Which records of runs a removal may delete."""

from dataclasses import replace
from typing import Any

import pytest

from domain.repositories.needed_runs import StoredRun, unneeded


def generated(number: int, **fields: Any) -> StoredRun:
    """Return a closed run with a calendar, to which no plan refers."""
    run = StoredRun(number, None, None, has_calendar=True, is_open=False, is_removable=True)
    return replace(run, **fields)


def undo(number: int, undoes: int, **fields: Any) -> StoredRun:
    return replace(generated(number, has_calendar=False), undoes=undoes, **fields)


OPEN: dict[str, Any] = {"is_open": True, "is_removable": False}
REFERRED: dict[str, Any] = {"is_removable": False}


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], set()),
        ([generated(1)], set()),
        ([generated(1), generated(2), generated(3)], {1, 2}),
        # The newest run has no calendar, as a reschedule has none.
        ([generated(1), generated(2), generated(3, has_calendar=False)], {1}),
        # The run before the first that can be undone, and the calendar before it.
        ([generated(1), generated(2), generated(3, has_calendar=False), generated(4, **OPEN)], {1}),
        # The last one is undone: the calendar of the first is in effect.
        ([generated(1), generated(2, undone_in=3), undo(3, 2)], set()),
        ([generated(1), generated(2, undone_in=3), undo(3, 2), generated(4)], {1, 2, 3}),
        # An undo stays with its run, and while a run that it has taken back stays.
        ([generated(1), generated(2, undone_in=3, **REFERRED), undo(3, 2), generated(4)], {1}),
        (
            [generated(1), generated(2, undone_in=4), generated(3, **REFERRED), undo(4, 2),
             generated(5)],
            {1},
        ),
        # An undo that can be taken back itself: its run and the calendar before the undo stay.
        (
            [generated(1), generated(2, undone_in=5), generated(3),
             generated(4, has_calendar=False), undo(5, 2, **OPEN)],
            set(),
        ),
        # The undo was taken back, so that the calendar of the second run is in effect.
        (
            [generated(1), generated(2), undo(3, 2, undone_in=4), undo(4, 3),
             generated(5, has_calendar=False)],
            {1},
        ),
        # Before the open run the undo of the second one was in effect, and after it no longer.
        (
            [generated(1), generated(2), undo(3, 2, undone_in=5), generated(4, has_calendar=False),
             undo(5, 3, **OPEN)],
            set(),
        ),
    ],
)  # fmt: skip
def test_unneeded_runs_are_those_that_nothing_reads_later(
    runs: list[StoredRun], expected: set[int]
) -> None:
    assert unneeded(runs) == expected
