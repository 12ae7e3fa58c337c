"""Each rule, by a history and rows made by hand: kept it is silent, broken it is told, alone."""

from datetime import date
from typing import Any

import pytest

from tests.soak.facts import Facts, GenerationFact, GroupFact
from tests.soak.histories import broken, changed, edited, facts, made, plan, read, refused, two
from tests.soak.history import Kind, Operation, Outcome, digest
from tests.soak.violation import Rule

TUESDAY = date(2025, 1, 7)


def rolled_back(at: float, until: float) -> Operation:
    return made(
        3, at, seen={}, alive=until, leaving=None, outcome=Outcome.ROLLED_BACK, kind=Kind.ROLL_BACK
    )


def marked(at: float, until: float, **fields: Any) -> Operation:
    """A mark that shared the lock, and was given up."""
    given: dict[str, Any] = {"id": "m1", "kind": Kind.MARK, "shared": True, **fields}
    return changed(rolled_back(at, until=until), **given)


def overtaken(at: float, **fields: Any) -> Operation:
    """A mark that gave way to another one of the same plan in the same version."""
    given: dict[str, Any] = {"outcome": Outcome.OVERTAKEN, "writes": {"g2.2": 2}, **fields}
    return marked(at, at + 0.1, id="late", **given)


def killed(at: float, *, leaving: float | None) -> Operation:
    """The second generation, by a worker that was killed after this time."""
    return made(2, at, outcome=Outcome.UNKNOWN, leaving=leaving, ended=None)


def one_only() -> Facts:
    """The first generation alone is in the database."""
    rows = [plan(1, 1, live=True, version=1), plan(1, 2, live=True, version=1)]
    return facts(rows, facts().generations[:1], generation=1)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([], id="nothing more"),
        pytest.param([read(1, 15), read(2, 30)], id="reads of what was there"),
        pytest.param([read(1, 21), read(2, 21.05, id="r2")], id="reads during a commit"),
        pytest.param([refused(10.5)], id="a refusal while the lock was held"),
        pytest.param([rolled_back(11.001, until=19.999)], id="a rollback in between"),
        pytest.param([marked(12, 14), marked(13, 15, id="m2")], id="marks that share the lock"),
        pytest.param([marked(14.5, 15.5), refused(15)], id="a refusal beside a mark"),
        pytest.param([refused(10.5, shared=True)], id="a mark refused during a generation"),
    ],
)
def test_a_history_that_keeps_the_rules_is_let_pass(history: list[Operation]) -> None:
    assert broken([*two(), *history], facts()) == set()


def test_the_next_holder_may_enter_before_the_last_ones_commit_has_returned() -> None:
    assert broken([made(1, 10, ended=13.0), made(2, 11.001)], facts()) == set()


def test_a_killed_worker_held_its_lock_as_long_as_it_is_known_to_have_lived() -> None:
    history = [made(1, 10), killed(20, leaving=None)]
    assert broken([*history, rolled_back(20.3, until=20.9)], one_only()) == set()
    assert broken([*history, rolled_back(20.1, until=20.9)], one_only()) == {Rule.OVERLAP}


@pytest.mark.parametrize(
    ("rule", "history"),
    [
        (Rule.OVERLAP, [made(1, 10), made(2, 10.9, planned=11.2)]),
        (Rule.OVERLAP, [*two(), rolled_back(20.1, until=20.3)]),
        (Rule.BESIDE_SHARED, [*two(), marked(20.1, 20.3)]),
        (Rule.BESIDE_SHARED, [*two(), marked(9.8, 10.1)]),
        (Rule.BESIDE_SHARED, [*two(), marked(12, 14), rolled_back(13, until=13.5)]),
        (
            Rule.BESIDE_SHARED,
            [*two(), marked(12, 15), marked(12.5, 13, id="m2"), rolled_back(14, until=14.5)],
        ),
        (Rule.BESIDE_SHARED, [*two(), rolled_back(12, until=15), marked(14, 14.5)]),
        (Rule.ORDER, [made(1, 20, seen={}), made(2, 10)]),
        (Rule.OLD_SIGHT, [made(1, 10), made(2, 20, seen={"g": [0, 1]})]),
        (Rule.STALE_READ, [*two(), read(1, 25)]),
        (Rule.STALE_READ, [*two(), read(2, 15)]),
        (Rule.STALE_READ, [*two(), read(2, 25, digest="of a part")]),
        (Rule.STALE_READ, [*two(), read(2, 25, foreign=1)]),
        (Rule.GROUNDLESS, [*two(), refused(15)]),
        (Rule.GROUNDLESS, [*two(), refused(15, outcome=Outcome.TIMEOUT)]),
        (Rule.GROUNDLESS, [*two(), marked(14.5, 15.5), refused(15, shared=True)]),
        (Rule.OVERTAKEN, [*two(), overtaken(12)]),
        (Rule.TRACE, [made(1, 10), made(2, 20, outcome=Outcome.FAILED)]),
        (Rule.TRACE, [made(1, 10), made(2, 11.05, outcome=Outcome.BUSY)]),
        (Rule.TRACE, [made(1, 10), made(2, 20, kind=Kind.ROLL_BACK)]),
        (Rule.TRACE, [made(1, 10)]),
        (Rule.ROWS, [made(1, 10), made(2, 20, digest="of others")]),
        (Rule.ROWS, [made(1, 10), made(2, 20, rows=3)]),
        (Rule.LOST, [*two(), made(3, 30)]),
        (Rule.CRASH, [*two(), refused(15, outcome=Outcome.CRASHED)]),
        (Rule.COLLISION, [*two(), refused(15, outcome=Outcome.COLLIDED)]),
    ],
)
def test_a_history_that_breaks_a_rule_is_reported(rule: Rule, history: list[Operation]) -> None:
    assert broken(history, facts()) == {rule}


@pytest.mark.parametrize(
    ("winner", "rules"),
    [
        pytest.param({"shared": True}, set(), id="a mark beside it"),
        pytest.param({"shared": True, "outcome": Outcome.UNKNOWN, "ended": None}, set(),
                     id="one that was never answered"),
        pytest.param({}, {Rule.OVERTAKEN}, id="an exclusive edit"),
        pytest.param({"shared": True, "leaving": 31.9}, {Rule.OVERTAKEN}, id="one that was later"),
        pytest.param({"shared": True, "leaving": 29.5, "ended": 29.6}, {Rule.OVERTAKEN},
                     id="one that was over before"),
    ],
)  # fmt: skip
def test_a_mark_gives_way_only_to_another_one_that_passed_it(
    winner: dict[str, Any], rules: set[Rule]
) -> None:
    rows = facts([*facts().plans[:3], plan(2, 2, version=2, kept=True)])
    before = edited(2, 30.2, id="m", kind=Kind.MARK, seen={}, writes={"g2.2": 2})
    # What it held for certain ends before the other one enters.
    late = overtaken(30, ended=31.5)
    assert broken([*two(), changed(before, **winner), late], rows) == rules


def test_two_groups_of_a_student_that_plan_at_the_same_time_are_reported() -> None:
    other = made(1, 20.2, id="h1", groups=["h"], seen={}, kind=Kind.ROLL_BACK, alive=20.9)
    changed(other, outcome=Outcome.ROLLED_BACK, leaving=None)
    assert broken([*two(), other], facts()) == {Rule.STUDENT_LOCK}
    assert broken([*two(), changed(other, student="another")], facts()) == set()
    assert broken([*two(), changed(other, student="s", repeated=True)], facts()) == set()


def test_two_successes_with_one_number_are_reported() -> None:
    again = made(2, 30, id="again", seen={})
    assert broken([*two(), again], facts()) == {Rule.REPEAT, Rule.LOST}


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (Rule.LEAK, facts(locks=1)),
        (Rule.ROWS, facts([plan(1, 1), plan(1, 2), plan(2, 1)])),
        (Rule.LIVE, facts([plan(1, 1, live=True, date=TUESDAY), *facts().plans[1:]])),
        (Rule.LIVE, facts([*facts().plans[:3], plan(2, 2, live=False)])),
        (Rule.KEPT, facts([plan(1, 1, kept=True), *facts().plans[1:]])),
        (Rule.STUDENT_TIME, facts([*facts().plans[:3], plan(2, 2, start=90)])),
        (Rule.TRACE, facts([*facts().plans, plan(9, 1)])),
        (Rule.REPEAT, facts(generations=[*facts().generations, facts().generations[1]])),
    ],
)
def test_rows_that_break_a_rule_are_reported(rule: Rule, rows: Facts) -> None:
    assert broken(two(), rows) == {rule}


def test_a_gap_in_the_numbers_is_reported() -> None:
    rows = facts([plan(2, 1), plan(2, 2)], facts().generations[1:])
    assert broken([made(2, 20)], rows) == {Rule.GAP}
    raised = facts([plan(2, 1, generation=3), *facts().plans], generation=3)
    assert Rule.GAP in broken(two(), raised), "the fence was raised, and nothing was generated"


def test_a_student_with_two_active_groups_is_reported() -> None:
    rows = facts(status="active")
    rows.groups["h"] = GroupFact("h", "s", 0, status="paused")
    assert broken(two(), rows) == set()
    rows.groups["h"] = GroupFact("h", "s", 0, status="active")
    assert broken(two(), rows) == {Rule.STATES}


def test_an_overlap_of_a_students_groups_that_was_healed_later_is_reported() -> None:
    at_another_hour = [plan(2, 1, start=600, end=660), plan(2, 2, start=700, end=760)]
    others = plan(1, 1, id="h", group="h", live=True, version=1)
    rows = facts(
        [*facts().plans[:2], *at_another_hour, others],
        [*facts().generations, GenerationFact("h", 1, "h1", 1)],
    )
    rows.groups["h"] = GroupFact("h", "s", 1)
    other = made(1, 14, id="h1", groups=["h"], seen={}, rows=1, digest=digest(["h"]))
    assert broken([*two(), other], rows) == {Rule.STUDENT_TIME}
