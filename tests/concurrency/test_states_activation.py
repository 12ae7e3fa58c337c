"""Activations that overlap in time leave a student one active group."""

import random
from collections.abc import Callable
from datetime import timedelta
from itertools import count, islice

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GroupStatus, PlanGroup, PlanGroupLockedError
from domain.errors import (
    EditedMeanwhileError,
    PlanGroupNotGeneratableError,
    TransitionNotAllowedError,
)
from domain.services import activate
from domain.services.group_states import StateChange
from domain.testing import contend
from domain.testing.contention import advisory_locks
from tests.concurrency.overlapping import (
    LONG,
    Factory,
    Hold,
    activated,
    at_once,
    change,
    generate_in_turn,
    repeatedly,
    statuses,
    students_groups,
)


@repeatedly
@pytest.mark.parametrize("others", [[], [GroupStatus.ACTIVE]], ids=["none active", "one active"])
def test_of_two_activations_that_may_wait_both_succeed_and_the_later_pauses_the_earlier(
    engine: sa.Engine, session_factory: Factory, others: list[GroupStatus]
) -> None:
    groups = students_groups(session_factory, GroupStatus.SAVED, GroupStatus.PAUSED, *others)
    one, other = groups[:2]
    answers = at_once(
        lambda _: activated(session_factory, one), lambda _: activated(session_factory, other)
    )
    assert not answers.refusals
    first, second = sorted(answers.results, key=lambda done: done.paused_group_id in {
        one.id, other.id})  # fmt: skip
    assert second.paused_group_id == first.group_id
    expected = {first.group_id: "paused", second.group_id: "active"}
    assert statuses(engine, groups) == [expected.get(group.id, "paused") for group in groups]
    assert advisory_locks(engine) == 0


@repeatedly
def test_of_two_activations_that_do_not_wait_one_is_refused_while_the_other_commits(
    engine: sa.Engine, session_factory: Factory
) -> None:
    one, other = groups = students_groups(session_factory, GroupStatus.SAVED, GroupStatus.SAVED)

    def attempt(group: PlanGroup, hold: Hold) -> StateChange:
        held = sessionmaker(engine)
        sa.event.listen(held, "before_commit", lambda _: hold())
        return activated(held, group, timedelta(0))

    answers = at_once(lambda hold: attempt(one, hold), lambda hold: attempt(other, hold))
    (winner,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    assert refusal.scope == "student"
    expected = ["active" if group.id == winner.group_id else "saved" for group in groups]
    assert statuses(engine, groups) == expected


def meddling(factory: Factory, times: int, act: Callable[[], object]) -> Callable[[], Session]:
    """A factory of sessions: somebody acts after each of the first readings without a lock."""
    numbers = count()

    def make() -> Session:
        number = next(numbers)
        if number % 2 and number // 2 < times:
            act()
        return factory()

    return make


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_activation_starts_over_when_another_group_became_active_and_gives_up_after_three(
    engine: sa.Engine, session_factory: Factory, times: int
) -> None:
    saved = [GroupStatus.SAVED] * 5
    mine, *others = groups = students_groups(session_factory, *saved)
    free = iter(others)
    activated(session_factory, next(free))
    meddler = meddling(session_factory, times, lambda: activated(session_factory, next(free)))
    if times < 3:
        changed = activate(meddler, tenant_id=mine.tenant_id, group_id=mine.id)
        assert changed.paused_group_id == others[times].id
        expected = ["active", *["paused"] * (times + 1), *["saved"] * (3 - times)]
    else:
        with pytest.raises(EditedMeanwhileError) as refused:
            activate(meddler, tenant_id=mine.tenant_id, group_id=mine.id)
        assert refused.value.group_id == mine.id
        expected = ["saved", "paused", "paused", "paused", "active"]
    assert statuses(engine, groups) == expected
    assert advisory_locks(engine) == 0


def test_an_activation_goes_on_when_the_active_group_was_paused_meanwhile(
    engine: sa.Engine, session_factory: Factory
) -> None:
    groups = students_groups(session_factory, GroupStatus.SAVED, GroupStatus.ACTIVE)
    mine, other = groups
    meddler = meddling(
        session_factory, 1, lambda: change(session_factory, other, GroupStatus.PAUSED)
    )
    changed = activate(meddler, tenant_id=mine.tenant_id, group_id=mine.id)
    assert changed.paused_group_id is None
    assert statuses(engine, groups) == ["active", "paused"]


def test_a_crowd_that_activates_generates_and_pauses_never_deadlocks(
    engine: sa.Engine, session_factory: Factory
) -> None:
    groups = students_groups(session_factory, *[GroupStatus.SAVED] * 4)
    dice = random.Random(7)  # noqa: S311 - no secret
    works = iter([(dice.randrange(4), dice.choice("aagp")) for _ in range(48)])

    def work(_: Hold) -> str:
        for number, what in islice(works, 6):
            try:
                if what == "a":
                    activated(session_factory, groups[number])
                elif what == "g":
                    generate_in_turn(session_factory, groups[number])
                else:
                    change(session_factory, groups[number], GroupStatus.PAUSED, wait=LONG)
            except (TransitionNotAllowedError, PlanGroupNotGeneratableError, EditedMeanwhileError):
                continue
            assert statuses(engine, groups).count("active") <= 1
        return "done"

    assert contend(8, work).results == ["done"] * 8
    assert advisory_locks(engine) == 0
