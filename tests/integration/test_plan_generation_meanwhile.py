"""What others do while a generation computes: with the lock, without it, or to its connection."""

from collections.abc import Callable
from datetime import date

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GroupStatus, PlanGroup, PlanGroupLockedError, PlanState
from domain.errors import GeneratedMeanwhileError, StudentPlansOverlapError
from domain.scheduling.engine import schedule
from domain.scheduling.planning import Request
from domain.scheduling.schedule import Schedule
from tests.integration.asking import check
from tests.integration.storing import (
    book_group,
    change,
    done_by,
    dump,
    fresh_ids,
    generate,
    generated_group,
    live,
    mark,
    with_computation,
)

Factory = sessionmaker[Session]
TODAY = date(2025, 1, 8)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    return generated_group(session_factory)


def meanwhile(act: Callable[[], object]) -> Callable[[Request], Schedule]:
    """A computation during which somebody else acts and commits."""

    def compute(request: Request) -> Schedule:
        act()
        return schedule(request)

    return compute


@pytest.mark.parametrize(
    "act",
    [
        lambda factory, group: mark(factory, live(factory, group)[5], **done_by(PlanState.STARTED)),
        lambda factory, group: mark(
            factory, live(factory, group)[5], live=False, retired_as="cancelled"
        ),
        lambda factory, group: change(factory, group, status=GroupStatus.PAUSED),
        lambda factory, group: change(factory, group, generation=7),
    ],
    ids=["started", "retired", "paused", "generated"],
)
def test_what_was_edited_meanwhile_is_not_overwritten(
    session_factory: Factory, group: PlanGroup, act: Callable[[Factory, PlanGroup], None]
) -> None:
    with pytest.raises(GeneratedMeanwhileError) as refused:
        with_computation(session_factory, group, meanwhile(lambda: act(session_factory, group)))
    assert refused.value.group_id == group.id
    assert {plan.generation for plan in live(session_factory, group)} == {1}


def test_an_hour_that_was_taken_meanwhile_is_not_given_twice(session_factory: Factory) -> None:
    """By somebody who forgot the student's lock: the exclusion constraint is the last wall."""
    whose = fresh_ids()
    group, other = book_group(session_factory, **whose), book_group(session_factory, **whose)
    generate(session_factory, other)
    taken = next(p for p in live(session_factory, other) if p.date == TODAY)
    mark(session_factory, taken, live=False, retired_as="cancelled")
    before = dump(session_factory, group.id)

    def take_again() -> None:
        mark(session_factory, taken, live=True, retired_as=None)

    with pytest.raises(StudentPlansOverlapError) as refused:
        with_computation(session_factory, group, meanwhile(take_again))
    assert refused.value.student_id == whose["student_id"]
    assert dump(session_factory, group.id) == before
    assert generate(session_factory, group).generation == 1


def test_another_group_of_the_student_is_refused_while_one_is_planned(
    session_factory: Factory,
) -> None:
    whose = fresh_ids()
    group, other = book_group(session_factory, **whose), book_group(session_factory, **whose)
    with pytest.raises(PlanGroupLockedError) as refused:
        with_computation(
            session_factory, group, meanwhile(lambda: generate(session_factory, other))
        )
    assert (refused.value.group_id, refused.value.scope) == (other.id, "student")


def test_a_connection_that_dies_meanwhile_leaves_the_group_as_it_was(
    session_factory: Factory, group: PlanGroup, engine: sa.Engine
) -> None:
    def kill() -> None:
        with engine.connect() as other:
            holder = check(other, group.id).holder_pid
            other.execute(sa.select(sa.func.pg_terminate_backend(holder)))

    before = dump(session_factory, group.id)
    with pytest.raises(sa.exc.OperationalError):
        with_computation(session_factory, group, meanwhile(kill))
    assert dump(session_factory, group.id) == before
    assert generate(session_factory, group).generation == 2
