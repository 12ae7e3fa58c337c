"""The rules of the checker, each with handwritten data that keeps it or breaks only this rule."""

from datetime import date
from typing import Any

import pytest

from tests.soak.facts import Facts, GroupFact
from tests.soak.histories import (
    broken,
    changed,
    edited,
    facts,
    generated,
    plan,
    read,
    refused,
    run,
    two_generations,
)
from tests.soak.history import Kind, Operation, Outcome, digest
from tests.soak.violation import Rule

TUESDAY = date(2025, 1, 7)


def rolled_back(at: float, until: float) -> Operation:
    return generated(
        3,
        at,
        seen={},
        alive=until,
        committing=None,
        outcome=Outcome.ROLLED_BACK,
        kind=Kind.ROLL_BACK,
    )


def marked(at: float, until: float, **fields: Any) -> Operation:
    """Return a mark that shared the lock and was rolled back."""
    values: dict[str, Any] = {"id": "m1", "kind": Kind.MARK, "shared": True, **fields}
    return changed(rolled_back(at, until=until), **values)


def overtaken(at: float, **fields: Any) -> Operation:
    """Return a mark that was overtaken by another mark of the same version of the plan."""
    values: dict[str, Any] = {"outcome": Outcome.OVERTAKEN, "writes": {"g2.2": 2}, **fields}
    return marked(at, at + 0.1, id="late", **values)


def killed(at: float, *, committing: float | None) -> Operation:
    """Return the second generation, whose worker was killed before it read an answer."""
    return generated(2, at, outcome=Outcome.UNKNOWN, committing=committing, ended=None)


def only_first_generation() -> Facts:
    """Return the rows of a database with only the first generation."""
    return facts([plan(1, 1, live=True), plan(1, 2, live=True)], [run(1)])


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([], id="no other operation"),
        pytest.param([read(1, 15), read(2, 30)], id="reads of the current generation"),
        pytest.param([read(1, 21), read(2, 21.05, id="r2")], id="reads during a commit"),
        pytest.param([refused(10.5)], id="a refusal while the lock was held"),
        pytest.param([rolled_back(11.001, until=19.999)], id="a rollback between the generations"),
        pytest.param([marked(12, 14), marked(13, 15, id="m2")], id="marks that share the lock"),
        pytest.param([marked(14.5, 15.5), refused(15)], id="a refusal during a mark"),
        pytest.param([refused(10.5, shared=True)], id="a mark refused during a generation"),
    ],
)
def test_history_that_keeps_the_rules_is_accepted(history: list[Operation]) -> None:
    assert broken([*two_generations(), *history], facts()) == set()


def test_next_holder_may_enter_before_the_commit_of_the_last_one_has_returned() -> None:
    assert broken([generated(1, 10, ended=13.0), generated(2, 11.001)], facts()) == set()


def test_killed_worker_counts_as_holder_until_its_last_answered_statement() -> None:
    history = [generated(1, 10), killed(20, committing=None)]
    assert broken([*history, rolled_back(20.3, until=20.9)], only_first_generation()) == set()
    assert broken([*history, rolled_back(20.1, until=20.9)], only_first_generation()) == {
        Rule.OVERLAP
    }


@pytest.mark.parametrize(
    ("rule", "history"),
    [
        (Rule.OVERLAP, [generated(1, 10), generated(2, 10.9, planned=11.2)]),
        (Rule.OVERLAP, [*two_generations(), rolled_back(20.1, until=20.3)]),
        (Rule.SHARED_AND_EXCLUSIVE, [*two_generations(), marked(20.1, 20.3)]),
        (Rule.SHARED_AND_EXCLUSIVE, [*two_generations(), marked(9.8, 10.1)]),
        (
            Rule.SHARED_AND_EXCLUSIVE,
            [*two_generations(), marked(12, 14), rolled_back(13, until=13.5)],
        ),
        (
            Rule.SHARED_AND_EXCLUSIVE,
            [
                *two_generations(),
                marked(12, 15),
                marked(12.5, 13, id="m2"),
                rolled_back(14, until=14.5),
            ],
        ),
        (
            Rule.SHARED_AND_EXCLUSIVE,
            [*two_generations(), rolled_back(12, until=15), marked(14, 14.5)],
        ),
        (Rule.ORDER, [generated(1, 20, seen={}), generated(2, 10)]),
        (Rule.STALE_HOLDER, [generated(1, 10), generated(2, 20, seen={"g": [0, 1]})]),
        (Rule.STALE_READ, [*two_generations(), read(1, 25)]),
        (Rule.STALE_READ, [*two_generations(), read(2, 15)]),
        (Rule.STALE_READ, [*two_generations(), read(2, 25, digest="of some plans")]),
        (Rule.STALE_READ, [*two_generations(), read(2, 25, added=["g1.1"])]),
        (Rule.STALE_READ, [*two_generations(), read(2, 25, gone=["g2.1"])]),
        (Rule.GROUNDLESS, [*two_generations(), refused(15)]),
        (Rule.GROUNDLESS, [*two_generations(), refused(15, outcome=Outcome.TIMEOUT)]),
        (Rule.GROUNDLESS, [*two_generations(), marked(14.5, 15.5), refused(15, shared=True)]),
        (Rule.OVERTAKEN, [*two_generations(), overtaken(12)]),
        (Rule.TRACE, [generated(1, 10), generated(2, 20, outcome=Outcome.FAILED)]),
        (Rule.TRACE, [generated(1, 10), generated(2, 11.05, outcome=Outcome.BUSY)]),
        (Rule.TRACE, [generated(1, 10), generated(2, 20, kind=Kind.ROLL_BACK)]),
        (Rule.TRACE, [generated(1, 10)]),
        (Rule.ROWS, [generated(1, 10), generated(2, 20, digest="of others")]),
        (Rule.ROWS, [generated(1, 10), generated(2, 20, rows=3)]),
        (Rule.LOST, [*two_generations(), generated(3, 30)]),
        (Rule.CRASH, [*two_generations(), refused(15, outcome=Outcome.CRASHED)]),
        (Rule.COLLISION, [*two_generations(), refused(15, outcome=Outcome.COLLIDED)]),
    ],
)
def test_history_that_breaks_a_rule_is_reported(rule: Rule, history: list[Operation]) -> None:
    assert broken(history, facts()) == {rule}


@pytest.mark.parametrize(
    ("winner", "rules"),
    [
        pytest.param({"shared": True}, set(), id="a simultaneous mark"),
        pytest.param({"shared": True, "outcome": Outcome.UNKNOWN, "ended": None}, set(),
                     id="an unanswered mark"),
        pytest.param({}, {Rule.OVERTAKEN}, id="an exclusive edit"),
        pytest.param({"shared": True, "committing": 31.9}, {Rule.OVERTAKEN}, id="a later mark"),
        pytest.param({"shared": True, "committing": 29.5, "ended": 29.6}, {Rule.OVERTAKEN},
                     id="an earlier mark"),
    ],
)  # fmt: skip
def test_overtaken_mark_needs_another_mark_that_overtook_it(
    winner: dict[str, Any], rules: set[Rule]
) -> None:
    rows = facts([*facts().plans[:3], plan(2, 2, version=2, state="done")])
    before = edited(2, 30.2, id="m", kind=Kind.MARK, seen={}, writes={"g2.2": 2})
    # The span in which it certainly held the lock ends before the other one enters.
    late = overtaken(30, ended=31.5)
    assert broken([*two_generations(), changed(before, **winner), late], rows) == rules


def test_groups_of_a_student_that_plan_at_the_same_time_are_reported() -> None:
    other = generated(1, 20.2, id="h1", groups=["h"], seen={}, kind=Kind.ROLL_BACK, alive=20.9)
    changed(other, outcome=Outcome.ROLLED_BACK, committing=None)
    assert broken([*two_generations(), other], facts()) == {Rule.STUDENT_LOCK}
    assert broken([*two_generations(), changed(other, student="another")], facts()) == set()
    assert (
        broken([*two_generations(), changed(other, student="s", repeated=True)], facts()) == set()
    )


def test_generations_with_the_same_number_are_reported() -> None:
    again = generated(2, 30, id="again", seen={})
    assert broken([*two_generations(), again], facts()) == {Rule.REPEAT, Rule.LOST}


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (Rule.LEAK, facts(locks=1)),
        (Rule.ROWS, facts([plan(1, 1), plan(1, 2), plan(2, 1)])),
        (Rule.LIVE, facts([plan(1, 1, live=True, date=TUESDAY), *facts().plans[1:]])),
        (Rule.LIVE, facts([*facts().plans[:3], plan(2, 2, live=False, retired_in=2)])),
        (Rule.KEPT, facts([plan(1, 1, state="done"), *facts().plans[1:]])),
        (Rule.STUDENT_TIME, facts([*facts().plans[:3], plan(2, 2, start=90)])),
        (Rule.TRACE, facts([*facts().plans, plan(9, 1)])),
        (Rule.REPEAT, facts(runs=[run(1), run(2), run(2)], generation=2)),
    ],
)
def test_rows_that_break_a_rule_are_reported(rule: Rule, rows: Facts) -> None:
    assert broken(two_generations(), rows) == {rule}


def test_gap_in_the_generation_numbers_is_reported() -> None:
    rows = facts([plan(2, 1), plan(2, 2)], [run(2)], generation=2)
    assert broken([generated(2, 20)], rows) == {Rule.GAP}
    raised = facts([plan(2, 1, generation=3), *facts().plans], generation=3)
    assert Rule.GAP in broken(two_generations(), raised), (
        "the fence was incremented without a generation"
    )


def test_student_with_two_active_groups_is_reported() -> None:
    rows = facts(status="active")
    rows.groups["h"] = GroupFact("h", "s", 0, status="paused")
    assert broken(two_generations(), rows) == set()
    rows.groups["h"] = GroupFact("h", "s", 0, status="active")
    assert broken(two_generations(), rows) == {Rule.STATES}


def test_overlap_of_a_students_groups_is_reported_even_if_it_was_removed_later() -> None:
    at_another_hour = [plan(2, 1, start=900, end=960), plan(2, 2, start=1000, end=1060)]
    others = plan(1, 1, id="h", group="h", lineage="h", content="d", live=True)
    record = run(1, group="h", requested_by="h1", plan_count=1, new=1, plan_ids=["h"],
                 made_ids=["h"])  # fmt: skip
    rows = facts(
        [*facts().plans[:2], *at_another_hour, others], [run(1), run(2), record], generation=2
    )
    rows.groups["h"] = GroupFact("h", "s", 1)
    other = generated(1, 14, id="h1", groups=["h"], seen={}, rows=1, digest=digest(["h"]))
    assert broken([*two_generations(), other], rows) == {Rule.STUDENT_TIME}
