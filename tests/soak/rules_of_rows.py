"""The rules of the rows of generations, on their own and compared with the histories."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations, pairwise
from math import inf

from tests.soak.facts import Facts, GenerationFact, PlanFact
from tests.soak.history import Kind, Operation, digest
from tests.soak.violation import Rule, Violation

Lifetime = tuple[float, float, list[PlanFact]]
Known = dict[str, Operation]


def violations(
    operations: list[Operation], facts: Facts, stored: frozenset[str]
) -> Iterator[Violation]:
    """Yield all violations in the rows."""
    known = {operation.id: operation for operation in operations}
    yield from _numbers(facts)
    yield from _traces(known, facts)
    yield from _generations([one for one in operations if one.id in stored], facts)
    yield from _live(facts)
    yield from _overlapping("after the load", [plan for plan in facts.plans if plan.live])
    yield from _student_time(known, facts)
    yield from _states(facts)
    if facts.advisory_locks:
        yield Violation(Rule.LEAK, f"{facts.advisory_locks} advisory locks")


def _numbers(facts: Facts) -> Iterator[Violation]:
    numbers: dict[str, list[int]] = defaultdict(list)
    for generation in facts.generations:
        numbers[generation.group].append(generation.number)
    for group in facts.groups.values():
        found = numbers[group.id]
        if len(set(found)) != len(found):
            yield Violation(Rule.REPEAT, f"group {group.id} has several rows with the same number")
        if missing := sorted(set(range(1, group.generation + 1)) ^ set(found)):
            yield Violation(Rule.GAP, f"group {group.id}: {missing[:10]}")


def _traces(known: Known, facts: Facts) -> Iterator[Violation]:
    for generation in facts.generations:
        request = known.get(generation.requested_by)
        if request is None or request.kind is not Kind.GENERATE or not request.may_be_stored:
            how = f"{request.kind}, {request.outcome}" if request else "unknown"
            yield Violation(Rule.TRACE, f"{_name(generation)} by a request that was {how}")
    recorded = {(generation.group, generation.number) for generation in facts.generations}
    for group, number in facts.by_generation.keys() - recorded:
        yield Violation(Rule.TRACE, f"plans of generation {number} of {group}, which has no row")


def _generations(stored: list[Operation], facts: Facts) -> Iterator[Violation]:
    """Check the generations that were answered and those that were stored without an answer."""
    made = {one.requested_by: one for one in facts.generations}
    for one in stored:
        if one.kind is not Kind.GENERATE:
            continue
        fact = made.get(one.id)
        if fact is None or ([fact.group], fact.number) != (one.groups, one.number):
            yield Violation(Rule.LOST, f"{one.id}, generation {one.number} of {one.groups}")
            continue
        rows = facts.by_generation.get((fact.group, fact.number), [])
        same = digest(row.id for row in rows) == one.digest
        complete = sorted(row.sequence for row in rows) == list(range(1, fact.plan_count + 1))
        if not same or not complete or len(rows) != one.rows:
            yield Violation(Rule.ROWS, f"{_name(fact)}: {len(rows)} rows instead of {one.rows}")


def _live(facts: Facts) -> Iterator[Violation]:
    for (group, number), plans in facts.by_generation.items():
        last = facts.groups[group].generation == number
        if last and (gone := [plan for plan in plans if not plan.live]):
            yield Violation(Rule.LIVE, f"{len(gone)} plans of {number} of {group} are not live")
        # A plan whose mark was undone stays live until the next generation; its version is not 1.
        left = [plan for plan in plans if plan.live and not plan.kept and plan.version == 1]
        if left and not last:
            yield Violation(Rule.LIVE, f"{len(left)} plans of {number} of {group} are still live")
        if retired := [plan.id for plan in plans if plan.kept and not plan.live]:
            yield Violation(Rule.KEPT, f"plans {retired} of {group}")


def _states(facts: Facts) -> Iterator[Violation]:
    active = Counter(one.student for one in facts.groups.values() if one.status == "active")
    for student, count in active.items():
        if count > 1:
            yield Violation(Rule.STATES, f"student {student} has {count} active groups")


def _student_time(known: Known, facts: Facts) -> Iterator[Violation]:
    """Find overlaps that a later generation has removed.

    Two generations are compared if their plans were certainly live at the same time.
    """
    lifetimes = _lifetimes(known, facts)
    groups: dict[str, list[str]] = defaultdict(list)
    for group in facts.groups.values():
        groups[group.student].append(group.id)
    for siblings in groups.values():
        for one, other in combinations(siblings, 2):
            yield from _simultaneous_overlaps(lifetimes[one], lifetimes[other])


def _lifetimes(known: Known, facts: Facts) -> dict[str, list[Lifetime]]:
    """Return, by group, the times between which each generation's plans were certainly live.

    They were live at the latest when the request was answered, and at least until the request for
    the next generation sent its commit.
    """
    found: dict[str, list[Lifetime]] = defaultdict(list)
    by_number = {(one.group, one.number): one for one in facts.generations}
    for generation in facts.generations:
        request = known.get(generation.requested_by)
        begun = request.ended if request and request.made_generation else None
        successor = by_number.get((generation.group, generation.number + 1))
        rows = facts.by_generation.get((generation.group, generation.number), [])
        if begun is not None:
            found[generation.group].append((begun, _replaced_at(known, successor), rows))
    return found


def _replaced_at(known: Known, successor: GenerationFact | None) -> float:
    if successor is None:
        return inf
    request = known.get(successor.requested_by)
    # If the time is unknown, -inf makes the lifetime empty, so that no overlap is reported.
    return -inf if request is None else request.committing or request.entered or request.started


def _simultaneous_overlaps(one: list[Lifetime], other: list[Lifetime]) -> Iterator[Violation]:
    """Compare the generations of two groups whose lifetimes overlap.

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


def _name(generation: GenerationFact) -> str:
    return f"generation {generation.number} of {generation.group}"
