"""Proves from histories and rows that generations excluded each other, or says where not.

It knows nothing of the package under test: it would judge any other implementation, and
none of the package's mistakes is repeated in it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.soak import rules_of_edits, rules_of_rows, rules_of_time
from tests.soak.facts import Facts, read_facts
from tests.soak.history import Operation, Outcome, read_histories
from tests.soak.resolved import stored
from tests.soak.violation import Rule, Violation

SHOWN = 5


@dataclass(frozen=True)
class Verdict:
    """What the checker found, and how much it had to find it in."""

    violations: list[Violation]
    outcomes: Counter[tuple[str, str]]
    """By kind and outcome."""
    faults: Counter[str]
    errors: Counter[str]
    unanswered: int
    """How many did not learn what came of them."""
    rescued: int
    """How many of those are in the database."""
    generations: int
    plans: int
    held: int
    """How many spans were compared in which a group's lock was held."""
    shared: int
    """How many of them shared it."""
    together: int
    """How many of these began beside another one."""
    seconds: float

    @property
    def rules_broken(self) -> frozenset[Rule]:
        return frozenset(violation.rule for violation in self.violations)

    def count(self, *outcomes: Outcome) -> int:
        """How many ended in one of these ways."""
        return sum(
            count for (_, outcome), count in self.outcomes.items() if outcome in set(outcomes)
        )

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.outcomes.total()} operations in {self.seconds:.0f} s",
                *_table(self.outcomes),
                f"faults of their own: {_listed(self.faults)}",
                f"ended by: {_listed(self.errors)}",
                f"{self.unanswered} without an answer, {self.rescued} of them stored",
                f"judged: {self.generations} generations, {self.plans} plans",
                f"compared: {self.held} spans in which a group's lock was held,",
                f"  {self.shared} of them shared, {self.together} of these beside another",
                *_told(self.violations),
            ]
        )


def check_run(histories: Path, conninfo: str) -> Verdict:
    """Judge a load that is over: its directory of histories and its database."""
    facts = read_facts(conninfo)
    return check(read_histories(histories), facts)


def check(operations: list[Operation], facts: Facts) -> Verdict:
    """Judge operations, by the time they started, against rows."""
    there = stored(operations, facts)
    unknown = [one for one in operations if one.outcome is Outcome.UNKNOWN]
    held = rules_of_time.spans(operations, there, lambda one: one.entered)
    return Verdict(
        violations=[
            *rules_of_time.violations(operations, there),
            *rules_of_rows.violations(operations, facts, there),
            *rules_of_edits.violations(operations, facts),
            *_unpromised(operations),
        ],
        outcomes=Counter((one.kind.value, one.outcome.value) for one in operations),
        faults=Counter(one.fault for one in operations if one.fault),
        errors=Counter(one.error for one in operations if one.error),
        unanswered=len(unknown),
        rescued=sum(one.id in there for one in unknown),
        generations=len(facts.generations),
        plans=len(facts.plans),
        held=len(held),
        shared=sum(span.shared for span in held),
        together=rules_of_time.together(operations, there),
        seconds=_span(operations),
    )


def _unpromised(operations: Iterable[Operation]) -> Iterator[Violation]:
    for operation in operations:
        if operation.outcome is Outcome.CRASHED:
            yield Violation(Rule.CRASH, f"{operation.id}: {operation.error}")
        if operation.outcome is Outcome.COLLIDED:
            yield Violation(Rule.COLLISION, f"{operation.id}: {operation.error}")


def _table(outcomes: Counter[tuple[str, str]]) -> Iterator[str]:
    for kind in sorted({kind for kind, _ in outcomes}):
        counts = Counter({end: count for (one, end), count in outcomes.items() if one == kind})
        yield f"  {kind:15}{counts.total():6}: {_listed(counts)}"


def _told(violations: list[Violation]) -> Iterator[str]:
    yield f"{len(violations)} violations"
    for rule, count in Counter(violation.rule for violation in violations).items():
        yield f"  {rule.value} ({count})"
        same = [violation.text for violation in violations if violation.rule is rule]
        yield from (f"    {text}" for text in same[:SHOWN])


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"


def _span(operations: list[Operation]) -> float:
    ends = [operation.ended for operation in operations if operation.ended is not None]
    return max(ends) - operations[0].started if ends else 0.0
