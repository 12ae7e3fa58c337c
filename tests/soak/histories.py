"""Handwritten histories and rows: two consecutive generations of one group.

The second one moves both plans of the first one. An undo of it makes them live again.
"""

from dataclasses import replace
from datetime import date
from typing import Any

from tests.soak.checker import check
from tests.soak.facts import Facts, GroupFact, PlanFact, RunFact
from tests.soak.history import Kind, Operation, Outcome, digest
from tests.soak.violation import Rule

MONDAY = date(2025, 1, 6)


def plan(number: int, sequence: int, **fields: Any) -> PlanFact:
    """Return a retired plan of generation 1 or a live plan of generation 2."""
    live = fields.get("live", number == 2)
    fact = PlanFact(
        id=f"g{number}.{sequence}", student="s", group="g", generation=number, sequence=sequence,
        date=MONDAY, start=60 * sequence, end=60 * sequence + 60, live=live, state="planned",
        version=1, lineage=f"l{sequence}", content="c", kind="study", first=10 * sequence,
        last=10 * sequence + 9, retired_in=None if live else 2,
        retired_as=None if live else "replaced",
    )  # fmt: skip
    if number == 1:
        fact = replace(fact, start=fact.start + 600, end=fact.end + 600)
    return replace(fact, **fields)


def run(number: int, **fields: Any) -> RunFact:
    """Return the record of a generation of two plans, which moves those of the one before it."""
    ids = [f"g{number}.1", f"g{number}.2"]
    fact = RunFact(
        "g", number, f"o{number}", 2, today=MONDAY, moved=2 if number > 1 else 0,
        new=0 if number > 1 else 2, plan_ids=ids, made_ids=ids, made_versions=[1, 1],
    )  # fmt: skip
    return replace(fact, **fields)


def undo(number: int, undoes: int, **fields: Any) -> RunFact:
    """Return the record of an undo of the second generation, or of an undo of that undo."""
    record = replace(run(1 if undoes == 2 else 2), moved=2, new=0, kind="undone", undoes=undoes)
    return replace(record, number=number, requested_by=f"o{number}", **fields)


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


def undid(number: int, undoes: int, at: float, **fields: Any) -> Operation:
    """Return an undo or a redo that held its lock for one second from ``at`` on."""
    kind = Kind.UNDO if undoes == 2 else Kind.REDO
    values: dict[str, Any] = {"kind": kind, "undone": undoes, "rows": 0, "digest": "", **fields}
    return generated(number, at, **values)


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
    runs: list[RunFact] | None = None,
    *,
    locks: int = 0,
    **group: Any,
) -> Facts:
    """Return the rows of two generations of one group, unless the arguments replace them."""
    all_plans = [plan(number, sequence) for number in (1, 2) for sequence in (1, 2)]
    recorded = [run(1), run(2)] if runs is None else runs
    return Facts(
        {"g": replace(GroupFact("g", "s", len(recorded)), **group)},
        recorded,
        all_plans if plans is None else plans,
        locks,
    )


def broken(operations: list[Operation], rows: Facts) -> set[Rule]:
    """Return the rules that the checker reports as broken."""
    operations.sort(key=lambda operation: operation.started)
    return set(check(operations, rows).rules_broken)
