"""Which operations are stored, among those that were answered and those that were not.

A worker that was killed, or that lost its connection during the commit, does not know whether its
operation was stored. The database shows it: the record of a run names its request, the version of a
row identifies the edit, because each version of a row is written only once, and a change by hand
leaves a row that no run has retired or made.
"""

from collections import defaultdict
from collections.abc import Iterable

from tests.soak.facts import Facts
from tests.soak.history import BY_HAND, RUNS, Kind, Operation, Outcome
from tests.soak.replay import is_stored_by_hand

Writers = dict[tuple[str, int], list[Operation]]


def stored(operations: Iterable[Operation], facts: Facts) -> frozenset[str]:
    """Return the ids of the operations whose changes are certainly in the database."""
    candidates = [operation for operation in operations if operation.may_be_stored]
    recorded = {run.requested_by for run in facts.runs}
    versions = final_versions(facts)
    wrote = writers(candidates)
    # An unanswered edit is stored if the row has reached its version and no other operation can
    # have written that version.
    return frozenset(
        one.id
        for one in candidates
        if one.outcome is Outcome.DONE
        or (one.kind in RUNS and one.id in recorded)
        or (
            one.kind in BY_HAND
            and is_stored_by_hand(one, facts)
            and not _was_made_again(one, candidates)
        )
        or any(
            version <= versions.get(row, 0) and wrote[row, version] == [one]
            for row, version in one.writes.items()
        )
    )


def _was_made_again(operation: Operation, candidates: Iterable[Operation]) -> bool:
    """Whether a later operation has missed the same plan, which it therefore found unchanged."""
    return operation.kind is Kind.MISS and any(
        other.kind is Kind.MISS
        and (other.entered or 0) > (operation.entered or 0)
        and not set(other.retired).isdisjoint(operation.retired)
        for other in candidates
    )


def writers(operations: Iterable[Operation]) -> Writers:
    """Return, by row and version, the operations that may have written it."""
    found: Writers = defaultdict(list)
    for operation in operations:
        if operation.may_be_stored:
            for write in operation.writes.items():
                found[write].append(operation)
    return found


def final_versions(facts: Facts) -> dict[str, int]:
    """Return the rows that edits have changed, with the version that the last edit wrote."""
    rows = {group.id: group.version for group in facts.groups.values()}
    rows |= {plan.id: plan.version for plan in facts.plans if plan.version != 1}
    return rows
