"""The rules of edits and of marks, and of answers to idempotency keys.

Each edit reads its row under the lock and writes the next version, so each version has exactly one
writer. Two writers mean a lost update; no writer means that a request which failed left a change,
or that a run changed a plan in place.
"""

from collections import Counter
from collections.abc import Iterator

from tests.soak.facts import Facts, GroupFact, RunFact
from tests.soak.history import COMPUTED, Kind, Operation, Outcome, digest
from tests.soak.resolved import final_versions, writers
from tests.soak.violation import Rule, Violation


def violations(
    operations: list[Operation], facts: Facts, stored: frozenset[str]
) -> Iterator[Violation]:
    """Yield all violations in edits and answers."""
    yield from _versions(operations, facts, stored)
    for group in facts.groups.values():
        yield from _names(group, operations)
    yield from _keys(operations, facts)


def _versions(
    operations: list[Operation], facts: Facts, stored: frozenset[str]
) -> Iterator[Violation]:
    wrote = writers(operations)
    final = final_versions(facts)
    for (row, version), authors in wrote.items():
        done = [one.id for one in authors if one.outcome is Outcome.DONE]
        if len(done) > 1:
            yield Violation(Rule.VERSIONS, f"{done} all wrote version {version} of {row}")
        # Of an unanswered edit of several rows, either all of them or none are stored.
        if version > final.get(row, 1) and any(one.id in stored for one in authors):
            yield Violation(Rule.LOST, f"version {version} of {row} by {authors[0].id}")
    for row, last in final.items():
        if missing := [one for one in range(2, last + 1) if (row, one) not in wrote]:
            yield Violation(Rule.TRACE, f"no operation wrote versions {missing[:5]} of {row}")


def _names(group: GroupFact, operations: list[Operation]) -> Iterator[Violation]:
    """A group has the name that its last successful edit set, which is the id of that edit."""
    edits = [one for one in operations if one.kind is Kind.EDIT and group.id in one.writes]
    answered = [one for one in edits if one.outcome is Outcome.DONE]
    author = next((one for one in edits if one.id == group.name), None)
    if author is not None and not author.may_be_stored:
        yield Violation(Rule.TRACE, f"{group.id} is named after {author.id}: {author.outcome}")
    for one in answered:
        if author is None or one.writes[group.id] > author.writes[group.id]:
            yield Violation(Rule.LOST, f"{one.id} named {group.id}, which is named {group.name}")


def _keys(operations: list[Operation], facts: Facts) -> Iterator[Violation]:
    first = {one.key: one for one in facts.runs if one.key}
    for key, times in Counter(one.key for one in facts.runs if one.key).items():
        if times > 1:
            yield Violation(Rule.KEY, f"{times} runs for {key}")
    for one in operations:
        if one.outcome is not Outcome.REPEATED:
            continue
        fact = first.get(one.key)
        if fact is None or not is_answer(one, fact):
            yield Violation(Rule.KEY, f"{one.id} got run {one.number} for {one.key}")


def is_answer(one: Operation, run: RunFact) -> bool:
    """Whether a request for a run got this one as its answer."""
    if one.kind in COMPUTED and one.digest != digest(run.plan_ids):
        return False
    return ([run.group], run.number, run.undoes) == (one.groups, one.number, one.undone)
