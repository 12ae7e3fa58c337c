"""The rules of undo, of changes by hand and of what a run writes, with handwritten data."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from tests.soak.facts import Facts, PlanFact
from tests.soak.histories import (
    broken,
    changed,
    facts,
    generated,
    plan,
    run,
    two_generations,
    undid,
    undo,
)
from tests.soak.history import Kind, Operation, Outcome
from tests.soak.resolved import stored
from tests.soak.violation import Rule


def undone() -> Facts:
    """Return the rows of two generations of which the second one was undone."""
    retired = {"live": False, "retired_in": 3, "retired_as": "undone"}
    plans = [plan(1, 1, live=True), plan(1, 2, live=True), plan(2, 1, **retired)]
    runs = [run(1), run(2, undone_in=3), undo(3, 2)]
    return facts([_live(plans[0]), _live(plans[1]), plans[2], plan(2, 2, **retired)], runs)


def redone() -> Facts:
    """Return the rows of two generations, an undo, and the undo of the undo."""
    return facts(runs=[run(1), run(2), undo(3, 2, undone_in=4), undo(4, 3)])


def moved(**fields: Any) -> Operation:
    """Return a move that followed the second generation."""
    operation = generated(3, 30, kind=Kind.MOVE, seen={"g": [2, 1]}, rows=0, digest="", **fields)
    return changed(operation, number=None, retired=["g2.2"], made=["moved"])


def missed(**fields: Any) -> Operation:
    return changed(moved(**fields), kind=Kind.MISS, made=[])


def moved_rows(**fields: Any) -> Facts:
    """Return the rows of two generations and of a move of the last plan."""
    new = replace(plan(2, 2), id="moved", sequence=None, date=date(2025, 1, 8), **fields)
    return facts([*facts().plans[:3], by_hand("moved"), new])


def by_hand(reason: str) -> PlanFact:
    return plan(2, 2, live=False, retired_in=None, retired_as=reason)


def _live(fact: PlanFact) -> PlanFact:
    return replace(fact, retired_in=None, retired_as=None)


def test_undo_and_redo_break_no_rule() -> None:
    history = [*two_generations(), undid(3, 2, 30)]
    assert broken([*history], undone()) == set()
    assert broken([*history, undid(4, 3, 40)], redone()) == set()


@pytest.mark.parametrize(
    ("rule", "runs"),
    [
        (Rule.UNDO, [run(1), run(2), undo(3, 2)]),
        (Rule.UNDO, [run(1), run(2, undone_in=3), undo(3, 2, plan_ids=["g1.1"], made_ids=["g1.1"],
                                                       moved=1, dropped=1, plan_count=1)]),
        (Rule.COUNTS, [run(1), run(2, undone_in=3), undo(3, 2, kept=1)]),
        (Rule.ROWS, [run(1), run(2, undone_in=3), undo(3, 2, made_ids=["g1.1"])]),
        (Rule.ROWS, [run(1), run(2, undone_in=3), undo(3, 2, plan_count=3)]),
    ],
)  # fmt: skip
def test_record_of_an_undo_that_breaks_a_rule_is_reported(rule: Rule, runs: list[Any]) -> None:
    history = [*two_generations(), undid(3, 2, 30)]
    assert rule in broken(history, facts(undone().plans, runs))


def test_undo_of_a_run_that_is_not_the_last_one_is_reported() -> None:
    first = replace(run(2), number=3, requested_by="o3", kind="undone", undoes=1, moved=0, kept=2,
                    made_ids=[])  # fmt: skip
    history = [*two_generations(), undid(3, 1, 30, kind=Kind.UNDO)]
    assert broken(history, facts(runs=[run(1, undone_in=3), run(2), first])) == {Rule.UNDO}


def test_undo_of_a_marked_plan_is_reported() -> None:
    rows = undone()
    plans = [*rows.plans[:3], replace(rows.plans[3], version=2)]
    mark = changed(undid(4, 2, 25), id="m", kind=Kind.MARK, number=None, undone=None, shared=True,
                   seen={"g": [2, 1]}, writes={"g2.2": 2})  # fmt: skip
    history = [*two_generations(), undid(3, 2, 30)]
    assert broken([*history, mark], facts(plans, rows.runs)) == {Rule.KEPT}
    before = changed(mark, started=14.0, entered=15.0, alive=15.2, planned=15.5, committing=16.0,
                     ended=16.1, seen={"g": [1, 1]})  # fmt: skip
    assert broken([*history, before], facts(plans, rows.runs)) == set()


@pytest.mark.parametrize(
    ("reason", "in_the_way", "rules"),
    [
        ("nothing_to_undo", [], {Rule.REFUSED_UNDO}),
        ("plans_changed", [], {Rule.REFUSED_UNDO}),
        ("plans_changed", ["g2.1"], {Rule.REFUSED_UNDO}),
        ("plans_changed", ["g2.2"], set()),
        ("time_occupied", [], {Rule.REFUSED_UNDO}),
        ("time_occupied", ["moved"], {Rule.REFUSED_UNDO}),
    ],
)
def test_refused_undo_needs_something_in_its_way(
    reason: str, in_the_way: list[str], rules: set[Rule]
) -> None:
    refusal = changed(undid(4, 2, 40), seen={"g": [2, 1]}, committing=None, number=None,
                      outcome=Outcome.DECLINED, undone=None, reason=reason,
                      in_the_way=in_the_way)  # fmt: skip
    assert broken([*two_generations(), moved(), refusal], moved_rows()) == rules


def test_undo_is_refused_for_a_plan_in_the_time_of_a_retired_one() -> None:
    refusal = changed(undid(4, 2, 40), seen={"g": [2, 1]}, committing=None, number=None,
                      outcome=Outcome.DECLINED, undone=None, reason="time_occupied",
                      in_the_way=["moved"])  # fmt: skip
    rows = moved_rows()
    first, new = rows.plans[0], rows.plans[-1]
    in_its_time = replace(new, date=first.date, start=first.end - 1, end=first.end + 59)
    history = [*two_generations(), moved(), refusal]
    assert broken(history, facts([*rows.plans[:-1], in_its_time])) == set()


def test_move_and_miss_break_no_rule() -> None:
    assert broken([*two_generations(), moved()], moved_rows()) == set()
    rows = facts([*facts().plans[:3], by_hand("missed")])
    assert broken([*two_generations(), missed()], rows) == set()


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (Rule.LINEAGE, moved_rows(lineage="another")),
        (Rule.LINEAGE, moved_rows(last=28)),
        (Rule.LIVE, facts([*moved_rows().plans[:3], plan(2, 2), moved_rows().plans[4]])),
        (Rule.LOST, facts([*facts().plans[:3], by_hand("moved")])),
        (Rule.RETIRED, facts([*facts().plans[:3], by_hand("missed"), moved_rows().plans[4]])),
    ],
)
def test_move_that_breaks_a_rule_is_reported(rule: Rule, rows: Facts) -> None:
    assert rule in broken([*two_generations(), moved()], rows)


def test_change_by_hand_that_no_operation_made_is_reported() -> None:
    assert Rule.TRACE in broken(two_generations(), moved_rows())
    rows = facts([*facts().plans[:3], by_hand("missed")])
    assert Rule.TRACE in broken(two_generations(), rows)


@pytest.mark.parametrize(("outcome", "rows"), [("moved", moved_rows()), ("missed", None)])
def test_unanswered_change_by_hand_is_resolved_from_the_rows(
    outcome: str, rows: Facts | None
) -> None:
    lost = moved() if outcome == "moved" else missed()
    changed(lost, outcome=Outcome.UNKNOWN, ended=None)
    rows = rows or facts([*facts().plans[:3], by_hand(outcome)])
    assert broken([*two_generations(), lost], rows) == set()
    assert stored([*two_generations(), lost], rows) == {"o1", "o2", "o3"}
    assert broken([*two_generations(), lost], facts()) == set()
    assert stored([*two_generations(), lost], facts()) == {"o1", "o2"}


def test_unanswered_miss_is_not_stored_if_another_one_has_missed_the_same_plan_after_it() -> None:
    """Its connection was cut before the commit, so the other one entered before it was sent."""
    lost = changed(missed(), outcome=Outcome.UNKNOWN, ended=None)
    again = changed(missed(), id="o4", started=30.3, entered=30.6, alive=30.7, committing=31.5)
    rows = facts([*facts().plans[:3], by_hand("missed")])
    assert stored([*two_generations(), lost, again], rows) == {"o1", "o2", "o4"}
    assert broken([*two_generations(), lost, again], rows) == set()


@pytest.mark.parametrize(
    ("rule", "plans"),
    [
        (Rule.DIFFERENCE, [plan(1, 1, start=60, end=120), *facts().plans[1:]]),
        (Rule.LINEAGE, [*facts().plans[:3], plan(2, 2, lineage="another")]),
        (Rule.LINEAGE, [*facts().plans[:3], plan(2, 2, lineage="l1")]),
        (Rule.UNITS, [*facts().plans[:3], plan(2, 2, first=15)]),
        (Rule.RETIRED, [plan(1, 1, retired_as="missed"), *facts().plans[1:]]),
        (Rule.RETIRED, [plan(1, 1, retired_in=1), *facts().plans[1:]]),
    ],
)
def test_generation_that_breaks_a_rule_is_reported(rule: Rule, plans: list[PlanFact]) -> None:
    assert rule in broken(two_generations(), facts(plans))


def test_unit_of_a_part_done_plan_may_be_planned_again() -> None:
    part_done = {"state": "part_done", "version": 2, "last": 25, "done_through": 19}
    plans = [*facts().plans[:2], plan(2, 1, **part_done), plan(2, 2)]
    assert Rule.UNITS not in broken(two_generations(), facts(plans))
    plans[2] = plan(2, 1, **{**part_done, "done_through": 20})
    assert Rule.UNITS in broken(two_generations(), facts(plans))


@pytest.mark.parametrize(
    ("outcome", "at", "seen", "rules"),
    [
        (Outcome.REPEATED, 25, 2, set()),
        (Outcome.UNDONE, 25, 2, {Rule.KEY}),
        (Outcome.REPEATED, 35, 3, {Rule.KEY}),
        (Outcome.UNDONE, 35, 3, set()),
        (Outcome.REPEATED, 45, 4, set()),
    ],
)
def test_key_is_answered_unless_its_run_is_undone(
    outcome: Outcome, at: float, seen: int, rules: set[Rule]
) -> None:
    again = generated(2, at, id="again", key="key", seen={"g": [seen, 1]}, committing=None,
                      outcome=outcome, repeated=outcome is Outcome.REPEATED)  # fmt: skip
    history = [generated(1, 10), generated(2, 20, key="key"), undid(3, 2, 30), undid(4, 3, 40)]
    rows = redone()
    runs = [rows.runs[0], replace(rows.runs[1], key="key"), *rows.runs[2:]]
    assert broken([*history, again], facts(rows.plans, runs)) == rules
