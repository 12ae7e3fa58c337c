"""The rules of edits, of idempotency keys and of unanswered operations."""

import pytest

from tests.soak.histories import broken, edited, facts, generated, plan, run, two_generations
from tests.soak.history import Operation, Outcome
from tests.soak.resolved import stored
from tests.soak.violation import Rule

KEYED = [run(1), run(2, key="key")]


def unanswered(operation: Operation) -> Operation:
    operation.outcome, operation.ended = Outcome.UNKNOWN, None
    return operation


def repeated(number: int, at: float) -> Operation:
    return generated(
        number,
        at,
        id="again",
        outcome=Outcome.REPEATED,
        repeated=True,
        key="key",
        seen={"g": [2, 1]},
    )


def test_consecutive_edits_break_no_rule() -> None:
    history = [*two_generations(), edited(2, 30), edited(3, 40)]
    assert broken(history, facts(version=3, name="e3")) == set()


@pytest.mark.parametrize(
    ("rule", "history", "version", "name"),
    [
        (Rule.VERSIONS, [edited(2, 30, id="lost"), edited(2, 40, seen={})], 2, "e2"),
        (Rule.LOST, [edited(2, 30), edited(3, 40)], 2, "e3"),
        (Rule.LOST, [edited(2, 30), edited(3, 40)], 3, "e2"),
        (Rule.LOST, [edited(2, 30)], 2, "unchanged"),
        (Rule.TRACE, [edited(2, 30)], 3, "e2"),
        (Rule.TRACE, [edited(2, 30), edited(3, 31.05, outcome=Outcome.BUSY, writes={})], 3, "e2"),
        (Rule.TRACE, [edited(2, 30), edited(3, 40, outcome=Outcome.FAILED)], 3, "e2"),
        (Rule.STALE_HOLDER, [edited(2, 30), edited(3, 40, seen={"g": [2, 1]})], 3, "e3"),
        (Rule.STALE_HOLDER, [edited(2, 30), edited(3, 40, seen={"g": [1, 2]})], 3, "e3"),
        (Rule.OVERLAP, [edited(2, 30), edited(3, 30.9)], 3, "e3"),
    ],
)
def test_edits_that_break_a_rule_are_reported(
    rule: Rule, history: list[Operation], version: int, name: str
) -> None:
    assert broken([*two_generations(), *history], facts(version=version, name=name)) == {rule}


def test_group_named_by_an_edit_that_failed_is_reported() -> None:
    failed = edited(3, 40, outcome=Outcome.FAILED, writes={"g": 3})
    assert broken([*two_generations(), edited(2, 30), failed], facts(version=2, name="e3")) == {
        Rule.TRACE
    }


def test_marked_plan_has_one_version_per_mark() -> None:
    rows = facts([*facts().plans[:3], plan(2, 2, version=2, state="done")])
    marked = edited(2, 30, id="m", seen={}, writes={"g2.2": 2})
    assert broken([*two_generations(), marked], rows) == set()
    assert broken(two_generations(), rows) == {Rule.TRACE}


def test_unanswered_generation_is_resolved_from_the_database() -> None:
    lost = unanswered(generated(2, 20))
    rows = facts([plan(1, 1, live=True), plan(1, 2, live=True)], [run(1)])
    assert broken([generated(1, 10), lost], facts()) == set()
    assert stored([generated(1, 10), lost], facts()) == {"o1", "o2"}
    assert broken([generated(1, 10), lost], rows) == set()
    assert stored([generated(1, 10), lost], rows) == {"o1"}


def test_unanswered_generation_that_is_stored_must_also_keep_the_rules() -> None:
    assert broken([generated(1, 10), unanswered(generated(2, 10.9, planned=11.2))], facts()) == {
        Rule.OVERLAP
    }
    assert broken(
        [generated(1, 10), unanswered(generated(2, 20, digest="of others"))], facts()
    ) == {Rule.ROWS}


def test_worker_killed_before_its_commit_must_leave_no_rows() -> None:
    lost = unanswered(generated(2, 20, committing=None))
    assert broken([generated(1, 10), lost], facts()) == {Rule.TRACE}


def test_unanswered_edit_is_resolved_from_the_row_versions() -> None:
    lost = unanswered(edited(2, 30))
    assert broken([*two_generations(), lost], facts(version=2, name="e2")) == set()
    assert "e2" in stored([*two_generations(), lost], facts(version=2, name="e2"))
    assert broken([*two_generations(), lost], facts()) == set()
    assert "e2" not in stored([*two_generations(), lost], facts())
    other = edited(2, 40, id="other")
    assert broken([*two_generations(), lost, other], facts(version=2, name="other")) == set()
    assert "e2" not in stored([*two_generations(), lost, other], facts(version=2, name="other"))


def test_idempotency_key_with_one_answer_breaks_no_rule() -> None:
    history = [generated(1, 10), generated(2, 20, key="key"), repeated(2, 30)]
    assert broken(history, facts(runs=KEYED)) == set()


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([*two_generations(), repeated(1, 30)], id="the answer of another generation"),
        pytest.param(
            [*two_generations(), repeated(3, 30)], id="the answer of a missing generation"
        ),
    ],
)
def test_idempotency_key_with_two_answers_is_reported(history: list[Operation]) -> None:
    assert broken(history, facts(runs=KEYED)) == {Rule.KEY}


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.UNKNOWN])
def test_idempotency_key_of_two_runs_is_reported_also_if_one_was_not_answered(
    outcome: Outcome,
) -> None:
    history = [generated(1, 10, key="key", outcome=outcome), generated(2, 20, key="key")]
    assert broken(history, facts(runs=[run(1, key="key"), run(2, key="key")])) == {Rule.KEY}
