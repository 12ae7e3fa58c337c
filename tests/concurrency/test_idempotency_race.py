"""One idempotency key asked for at once: one generation, and the same answer for everybody."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GenerationResult,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    UnitOfWork,
    generate_plans,
)
from domain.errors import IdempotencyMismatchError
from domain.retrying import RetryPolicy, retrying
from domain.testing import contend
from domain.testing.contention import TIMEOUT, eventually
from tests.integration.asking import counted
from tests.integration.storing import FIRST, stored_group, traces

Factory = sessionmaker[Session]
LONG = timedelta(seconds=TIMEOUT)
WITHOUT_A_KEY = 8
MAX_ROUND_TRIPS = 12
BLOCKED_WRITERS = sa.text(
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE NOT granted AND locktype = 'transactionid' AND datname = current_database()"
)


@pytest.fixture
def groups(session_factory: Factory) -> tuple[PlanGroup, PlanGroup]:
    """Two groups of one tenant, of different students."""
    one = stored_group(session_factory)
    return one, stored_group(session_factory, tenant_id=one.tenant_id)


def generate(
    factory: Factory,
    group: PlanGroup,
    end: Callable[[UnitOfWork], None] = UnitOfWork.commit,
    wait: timedelta | None = None,
    idempotency_key: str | None = "k",
) -> GenerationResult:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id, wait=wait)) as uow:
        result = PlanGenerationService(uow).generate(today=FIRST, idempotency_key=idempotency_key)
        end(uow)
    return result


def keys(engine: sa.Engine, tenant_id: UUID) -> list[str | None]:
    with engine.connect() as connection:
        found = sa.text(
            "SELECT idempotency_key FROM studyplan.plan_generations WHERE tenant_id = :tenant"
        )
        return list(connection.scalars(found, {"tenant": tenant_id}))


def blocked_writers(engine: sa.Engine) -> int:
    # A transaction of its own for each look: within one, pg_stat_activity stands still.
    with engine.connect() as connection:
        return int(connection.scalar(BLOCKED_WRITERS) or 0)


def race(
    engine: sa.Engine,
    factory: Factory,
    groups: tuple[PlanGroup, PlanGroup],
    end: Callable[[UnitOfWork], None],
) -> Callable[[], GenerationResult]:
    """The first group's request ends once the second's waits for its row: the second's answer."""
    with ThreadPoolExecutor(1) as pool:
        second = []

        def end_when_blocked(uow: UnitOfWork) -> None:
            second.append(pool.submit(generate, factory, groups[1]))
            eventually(
                lambda: blocked_writers(engine) > 0,
                "the second request waits for the first one's row",
            )
            end(uow)

        generate(factory, groups[0], end_when_blocked)
        return partial(second[0].result, TIMEOUT)


def test_one_key_on_two_groups_is_one_success_and_one_mismatch(
    engine: sa.Engine, session_factory: Factory, groups: tuple[PlanGroup, PlanGroup]
) -> None:
    second = race(engine, session_factory, groups, UnitOfWork.commit)
    with pytest.raises(IdempotencyMismatchError) as refused:
        second()
    assert refused.value.idempotency_key == "k"
    assert keys(engine, groups[0].tenant_id) == ["k"]
    assert traces(engine, groups[1].id) == (0, [], [])


def test_if_the_first_rolls_back_the_second_succeeds(
    engine: sa.Engine, session_factory: Factory, groups: tuple[PlanGroup, PlanGroup]
) -> None:
    second = race(engine, session_factory, groups, UnitOfWork.rollback)
    assert second().generation == 1
    assert keys(engine, groups[0].tenant_id) == ["k"]
    assert traces(engine, groups[0].id) == (0, [], [])


def test_many_groups_at_once_with_one_key_leave_one_generation(
    engine: sa.Engine, session_factory: Factory
) -> None:
    first = stored_group(session_factory)
    many = [first, *(stored_group(session_factory, tenant_id=first.tenant_id) for _ in range(7))]
    free = iter(many)
    answers = contend(8, lambda _: generate(session_factory, next(free)))
    assert len(answers.results) == 1
    assert [type(refusal) for refusal in answers.refusals] == [IdempotencyMismatchError] * 7
    assert keys(engine, first.tenant_id) == ["k"]


def test_who_waited_with_the_same_key_gets_the_holders_answer(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    answers = contend(8, lambda _: generate(session_factory, group, wait=LONG))
    assert not answers.refusals
    assert sorted(result.repeated for result in answers.results) == [False, *[True] * 7]
    assert all(result == answers.results[0] for result in answers.results)
    assert traces(engine, group.id)[0] == 1


def test_who_was_refused_and_tries_again_gets_the_winners_answer(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    lock = PlanGroupLock(group.tenant_id, group.id)
    work = partial(generate_plans, session_factory, lock, today=FIRST)
    policy = RetryPolicy(attempts=50, deadline=LONG, longest_pause=timedelta(milliseconds=50))

    # Without the pause of a second that a refusal asks for.
    def impatient(*, idempotency_key: str) -> GenerationResult:
        try:
            return work(idempotency_key=idempotency_key)
        except PlanGroupLockedError as refusal:
            raise PlanGroupLockedError(group_id=refusal.group_id, retry_after=0) from refusal

    answers = contend(6, lambda _: retrying(impatient, idempotency_key="k", policy=policy))
    assert not answers.refusals
    assert all(result == answers.results[0] for result in answers.results)
    assert [result.repeated for result in answers.results].count(False) == 1
    assert traces(engine, group.id)[0] == 1


def test_a_key_costs_one_round_trip_and_an_answer_from_the_record_few(
    new_engine: Callable[..., sa.Engine], session_factory: Factory
) -> None:
    own = new_engine(pool_size=1, max_overflow=0)
    without, with_key = stored_group(session_factory), stored_group(session_factory)
    asked: list[tuple[PlanGroup, str | None]] = [(without, None), (with_key, "k"), (with_key, "k")]
    spent = []
    for group, key in asked:
        with counted(own) as trips:
            generate(sessionmaker(own), group, idempotency_key=key)
        spent.append(trips.count)
    none, fresh, repeated = spent
    assert none == WITHOUT_A_KEY
    assert fresh == none + 1 <= MAX_ROUND_TRIPS
    assert repeated <= fresh
