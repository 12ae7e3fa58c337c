"""The rules of edits, of idempotency keys, and of operations that were never answered."""

import pytest

from tests.soak.facts import GenerationFact
from tests.soak.histories import broken, edited, facts, made, plan, two
from tests.soak.history import Operation, Outcome
from tests.soak.resolved import stored
from tests.soak.violation import Rule

KEYED = [GenerationFact("g", 1, "o1", 2), GenerationFact("g", 2, "o2", 2, "key")]


def unanswered(operation: Operation) -> Operation:
    operation.outcome, operation.ended = Outcome.UNKNOWN, None
    return operation


def repeated(number: int, at: float) -> Operation:
    return made(number, at, id="again", outcome=Outcome.REPEATED, repeated=True, key="key", seen={})


def test_edits_one_after_the_other_break_no_rule() -> None:
    history = [*two(), edited(2, 30), edited(3, 40)]
    assert broken(history, facts(version=3, name="e3")) == set()


@pytest.mark.parametrize(
    ("rule", "history", "version", "name"),
    [
        (Rule.VERSIONS, [edited(2, 30, id="lost"), edited(2, 40, seen={})], 2, "e2"),
        (Rule.LOST, [edited(2, 30), edited(3, 40)], 2, "e3"),
        (Rule.LOST, [edited(2, 30), edited(3, 40)], 3, "e2"),
        (Rule.LOST, [edited(2, 30)], 2, "as it was"),
        (Rule.TRACE, [edited(2, 30)], 3, "e2"),
        (Rule.TRACE, [edited(2, 30), edited(3, 31.05, outcome=Outcome.BUSY, writes={})], 3, "e2"),
        (Rule.TRACE, [edited(2, 30), edited(3, 40, outcome=Outcome.FAILED)], 3, "e2"),
        (Rule.OLD_SIGHT, [edited(2, 30), edited(3, 40, seen={"g": [2, 1]})], 3, "e3"),
        (Rule.OLD_SIGHT, [edited(2, 30), edited(3, 40, seen={"g": [1, 2]})], 3, "e3"),
        (Rule.OVERLAP, [edited(2, 30), edited(3, 30.9)], 3, "e3"),
    ],
)
def test_edits_that_break_a_rule_are_reported(
    rule: Rule, history: list[Operation], version: int, name: str
) -> None:
    assert broken([*two(), *history], facts(version=version, name=name)) == {rule}


def test_a_group_named_by_an_edit_that_failed_is_reported() -> None:
    failed = edited(3, 40, outcome=Outcome.FAILED, writes={"g": 3})
    assert broken([*two(), edited(2, 30), failed], facts(version=2, name="e3")) == {Rule.TRACE}


def test_a_retired_plan_whose_version_did_not_change_is_reported() -> None:
    rows = facts([plan(1, 1, version=1), *facts().plans[1:]])
    assert broken(two(), rows) == {Rule.VERSIONS}


def test_a_marked_plan_has_a_version_for_each_mark() -> None:
    rows = facts([*facts().plans[:3], plan(2, 2, version=2, kept=True)])
    marked = edited(2, 30, id="m", seen={}, writes={"g2.2": 2})
    assert broken([*two(), marked], rows) == set()
    assert broken(two(), rows) == {Rule.TRACE}


def test_a_generation_without_an_answer_is_resolved_by_the_database() -> None:
    lost = unanswered(made(2, 20))
    rows = facts([plan(1, 1, live=True), plan(1, 2, live=True)], facts().generations[:1])
    rows.groups.update(facts(generation=1).groups)
    assert broken([made(1, 10), lost], facts()) == set()
    assert stored([made(1, 10), lost], facts()) == {"o1", "o2"}
    assert broken([made(1, 10), lost], rows) == set()
    assert stored([made(1, 10), lost], rows) == {"o1"}


def test_an_unanswered_generation_that_is_stored_must_keep_the_rules_too() -> None:
    assert broken([made(1, 10), unanswered(made(2, 10.9, planned=11.2))], facts()) == {Rule.OVERLAP}
    assert broken([made(1, 10), unanswered(made(2, 20, digest="of others"))], facts()) == {
        Rule.ROWS
    }


def test_who_was_killed_before_it_asked_for_the_commit_must_leave_nothing() -> None:
    lost = unanswered(made(2, 20, leaving=None))
    assert broken([made(1, 10), lost], facts()) == {Rule.TRACE}


def test_an_edit_without_an_answer_is_resolved_by_the_versions() -> None:
    lost = unanswered(edited(2, 30))
    assert broken([*two(), lost], facts(version=2, name="e2")) == set()
    assert "e2" in stored([*two(), lost], facts(version=2, name="e2"))
    assert broken([*two(), lost], facts()) == set()
    assert "e2" not in stored([*two(), lost], facts())
    other = edited(2, 40, id="other")
    assert broken([*two(), lost, other], facts(version=2, name="other")) == set()
    assert "e2" not in stored([*two(), lost, other], facts(version=2, name="other"))


def test_one_answer_for_one_key_breaks_no_rule() -> None:
    history = [made(1, 10), made(2, 20, key="key"), repeated(2, 30)]
    assert broken(history, facts(generations=KEYED)) == set()


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([made(1, 10, key="key"), made(2, 20, key="key")], id="two generations"),
        pytest.param([*two(), repeated(1, 30)], id="the answer of another generation"),
        pytest.param([*two(), repeated(3, 30)], id="the answer of none"),
    ],
)
def test_two_answers_for_one_key_are_reported(history: list[Operation]) -> None:
    assert broken(history, facts(generations=KEYED)) == {Rule.KEY}
