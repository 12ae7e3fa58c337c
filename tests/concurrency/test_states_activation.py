"""Overlapping activations leave a student with exactly one active group."""

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
    activate_group,
    change,
    generate_after_waiting,
    groups_of_one_student,
    repeatedly,
    run_simultaneously,
    statuses,
)


@repeatedly
@pytest.mark.parametrize("others", [[], [GroupStatus.ACTIVE]], ids=["none active", "one active"])
def test_activations_that_wait_both_succeed_and_the_later_pauses_the_earlier(
    engine: sa.Engine, session_factory: Factory, others: list[GroupStatus]
) -> None:
    groups = groups_of_one_student(session_factory, GroupStatus.SAVED, GroupStatus.PAUSED, *others)
    one, other = groups[:2]
    answers = run_simultaneously(
        lambda _: activate_group(session_factory, one),
        lambda _: activate_group(session_factory, other),
    )
    assert not answers.refusals
    first, second = sorted(answers.results, key=lambda done: done.paused_group_id in {
        one.id, other.id})  # fmt: skip
    assert second.paused_group_id == first.group_id
    expected = {first.group_id: "paused", second.group_id: "active"}
    assert statuses(engine, groups) == [expected.get(group.id, "paused") for group in groups]
    assert advisory_locks(engine) == 0


@repeatedly
def test_activation_that_does_not_wait_is_refused_while_another_commits(
    engine: sa.Engine, session_factory: Factory
) -> None:
    one, other = groups = groups_of_one_student(
        session_factory, GroupStatus.SAVED, GroupStatus.SAVED
    )

    def attempt(group: PlanGroup, hold: Hold) -> StateChange:
        held = sessionmaker(engine)
        sa.event.listen(held, "before_commit", lambda _: hold())
        return activate_group(held, group, timedelta(0))

    answers = run_simultaneously(lambda hold: attempt(one, hold), lambda hold: attempt(other, hold))
    (winner,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    assert refusal.scope == "student"
    expected = ["active" if group.id == winner.group_id else "saved" for group in groups]
    assert statuses(engine, groups) == expected


def interfering(factory: Factory, times: int, act: Callable[[], object]) -> Callable[[], Session]:
    """Return a session factory that calls ``act`` in each of the first ``times`` attempts.

    An attempt of ``activate`` opens two sessions: one that reads without a lock, and one that
    acquires the locks. ``act`` is called just before the second one.
    """
    numbers = count()

    def make() -> Session:
        number = next(numbers)
        if number % 2 and number // 2 < times:
            act()
        return factory()

    return make


@pytest.mark.parametrize("times", [1, 2, 3])
def test_activation_restarts_if_another_group_became_active_and_fails_after_three_attempts(
    engine: sa.Engine, session_factory: Factory, times: int
) -> None:
    saved = [GroupStatus.SAVED] * 5
    mine, *others = groups = groups_of_one_student(session_factory, *saved)
    remaining = iter(others)
    activate_group(session_factory, next(remaining))
    interfering_factory = interfering(
        session_factory, times, lambda: activate_group(session_factory, next(remaining))
    )
    if times < 3:
        changed = activate(interfering_factory, tenant_id=mine.tenant_id, group_id=mine.id)
        assert changed.paused_group_id == others[times].id
        expected = ["active", *["paused"] * (times + 1), *["saved"] * (3 - times)]
    else:
        with pytest.raises(EditedMeanwhileError) as refused:
            activate(interfering_factory, tenant_id=mine.tenant_id, group_id=mine.id)
        assert refused.value.group_id == mine.id
        expected = ["saved", "paused", "paused", "paused", "active"]
    assert statuses(engine, groups) == expected
    assert advisory_locks(engine) == 0


def test_activation_continues_if_the_active_group_was_paused_meanwhile(
    engine: sa.Engine, session_factory: Factory
) -> None:
    groups = groups_of_one_student(session_factory, GroupStatus.SAVED, GroupStatus.ACTIVE)
    mine, other = groups
    interfering_factory = interfering(
        session_factory, 1, lambda: change(session_factory, other, GroupStatus.PAUSED)
    )
    changed = activate(interfering_factory, tenant_id=mine.tenant_id, group_id=mine.id)
    assert changed.paused_group_id is None
    assert statuses(engine, groups) == ["active", "paused"]


def test_random_activations_generations_and_pauses_do_not_deadlock(
    engine: sa.Engine, session_factory: Factory
) -> None:
    groups = groups_of_one_student(session_factory, *[GroupStatus.SAVED] * 4)
    rng = random.Random(7)  # noqa: S311 - not for cryptography
    actions = iter([(rng.randrange(4), rng.choice("aagp")) for _ in range(48)])

    def work(_: Hold) -> str:
        for number, action in islice(actions, 6):
            try:
                if action == "a":
                    activate_group(session_factory, groups[number])
                elif action == "g":
                    generate_after_waiting(session_factory, groups[number])
                else:
                    change(session_factory, groups[number], GroupStatus.PAUSED, wait=LONG)
            except (TransitionNotAllowedError, PlanGroupNotGeneratableError, EditedMeanwhileError):
                continue
            assert statuses(engine, groups).count("active") <= 1
        return "done"

    assert contend(8, work).results == ["done"] * 8
    assert advisory_locks(engine) == 0
