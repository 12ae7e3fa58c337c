"""Proves from histories and rows that generations excluded each other, or says where not.

It knows nothing of the package under test: it would judge any other implementation, and
none of the package's mistakes is repeated in it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.soak import rules_of_rows, rules_of_time
from tests.soak.facts import Facts, read_facts
from tests.soak.history import Operation, Outcome, read_histories
from tests.soak.violation import Rule, Violation

SHOWN = 5


@dataclass(frozen=True)
class Verdict:
    """What the checker found, and how much it had to find it in."""

    violations: list[Violation]
    outcomes: Counter[str]
    faults: Counter[str]
    rescued: int
    """Generations whose commit was never answered and took place all the same."""
    seconds: float

    @property
    def rules_broken(self) -> frozenset[Rule]:
        return frozenset(violation.rule for violation in self.violations)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        faults = ", ".join(f"{count} {name}" for name, count in self.faults.most_common())
        lines = [
            f"{self.outcomes.total()} operations in {self.seconds:.1f} s: {outcomes}",
            f"ended by: {faults}",
            f"{self.rescued} commits took place without an answer",
            f"{len(self.violations)} violations",
        ]
        for rule, count in Counter(v.rule for v in self.violations).items():
            lines.append(f"  {rule.value} ({count})")
            same = [v.text for v in self.violations if v.rule is rule]
            lines.extend(f"    {text}" for text in same[:SHOWN])
        return "\n".join(lines)


def check_run(histories: Path, conninfo: str) -> Verdict:
    """Judge a load that is over: its directory of histories and its database."""
    return check(read_histories(histories), read_facts(conninfo))


def check(operations: list[Operation], facts: Facts) -> Verdict:
    """Judge operations against rows."""
    found = [*rules_of_time.violations(operations), *rules_of_rows.violations(operations, facts)]
    known = {operation.id: operation for operation in operations}
    written = {generation.requested_by for generation in facts.generations}
    unknown = (o for o in operations if o.outcome is Outcome.UNKNOWN)
    return Verdict(
        violations=[*found, *_crashes(known.values())],
        outcomes=Counter(operation.outcome.value for operation in operations),
        faults=Counter(operation.error for operation in operations if operation.error),
        rescued=sum(operation.id in written for operation in unknown),
        seconds=_span(operations),
    )


def _crashes(operations: Iterable[Operation]) -> Iterable[Violation]:
    for operation in operations:
        if operation.outcome is Outcome.CRASHED:
            yield Violation(Rule.CRASH, f"{operation.id}: {operation.error}")
        if operation.outcome is Outcome.COLLIDED:
            yield Violation(Rule.COLLISION, f"{operation.id}: {operation.error}")


def _span(operations: list[Operation]) -> float:
    ends = [operation.ended for operation in operations if operation.ended is not None]
    return max(ends) - operations[0].started if ends else 0.0
