"""The rules of the rows of runs, on their own and compared with the histories."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations, pairwise
from math import inf
from typing import Final

from tests.soak.facts import Facts, PlanFact, RunFact
from tests.soak.history import RUNS, Kind, Operation
from tests.soak.replay import changes_by_hand
from tests.soak.rules_of_edits import is_answer
from tests.soak.violation import Rule, Violation

Lifetime = tuple[float, float, list[PlanFact]]
Known = dict[str, Operation]
KINDS: Final = {
    "generated": {Kind.GENERATE},
    "rescheduled": {Kind.RESCHEDULE},
    "undone": {Kind.UNDO, Kind.REDO},
}
"""The kinds of operations that write each kind of run."""


def violations(
    operations: list[Operation], facts: Facts, stored: frozenset[str]
) -> Iterator[Violation]:
    """Yield all violations in the rows."""
    known = {operation.id: operation for operation in operations}
    yield from _numbers(facts)
    yield from _traces(known, facts)
    yield from _runs([one for one in operations if one.id in stored], facts)
    yield from _overlapping("after the load", [plan for plan in facts.plans if plan.live])
    by_hand = changes_by_hand(operations, stored)
    retired = {one for changes in by_hand.values() for change in changes for one in change.retired}
    yield from _student_time(known, facts, frozenset(retired))
    yield from _states(facts)
    if facts.advisory_locks:
        yield Violation(Rule.LEAK, f"{facts.advisory_locks} advisory locks")


def _numbers(facts: Facts) -> Iterator[Violation]:
    numbers: dict[str, list[int]] = defaultdict(list)
    for run in facts.runs:
        numbers[run.group].append(run.number)
    for group in facts.groups.values():
        found = numbers[group.id]
        if len(set(found)) != len(found):
            yield Violation(Rule.REPEAT, f"group {group.id} has several rows with the same number")
        if missing := sorted(set(range(1, group.generation + 1)) ^ set(found)):
            yield Violation(Rule.GAP, f"group {group.id}: {missing[:10]}")


def _traces(known: Known, facts: Facts) -> Iterator[Violation]:
    for run in facts.runs:
        request = known.get(run.requested_by)
        if request is None or request.kind not in KINDS[run.kind] or not request.may_be_stored:
            how = f"{request.kind}, {request.outcome}" if request else "unknown"
            yield Violation(Rule.TRACE, f"{run.name} by a request that was {how}")
    for group, number in facts.by_run.keys() - facts.by_number.keys():
        yield Violation(Rule.TRACE, f"plans of run {number} of {group}, which has no record")


def _runs(stored: list[Operation], facts: Facts) -> Iterator[Violation]:
    """Check the runs that were answered and those that were stored without an answer."""
    made = {one.requested_by: one for one in facts.runs}
    for one in stored:
        if one.kind not in RUNS:
            continue
        run = made.get(one.id)
        if run is None or ([run.group], run.number) != (one.groups, one.number):
            yield Violation(Rule.LOST, f"{one.id}, run {one.number} of {one.groups}")
            continue
        counted = run.plan_count == len(run.live if run.is_undo else run.plan_ids)
        if not is_answer(one, run) or not counted or (one.rows or run.plan_count) != run.plan_count:
            yield Violation(Rule.ROWS, f"{run.name}: {run.plan_count} plans instead of {one.rows}")


def _states(facts: Facts) -> Iterator[Violation]:
    active = Counter(one.student for one in facts.groups.values() if one.status == "active")
    for student, count in active.items():
        if count > 1:
            yield Violation(Rule.STATES, f"student {student} has {count} active groups")


def _student_time(known: Known, facts: Facts, by_hand: frozenset[str]) -> Iterator[Violation]:
    """Find overlaps that a later run has removed.

    Two runs are compared if their plans were certainly live at the same time. Plans that were
    retired by hand are left out, because only the runs tell how long they were live.
    """
    lifetimes = _lifetimes(known, facts, by_hand)
    groups: dict[str, list[str]] = defaultdict(list)
    for group in facts.groups.values():
        groups[group.student].append(group.id)
    for siblings in groups.values():
        for one, other in combinations(siblings, 2):
            yield from _simultaneous_overlaps(lifetimes[one], lifetimes[other])


def _lifetimes(known: Known, facts: Facts, by_hand: frozenset[str]) -> dict[str, list[Lifetime]]:
    """Return, by group, the times between which the plans as of each run were certainly live.

    They were live at the latest when the request was answered, and at least until the request for
    the next run sent its commit.
    """
    found: dict[str, list[Lifetime]] = defaultdict(list)
    for run in facts.runs:
        request = known.get(run.requested_by)
        begun = request.ended if request and request.made_run else None
        successor = facts.by_number.get((run.group, run.number + 1))
        rows = [facts.by_id[one] for one in run.live - by_hand if one in facts.by_id]
        if begun is not None:
            found[run.group].append((begun, _replaced_at(known, successor), rows))
    return found


def _replaced_at(known: Known, successor: RunFact | None) -> float:
    if successor is None:
        return inf
    request = known.get(successor.requested_by)
    # If the time is unknown, -inf makes the lifetime empty, so that no overlap is reported.
    return -inf if request is None else request.committing or request.entered or request.started


def _simultaneous_overlaps(one: list[Lifetime], other: list[Lifetime]) -> Iterator[Violation]:
    """Compare the runs of two groups whose lifetimes overlap.

    Both lists are sorted by time. The merge advances the one whose current lifetime ends
    first, so it visits each pair of overlapping lifetimes once, in linear time.
    """
    mine, theirs = 0, 0
    while mine < len(one) and theirs < len(other):
        begun = max(one[mine][0], other[theirs][0])
        over = min(one[mine][1], other[theirs][1])
        if begun < over:
            yield from _overlapping("temporarily", [*one[mine][2], *other[theirs][2]])
        if one[mine][1] <= other[theirs][1]:
            mine += 1
        else:
            theirs += 1


def _overlapping(when: str, plans: list[PlanFact]) -> Iterator[Violation]:
    ordered = sorted(plans, key=lambda plan: (plan.student, plan.date, plan.start, plan.end))
    for first, second in pairwise(ordered):
        same_day = (first.student, first.date) == (second.student, second.date)
        if same_day and second.start < first.end:
            yield Violation(
                Rule.STUDENT_TIME, f"{when}: {first.id} and {second.id} on {first.date}"
            )
