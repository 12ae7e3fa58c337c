"""Which records of runs are still needed when the old ones are removed.

The next reschedule reads the newest record and the calendar in effect. An undo returns to the state
before a run, and so reads the record before it, and the calendar that was in effect then. Without
the record of an undo, a run that it took back would be in effect again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What decides whether the record of a run is needed; runs have consecutive numbers."""

    number: int
    undoes: int | None
    undone_in: int | None
    has_calendar: bool
    is_open: bool
    """Whether it can still be undone."""
    is_removable: bool
    """Whether it is closed and old, and no plan refers to it."""

    def takes_back(self, number: int) -> bool:
        """Whether this is an undo of the run, alone or with a run before it."""
        return self.undoes is not None and self.undoes <= number < self.number

    def takes_back_before(self, end: int) -> bool:
        """Whether this is an undo that was in effect before the run ``end``."""
        return self.undoes is not None and (self.undone_in is None or self.undone_in >= end)


def unneeded(runs: Sequence[StoredRun]) -> set[int]:
    """Return the numbers of the removable runs that nothing needs.

    ``runs`` are all of a group, in order of their numbers. The cost is that of all runs times those
    that can still be undone.
    """
    needed = {run.number for run in runs if not run.is_removable}
    # The states that are read later are the current one, and those before each run to be undone.
    ends = [run.number for run in runs if run.is_open]
    ends.append(max((run.number for run in runs), default=0) + 1)
    for end in ends:
        needed.add(end - 1)
        needed.update(_calendar_before(runs, end))
    size = 0
    while len(needed) > size:
        size = len(needed)
        _add_undos(runs, needed)
    return {run.number for run in runs} - needed


def _add_undos(runs: Sequence[StoredRun], needed: set[int]) -> None:
    """Add the undos of needed runs and the runs of needed undos."""
    deciding = [run.number for run in runs if run.has_calendar and run.number in needed]
    for undo in runs:
        if undo.undoes is None:
            continue
        in_effect = undo.undone_in is None and any(map(undo.takes_back, deciding))
        if in_effect or not needed.isdisjoint({undo.undoes, undo.number}):
            needed |= {undo.undoes, undo.number}


def _calendar_before(runs: Sequence[StoredRun], end: int) -> Iterator[int]:
    """Yield the number of the run whose calendar was in effect before the run ``end``, if any."""
    earlier = [run for run in runs if run.number < end]
    undos = [run for run in earlier if run.takes_back_before(end)]
    for run in reversed(earlier):
        if run.has_calendar and not any(undo.takes_back(run.number) for undo in undos):
            yield run.number
            return
