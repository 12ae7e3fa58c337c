"""Simultaneous requests with one idempotency key: one generation, the same answer for all."""

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
ROUND_TRIPS_WITHOUT_A_KEY = 7
MAX_ROUND_TRIPS = 10
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
    # Each call uses a new transaction, because pg_stat_activity does not change within one.
    with engine.connect() as connection:
        return int(connection.scalar(BLOCKED_WRITERS) or 0)


def race(
    engine: sa.Engine,
    factory: Factory,
    groups: tuple[PlanGroup, PlanGroup],
    end: Callable[[UnitOfWork], None],
) -> Callable[[], GenerationResult]:
    """End the first group's request once the second group's request waits for its row.

    Return a function that waits for the result of the second request.
    """
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


def test_idempotency_key_on_two_groups_gives_one_success_and_one_mismatch(
    engine: sa.Engine, session_factory: Factory, groups: tuple[PlanGroup, PlanGroup]
) -> None:
    second = race(engine, session_factory, groups, UnitOfWork.commit)
    with pytest.raises(IdempotencyMismatchError) as refused:
        second()
    assert refused.value.idempotency_key == "k"
    assert keys(engine, groups[0].tenant_id) == ["k"]
    assert traces(engine, groups[1].id) == (0, [], [])


def test_idempotency_key_is_free_after_the_first_request_rolls_back(
    engine: sa.Engine, session_factory: Factory, groups: tuple[PlanGroup, PlanGroup]
) -> None:
    second = race(engine, session_factory, groups, UnitOfWork.rollback)
    assert second().generation == 1
    assert keys(engine, groups[0].tenant_id) == ["k"]
    assert traces(engine, groups[0].id) == (0, [], [])


def test_idempotency_key_of_simultaneous_requests_for_eight_groups_stores_one_generation(
    engine: sa.Engine, session_factory: Factory
) -> None:
    first = stored_group(session_factory)
    many = [first, *(stored_group(session_factory, tenant_id=first.tenant_id) for _ in range(7))]
    remaining = iter(many)
    answers = contend(8, lambda _: generate(session_factory, next(remaining)))
    assert len(answers.results) == 1
    assert [type(refusal) for refusal in answers.refusals] == [IdempotencyMismatchError] * 7
    assert keys(engine, first.tenant_id) == ["k"]


def test_waiting_request_with_the_same_key_gets_the_holders_answer(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    answers = contend(8, lambda _: generate(session_factory, group, wait=LONG))
    assert not answers.refusals
    assert sorted(result.repeated for result in answers.results) == [False, *[True] * 7]
    assert all(result == answers.results[0] for result in answers.results)
    assert traces(engine, group.id)[0] == 1


def test_refused_request_that_is_retried_with_its_key_gets_the_winners_answer(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    lock = PlanGroupLock(group.tenant_id, group.id)
    work = partial(generate_plans, session_factory, lock, today=FIRST)
    policy = RetryPolicy(attempts=50, deadline=LONG, max_pause=timedelta(milliseconds=50))

    # Retries without the pause of one second that a refusal asks for.
    def generate_without_pause(*, idempotency_key: str) -> GenerationResult:
        try:
            return work(idempotency_key=idempotency_key)
        except PlanGroupLockedError as refusal:
            raise PlanGroupLockedError(group_id=refusal.group_id, retry_after=0) from refusal

    answers = contend(
        6, lambda _: retrying(generate_without_pause, idempotency_key="k", policy=policy)
    )
    assert not answers.refusals
    assert all(result == answers.results[0] for result in answers.results)
    assert [result.repeated for result in answers.results].count(False) == 1
    assert traces(engine, group.id)[0] == 1


def test_idempotency_key_costs_one_round_trip_and_a_repeated_answer_no_more(
    new_engine: Callable[..., sa.Engine], session_factory: Factory
) -> None:
    own = new_engine(pool_size=1, max_overflow=0)
    without, with_key = stored_group(session_factory), stored_group(session_factory)
    requests: list[tuple[PlanGroup, str | None]] = [
        (without, None),
        (with_key, "k"),
        (with_key, "k"),
    ]
    round_trips = []
    for group, key in requests:
        with counted(own) as trips:
            generate(sessionmaker(own), group, idempotency_key=key)
        round_trips.append(trips.count)
    none, fresh, repeated = round_trips
    assert none == ROUND_TRIPS_WITHOUT_A_KEY
    assert fresh == none + 1 <= MAX_ROUND_TRIPS
    assert repeated <= fresh
