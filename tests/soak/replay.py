"""The history of each group's plans, derived from the records of its runs.

The record of a run names the plans that were live when it had ended. Between two runs, plans are
only retired or moved by hand, under the exclusive lock of the group, so that the run which such a
change has seen tells where in the history it belongs.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from tests.soak.facts import Facts, RunFact
from tests.soak.history import BY_HAND, Kind, Operation

Ids = frozenset[str]
ByHand = Mapping[tuple[str, int], Sequence[Operation]]
"""The changes by hand, by group and the number of the run after which they were made."""


@dataclass(frozen=True, slots=True)
class Step:
    """A run, with the plans that were live just before it and just after it."""

    run: RunFact
    before: Ids
    after: Ids

    @property
    def made(self) -> Ids:
        """The plans that it made live."""
        return self.after - self.before

    @property
    def retired(self) -> Ids:
        return self.before - self.after


@dataclass(frozen=True, slots=True)
class Replay:
    """The runs of a group in order, and the plans that are live in the end."""

    group: str
    steps: tuple[Step, ...]
    live: Ids

    def undone(self, number: int) -> dict[int, int | None]:
        """Return by which undo each run was taken back when run ``number`` had ended."""
        found: dict[int, int | None] = {}
        for run in takewhile(lambda run: run.number <= number, (step.run for step in self.steps)):
            found[run.number] = None
            if run.undoes in found:
                found[run.undoes] = run.number
                # The redos of a run are taken back together with the run.
                for redo in found:
                    if self._puts_into_effect(redo) == run.undoes and redo < run.number:
                        found[redo] = run.number
                restored = self.run(run.undoes).undoes
                if restored is not None:
                    found[restored] = None
        return found

    def run(self, number: int) -> RunFact:
        return self.steps[number - 1].run

    def last_run(self, number: int) -> int | None:
        """Return the run that an undo takes back when run ``number`` has ended."""
        return max(self._in_effect(number), default=None)

    def last_undo(self, number: int) -> int | None:
        """Return the undo that a redo takes back when run ``number`` has ended."""
        last = self.last_run(number) or 0
        found = (
            one
            for one, undone_in in self.undone(number).items()
            if one > last and undone_in is None and self._takes_back_a_run(one)
        )
        return max(found, default=None)

    def takes_back_an_undo(self, run: RunFact) -> bool:
        return run.undoes is not None and self.run(run.undoes).is_undo

    def _puts_into_effect(self, number: int) -> int | None:
        """Return the run that a redo puts into effect again; ``None`` for any other run."""
        undone = self.run(number).undoes
        return None if undone is None else self.run(undone).undoes

    def _takes_back_a_run(self, number: int) -> bool:
        run = self.run(number)
        return run.is_undo and not self.takes_back_an_undo(run)

    def _in_effect(self, number: int) -> list[int]:
        """Return the runs that changed a plan, are not undos and are not undone."""
        return [
            one
            for one, undone_in in self.undone(number).items()
            if undone_in is None and not self.run(one).is_undo and self.run(one).has_changes
        ]


def replays(facts: Facts, by_hand: ByHand) -> dict[str, Replay]:
    """Return the histories by group, of all groups whose runs are numbered without a gap."""
    runs: dict[str, list[RunFact]] = defaultdict(list)
    for run in facts.runs:
        runs[run.group].append(run)
    return {
        group: _replay(group, found, by_hand)
        for group, found in runs.items()
        if [run.number for run in found] == list(range(1, len(found) + 1))
    }


def changes_by_hand(operations: Iterable[Operation], stored: frozenset[str]) -> ByHand:
    """Return the stored changes by hand.

    If several operations may have retired a plan, it was the last one, which found it live. An
    answered one is the last one, because later ones do not find the plan.
    """
    retired: dict[str, Operation] = {}
    for one in sorted(operations, key=lambda one: one.entered or one.started):
        if one.kind in BY_HAND and one.id in stored and one.seen:
            retired.update(dict.fromkeys(one.retired, one))
    found: dict[tuple[str, int], list[Operation]] = defaultdict(list)
    for one in retired.values():
        (group,) = one.groups
        found[group, one.seen[group][0]].append(one)
    return found


def is_stored_by_hand(operation: Operation, facts: Facts) -> bool:
    """Whether an unanswered change by hand can be seen in the rows."""
    if operation.kind is Kind.MOVE:
        return any(made in facts.by_id for made in operation.made)
    rows = [facts.by_id[one] for one in operation.retired if one in facts.by_id]
    return any(row.retired_as == "missed" and row.retired_in is None for row in rows)


def _replay(group: str, runs: Sequence[RunFact], by_hand: ByHand) -> Replay:
    live: Ids = frozenset()
    steps = []
    for run in runs:
        before = _changed(live, by_hand.get((group, run.number - 1), ()))
        live = run.live
        steps.append(Step(run, before, live))
    return Replay(group, tuple(steps), _changed(live, by_hand.get((group, len(runs)), ())))


def _changed(live: Ids, by_hand: Iterable[Operation]) -> Ids:
    """Return the live plans after the changes; a plan that was moved may be moved again."""
    changes = list(by_hand)
    made = {one for change in changes for one in change.made}
    retired = {one for change in changes for one in change.retired}
    return (live | made) - retired
