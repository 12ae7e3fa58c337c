"""The rules of reschedules: what they leave as it is; and of units that no run may lose.

The plans before and after each run are those of ``replay``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import pairwise

from tests.soak.facts import Facts, RunFact
from tests.soak.history import Operation
from tests.soak.replay import ByHand, Replay, Step, changes_by_hand, replays
from tests.soak.violation import Rule, Violation


def violations(
    operations: list[Operation], facts: Facts, stored: frozenset[str]
) -> Iterator[Violation]:
    """Yield all violations in reschedules, and the units that runs have lost."""
    by_hand = changes_by_hand(operations, stored)
    known = {one.id: one for one in operations}
    marked = _marked_after(operations)
    for replay in replays(facts, by_hand).values():
        for step in replay.steps:
            if not step.run.is_undo:
                yield from _lost_units(step, facts)
            if step.run.kind == "rescheduled":
                yield from _frozen(step, known, facts)
        yield from _undisturbed(replay, by_hand, marked, known)


def _marked_after(operations: Iterable[Operation]) -> set[tuple[str, int]]:
    """Return the runs, by group and number, that were the last one when a plan was marked."""
    return {
        (group, seen)
        for one in operations
        if one.shared and one.may_be_stored
        for group, (seen, _) in one.seen.items()
    }


def _lost_units(step: Step, facts: Facts) -> Iterator[Violation]:
    """Find units that are in no plan after the run and that it did not report.

    Marks may have changed since what a plan contains, so each counts with its whole range.
    """
    covered: dict[str, set[int]] = defaultdict(set)
    for plan in (facts.by_id[one] for one in step.after if one in facts.by_id):
        if plan.kind == "study":
            covered[plan.content].update(range(plan.first, plan.last + 1))
    for content in facts.contents:
        if content.group == step.run.group:
            for position, first, last in step.run.unplaced:
                if position == content.position:
                    covered[content.id].update(range(first, last + 1))
            lost = {*range(content.first, content.last + 1)} - covered[content.id]
            if lost:
                yield Violation(Rule.LOST_UNITS, f"{sorted(lost)[:5]} by {step.run.name}")


def _frozen(step: Step, known: Mapping[str, Operation], facts: Facts) -> Iterator[Violation]:
    request = known.get(step.run.requested_by)
    if request is None:
        return  # the rules of the rows report it
    first = max(_frozen_until(step.run, known), step.run.today)
    made = [one for one in step.made if one in facts.by_id and facts.by_id[one].date < first]
    retired = [
        one
        for one in step.retired
        if one in facts.by_id and step.run.today <= facts.by_id[one].date < first
    ]
    if made or retired:
        yield Violation(
            Rule.FROZEN, f"{step.run.name} made {made[:3]} and retired {retired[:3]} before {first}"
        )


def _frozen_until(run: RunFact, known: Mapping[str, Operation]) -> date:
    """Return the date before which a run left everything as it was, if it did."""
    request = known.get(run.requested_by)
    return date.fromisoformat((request and request.frozen_until) or date.min.isoformat())


def _undisturbed(
    replay: Replay, by_hand: ByHand, marked: set[tuple[str, int]], known: Mapping[str, Operation]
) -> Iterator[Violation]:
    """Find reschedules that changed plans although nothing had happened since the last run.

    A day that was frozen then may have a review of units that are studied only after it now.
    """
    for last, step in pairwise(replay.steps):
        at = replay.group, last.run.number
        happened = last.run.is_undo or last.run.today < step.run.today
        happened = happened or at in marked or bool(by_hand.get(at))
        first = max(_frozen_until(step.run, known), step.run.today)
        happened = happened or _frozen_until(last.run, known) > first
        if step.run.kind == "rescheduled" and not happened and (step.made or step.retired):
            yield Violation(Rule.UNDISTURBED, f"{step.run.name}: {len(step.made)} new plans")
