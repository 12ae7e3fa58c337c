"""Handwritten histories and rows: two consecutive generations of one group."""

from dataclasses import replace
from datetime import date
from typing import Any

from tests.soak.checker import check
from tests.soak.facts import Facts, GenerationFact, GroupFact, PlanFact
from tests.soak.history import Kind, Operation, Outcome, digest
from tests.soak.violation import Rule

MONDAY = date(2025, 1, 6)


def plan(number: int, sequence: int, **fields: Any) -> PlanFact:
    """Return a retired plan of generation 1 or a live plan of generation 2."""
    live = fields.get("live", number == 2)
    fact = PlanFact(
        id=f"g{number}.{sequence}", student="s", group="g", generation=number, sequence=sequence,
        date=MONDAY, start=60 * sequence, end=60 * sequence + 60, live=live, kept=False,
        version=1 if live else 2,
    )  # fmt: skip
    return replace(fact, **fields)


def generated(number: int, at: float, **fields: Any) -> Operation:
    """Return a generation of two plans that held its lock for one second from ``at`` on."""
    ids = [f"g{number}.1", f"g{number}.2"]
    return changed(
        Operation(
            f"o{number}", Kind.GENERATE, ["g"], "s", started=at - 1, entered=at,
            seen={"g": [number - 1, 1]}, alive=at + 0.2, planned=at + 0.5, committing=at + 1,
            ended=at + 1.1, outcome=Outcome.DONE, number=number, rows=2, digest=digest(ids),
        ),
        **fields,
    )  # fmt: skip


def read(number: int, at: float, **fields: Any) -> Operation:
    ids = [f"g{number}.1", f"g{number}.2"]
    return changed(
        Operation(
            "r", Kind.READ, ["g"], "s", at, ended=at + 0.1, outcome=Outcome.DONE, number=number,
            rows=2, digest=digest(ids),
        ),
        **fields,
    )  # fmt: skip


def edited(version: int, at: float, **fields: Any) -> Operation:
    """Return an edit that gave the group this version, and the edit's id as its name."""
    return changed(
        Operation(
            f"e{version}", Kind.EDIT, ["g"], "s", started=at - 1, entered=at,
            seen={"g": [2, version - 1]}, alive=at + 0.2, planned=at + 0.5, committing=at + 1,
            ended=at + 1.1, outcome=Outcome.DONE, writes={"g": version},
        ),
        **fields,
    )  # fmt: skip


def refused(at: float, **fields: Any) -> Operation:
    operation = Operation(
        "b", Kind.GENERATE, ["g"], "s", at, ended=at + 0.1, outcome=Outcome.BUSY, error="busy"
    )
    return changed(operation, **fields)


def changed(operation: Operation, **fields: Any) -> Operation:
    for name, value in fields.items():
        setattr(operation, name, value)
    return operation


def two_generations() -> list[Operation]:
    """Return two consecutive generations that break no rule."""
    return [generated(1, 10), generated(2, 20)]


def facts(
    plans: list[PlanFact] | None = None,
    generations: list[GenerationFact] | None = None,
    *,
    locks: int = 0,
    **group: Any,
) -> Facts:
    """Return the rows of two generations of one group, unless the arguments replace them."""
    all_plans = [plan(number, sequence) for number in (1, 2) for sequence in (1, 2)]
    recorded = [GenerationFact("g", number, f"o{number}", 2) for number in (1, 2)]
    return Facts(
        {"g": replace(GroupFact("g", "s", 2), **group)},
        recorded if generations is None else generations,
        all_plans if plans is None else plans,
        locks,
    )


def broken(operations: list[Operation], rows: Facts) -> set[Rule]:
    """Return the rules that the checker reports as broken."""
    operations.sort(key=lambda operation: operation.started)
    return set(check(operations, rows).rules_broken)
