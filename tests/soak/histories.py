"""Histories and rows made by hand: two generations of one group, one after the other."""

from dataclasses import replace
from datetime import date
from typing import Any

from tests.soak.checker import check
from tests.soak.facts import Facts, GenerationFact, GroupFact, PlanFact
from tests.soak.history import Kind, Operation, Outcome, digest
from tests.soak.violation import Rule

MONDAY = date(2025, 1, 6)


def plan(number: int, sequence: int, **fields: Any) -> PlanFact:
    """A plan of generation 1, which is retired, or of generation 2, which is live."""
    live = fields.get("live", number == 2)
    made = PlanFact(
        id=f"g{number}.{sequence}", student="s", group="g", generation=number, sequence=sequence,
        date=MONDAY, start=60 * sequence, end=60 * sequence + 60, live=live, kept=False,
        version=1 if live else 2,
    )  # fmt: skip
    return replace(made, **fields)


def made(number: int, at: float, **fields: Any) -> Operation:
    """A generation of two plans that held its lock for a second, from ``at`` on."""
    ids = [f"g{number}.1", f"g{number}.2"]
    return changed(
        Operation(
            f"o{number}", Kind.GENERATE, ["g"], "s", started=at - 1, entered=at,
            seen={"g": [number - 1, 1]}, alive=at + 0.2, planned=at + 0.5, leaving=at + 1,
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
    """An edit that gave the group its version and its name."""
    return changed(
        Operation(
            f"e{version}", Kind.EDIT, ["g"], "s", started=at - 1, entered=at,
            seen={"g": [2, version - 1]}, alive=at + 0.2, planned=at + 0.5, leaving=at + 1,
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


def two() -> list[Operation]:
    """Whom nothing can be reproached with."""
    return [made(1, 10), made(2, 20)]


def facts(
    plans: list[PlanFact] | None = None,
    generations: list[GenerationFact] | None = None,
    *,
    locks: int = 0,
    **group: Any,
) -> Facts:
    """Two generations of one group, unless told otherwise."""
    whole = [plan(number, sequence) for number in (1, 2) for sequence in (1, 2)]
    recorded = [GenerationFact("g", number, f"o{number}", 2) for number in (1, 2)]
    return Facts(
        {"g": replace(GroupFact("g", "s", 2), **group)},
        recorded if generations is None else generations,
        whole if plans is None else plans,
        locks,
    )


def broken(operations: list[Operation], rows: Facts) -> set[Rule]:
    """The rules that the checker finds broken."""
    operations.sort(key=lambda operation: operation.started)
    return set(check(operations, rows).rules_broken)
