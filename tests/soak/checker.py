"""Proves from histories and rows that generations excluded each other, or reports violations.

The checker uses no code of the package under test, so it cannot repeat a defect of the package and
could check any other implementation.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.soak import (
    rules_of_edits,
    rules_of_reschedules,
    rules_of_rows,
    rules_of_runs,
    rules_of_time,
)
from tests.soak.facts import Facts, read_facts
from tests.soak.history import Operation, Outcome, read_histories
from tests.soak.resolved import stored
from tests.soak.violation import Rule, Violation

MAX_SHOWN = 5


@dataclass(frozen=True)
class Verdict:
    """The violations that the checker found, and the amount of data that it checked."""

    violations: list[Violation]
    outcomes: Counter[tuple[str, str]]
    """The number of operations by kind and outcome."""
    faults: Counter[str]
    errors: Counter[str]
    unanswered: int
    """The number of operations whose worker does not know their outcome."""
    unanswered_stored: int
    """The number of unanswered operations whose changes are in the database."""
    runs: int
    plans: int
    held: int
    """The number of compared spans during which an operation held a group's lock."""
    shared: int
    """The number of these spans in which the lock was shared."""
    overlapping_shared: int
    """The number of shared spans that began during another shared span of the same group."""
    seconds: float

    @property
    def rules_broken(self) -> frozenset[Rule]:
        return frozenset(violation.rule for violation in self.violations)

    def count(self, *outcomes: Outcome) -> int:
        """The number of operations that ended with one of the outcomes."""
        return sum(
            count for (_, outcome), count in self.outcomes.items() if outcome in set(outcomes)
        )

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.outcomes.total()} operations in {self.seconds:.0f} s",
                *_table(self.outcomes),
                f"injected faults: {_listed(self.faults)}",
                f"errors: {_listed(self.errors)}",
                f"{self.unanswered} unanswered, {self.unanswered_stored} of them stored",
                f"checked: {self.runs} runs, {self.plans} plans",
                f"compared: {self.held} spans in which a group's lock was held,",
                f"  {self.shared} of them shared, {self.overlapping_shared} of these overlapping",
                *_report(self.violations),
            ]
        )


def check_run(histories: Path, conninfo: str) -> Verdict:
    """Check a finished load, given the directory of its histories and its database."""
    facts = read_facts(conninfo)
    return check(read_histories(histories), facts)


def check(operations: list[Operation], facts: Facts) -> Verdict:
    """Check operations, sorted by start time, against the rows of the database."""
    stored_ids = stored(operations, facts)
    unknown = [one for one in operations if one.outcome is Outcome.UNKNOWN]
    held = rules_of_time.spans(operations, stored_ids, lambda one: one.entered)
    return Verdict(
        violations=[
            *rules_of_time.violations(operations, stored_ids),
            *rules_of_rows.violations(operations, facts, stored_ids),
            *rules_of_runs.violations(operations, facts, stored_ids),
            *rules_of_reschedules.violations(operations, facts, stored_ids),
            *rules_of_edits.violations(operations, facts, stored_ids),
            *_unexpected_outcomes(operations),
        ],
        outcomes=Counter((one.kind.value, one.outcome.value) for one in operations),
        faults=Counter(one.fault for one in operations if one.fault),
        errors=Counter(one.error for one in operations if one.error),
        unanswered=len(unknown),
        unanswered_stored=sum(one.id in stored_ids for one in unknown),
        runs=len(facts.runs),
        plans=len(facts.plans),
        held=len(held),
        shared=sum(span.shared for span in held),
        overlapping_shared=rules_of_time.count_overlapping_shared(operations, stored_ids),
        seconds=_span(operations),
    )


def _unexpected_outcomes(operations: Iterable[Operation]) -> Iterator[Violation]:
    for operation in operations:
        if operation.outcome is Outcome.CRASHED:
            yield Violation(Rule.CRASH, f"{operation.id}: {operation.error}")
        if operation.outcome is Outcome.COLLIDED:
            yield Violation(Rule.COLLISION, f"{operation.id}: {operation.error}")


def _table(outcomes: Counter[tuple[str, str]]) -> Iterator[str]:
    for kind in sorted({kind for kind, _ in outcomes}):
        counts = Counter({end: count for (one, end), count in outcomes.items() if one == kind})
        yield f"  {kind:15}{counts.total():6}: {_listed(counts)}"


def _report(violations: list[Violation]) -> Iterator[str]:
    yield f"{len(violations)} violations"
    for rule, count in Counter(violation.rule for violation in violations).items():
        yield f"  {rule.value} ({count})"
        same = [violation.text for violation in violations if violation.rule is rule]
        yield from (f"    {text}" for text in same[:MAX_SHOWN])


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"


def _span(operations: list[Operation]) -> float:
    ends = [operation.ended for operation in operations if operation.ended is not None]
    return max(ends) - operations[0].started if ends else 0.0
