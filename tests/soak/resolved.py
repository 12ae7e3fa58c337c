"""Which operations are stored: those that were answered, and those that nobody answered.

A worker that was killed, or that lost its connection in the commit, does not know what came
of it. The database does: a generation names its request, and of an edit the row's version
tells, for each version of a row was written once.
"""

from collections import defaultdict
from collections.abc import Iterable

from tests.soak.facts import Facts
from tests.soak.history import Kind, Operation, Outcome

Writers = dict[tuple[str, int], list[Operation]]


def stored(operations: Iterable[Operation], facts: Facts) -> frozenset[str]:
    """The ids of all whose work is in the database for certain."""
    candidates = [operation for operation in operations if operation.may_be_stored]
    generated = {generation.requested_by for generation in facts.generations}
    versions = final_versions(facts)
    wrote = writers(candidates)
    return frozenset(
        one.id
        for one in candidates
        if one.outcome is Outcome.DONE
        or (one.kind is Kind.GENERATE and one.id in generated)
        or any(
            version <= versions.get(row, 0) and wrote[row, version] == [one]
            for row, version in one.writes.items()
        )
    )


def writers(operations: Iterable[Operation]) -> Writers:
    """Who may have written which version of which row."""
    found: Writers = defaultdict(list)
    for operation in operations:
        if operation.may_be_stored:
            for write in operation.writes.items():
                found[write].append(operation)
    return found


def final_versions(facts: Facts) -> dict[str, int]:
    """Every row that edits have changed, with the version that the last of them wrote."""
    rows = {group.id: group.version for group in facts.groups.values()}
    rows |= {plan.id: plan.edited for plan in facts.plans if plan.edited != 1}
    return rows
