"""Each rule, by a history and rows made by hand: broken it is reported, and alone."""

from dataclasses import replace
from datetime import date

import pytest

from tests.soak.checker import check
from tests.soak.facts import Facts, GenerationFact, GroupFact, PlanFact
from tests.soak.history import Kind, Operation, Outcome, digest
from tests.soak.violation import Rule

MONDAY = date(2025, 1, 6)


def plan(number: int, sequence: int, **fields: object) -> PlanFact:
    made = PlanFact(
        id=f"g{number}.{sequence}", student="s", group="g", generation=number, sequence=sequence,
        date=MONDAY, start=60 * sequence, end=60 * sequence + 60, live=number == 2, kept=False,
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def made(number: int, at: float, **fields: object) -> Operation:
    """A generation of two plans that held its lock for a second, from ``at`` on."""
    operation = Operation(
        f"o{number}", Kind.GENERATE, "g", "s", at - 1, at, at + 0.5, at + 1, at + 1.1,
        Outcome.GENERATED, number, 2, digest([f"g{number}.1", f"g{number}.2"]),
    )  # fmt: skip
    return _with(operation, **fields)


def read(number: int, at: float, **fields: object) -> Operation:
    operation = Operation(
        "r", Kind.READ, "g", "s", at, ended=at + 0.1, outcome=Outcome.READ, number=number,
        rows=2, digest=digest([f"g{number}.1", f"g{number}.2"]),
    )  # fmt: skip
    return _with(operation, **fields)


def refused(at: float) -> Operation:
    return Operation(
        "b", Kind.GENERATE, "g", "s", at, ended=at + 0.1, outcome=Outcome.BUSY, error="busy"
    )


def _with(operation: Operation, **fields: object) -> Operation:
    for name, value in fields.items():
        setattr(operation, name, value)
    return operation


def facts(
    plans: list[PlanFact] | None = None,
    generations: list[GenerationFact] | None = None,
    locks: int = 0,
) -> Facts:
    """Two generations of one group, unless told otherwise."""
    whole = [plan(number, sequence) for number in (1, 2) for sequence in (1, 2)]
    recorded = [GenerationFact("g", number, f"o{number}", 2) for number in (1, 2)]
    return Facts(
        {"g": GroupFact("g", "s", 2)},
        recorded if generations is None else generations,
        whole if plans is None else plans,
        locks,
    )


def broken(operations: list[Operation], rows: Facts) -> set[Rule]:
    operations.sort(key=lambda operation: operation.started)
    return set(check(operations, rows).rules_broken)


def test_two_generations_one_after_the_other_break_no_rule() -> None:
    history = [made(1, 10), made(2, 20), read(1, 15), read(2, 30), refused(10.5)]
    assert broken(history, facts()) == set()


def test_the_next_holder_may_enter_before_the_last_ones_commit_has_returned() -> None:
    assert broken([made(1, 10, ended=13.0), made(2, 11.001)], facts()) == set()


def test_a_commit_without_an_answer_may_have_taken_place_or_not() -> None:
    lost = made(2, 20, outcome=Outcome.UNKNOWN, ended=None)
    assert broken([made(1, 10), lost], facts()) == set()
    first_only = facts([plan(1, 1, live=True), plan(1, 2, live=True)], facts().generations[:1])
    first_only.groups["g"] = GroupFact("g", "s", 1)
    assert broken([made(1, 10), lost], first_only) == set()


@pytest.mark.parametrize(
    ("rule", "history"),
    [
        (Rule.OVERLAP, [made(1, 10), made(2, 10.9)]),
        (Rule.ORDER, [made(1, 20), made(2, 10)]),
        (Rule.STALE_READ, [made(1, 10), made(2, 20), read(1, 25)]),
        (Rule.STALE_READ, [made(1, 10), made(2, 20), read(2, 15)]),
        (Rule.STALE_READ, [made(1, 10), made(2, 20), read(2, 25, digest="of a part")]),
        (Rule.STALE_READ, [made(1, 10), made(2, 20), read(2, 25, foreign=1)]),
        (Rule.GROUNDLESS, [made(1, 10), made(2, 20), refused(15)]),
        (Rule.TRACE, [made(1, 10), made(2, 20, outcome=Outcome.FAILED)]),
        (Rule.TRACE, [made(1, 10)]),
        (Rule.ROWS, [made(1, 10), made(2, 20, digest="of others")]),
        (Rule.ROWS, [made(1, 10), made(2, 20, rows=3)]),
        (Rule.LOST, [made(1, 10), made(2, 20), made(3, 30)]),
        (Rule.CRASH, [made(1, 10), made(2, 20), _with(refused(15), outcome=Outcome.CRASHED)]),
        (Rule.COLLISION, [made(1, 10), made(2, 20), _with(refused(15), outcome=Outcome.COLLIDED)]),
    ],
)
def test_a_history_that_breaks_a_rule_is_reported(rule: Rule, history: list[Operation]) -> None:
    assert broken(history, facts()) == {rule}


def test_two_successes_with_one_number_are_reported() -> None:
    again = made(2, 30, id="again")
    assert broken([made(1, 10), made(2, 20), again], facts()) == {Rule.REPEAT, Rule.LOST}


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (Rule.LEAK, facts(locks=1)),
        (Rule.ROWS, facts([plan(1, 1), plan(1, 2), plan(2, 1)])),
        (Rule.LIVE, facts([plan(1, 1, live=True, date=date(2025, 1, 7)), *facts().plans[1:]])),
        (Rule.LIVE, facts([*facts().plans[:3], plan(2, 2, live=False)])),
        (Rule.KEPT, facts([plan(1, 1, kept=True), *facts().plans[1:]])),
        (Rule.STUDENT_TIME, facts([*facts().plans[:3], plan(2, 2, start=90)])),
        (Rule.TRACE, facts([*facts().plans, plan(9, 1)])),
    ],
)
def test_rows_that_break_a_rule_are_reported(rule: Rule, rows: Facts) -> None:
    assert broken([made(1, 10), made(2, 20)], rows) == {rule}


def test_a_gap_in_the_numbers_is_reported() -> None:
    rows = facts([plan(2, 1), plan(2, 2)], facts().generations[1:])
    assert broken([made(2, 20)], rows) == {Rule.GAP}


def test_an_overlap_of_a_students_groups_that_was_healed_later_is_reported() -> None:
    rows = facts([*facts().plans, plan(1, 1, id="h", group="h", live=True)])
    rows.generations.append(GenerationFact("h", 1, "h1", 1))
    rows.groups["h"] = GroupFact("h", "s", 1)
    other = made(1, 14, id="h1", group="h", rows=1, digest=digest(["h"]))
    at_another_hour = [plan(2, 1, start=600, end=660), plan(2, 2, start=700, end=760)]
    healed = Facts(
        rows.groups, rows.generations, [*rows.plans[:2], *at_another_hour, rows.plans[4]], 0
    )
    assert broken([made(1, 10), made(2, 20), other], healed) == {Rule.STUDENT_TIME}
