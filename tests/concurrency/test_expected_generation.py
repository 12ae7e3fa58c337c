"""A request with an expected generation succeeds only if no other generation was stored."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    InvalidInputError,
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    generate_plans,
    generate_plans_async,
)
from domain.errors import EditedMeanwhileError, IdempotencyMismatchError
from domain.testing import contend
from tests.concurrency.tasks import pooled
from tests.integration.storing import FIRST, traces

Factory = sessionmaker[Session]
REQUESTS = 12


def generate(factory: Factory, group: PlanGroup, expected: Any, **fields: Any) -> int | None:
    lock = PlanGroupLock(group.tenant_id, group.id)
    return generate_plans(
        factory, lock, today=FIRST, expected_generation=expected, **fields
    ).generation


def test_expected_generation_lets_one_of_several_simultaneous_requests_succeed(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup
) -> None:
    generate(session_factory, group, 0)
    answers = contend(REQUESTS, lambda _: generate(session_factory, group, 1))
    assert answers.results == [2]
    assert {type(refusal) for refusal in answers.refusals} <= {
        EditedMeanwhileError,
        PlanGroupLockedError,
    }
    assert traces(engine, group.id)[0] == 2


def test_expected_generation_lets_one_of_several_simultaneous_tasks_succeed(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    lock = PlanGroupLock(group.tenant_id, group.id)

    async def main() -> list[Any]:
        async with pooled(database_url) as factory:
            requests = (
                generate_plans_async(factory, lock, today=FIRST, expected_generation=0)
                for _ in range(REQUESTS)
            )
            return await asyncio.gather(*requests, return_exceptions=True)

    answers = asyncio.run(main())
    errors = {type(answer) for answer in answers if isinstance(answer, Exception)}
    assert errors <= {EditedMeanwhileError, PlanGroupLockedError}
    assert len([answer for answer in answers if not isinstance(answer, Exception)]) == 1
    assert traces(engine, group.id)[0] == 1


@pytest.mark.parametrize("expected", [0, 2, 3, 10**12])
def test_expected_generation_that_differs_from_the_stored_one_is_refused(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup, expected: int
) -> None:
    generate(session_factory, group, 0)
    before = traces(engine, group.id)
    with pytest.raises(EditedMeanwhileError) as refused:
        generate(session_factory, group, expected)
    assert refused.value.group_id == group.id
    assert not refused.value.retryable
    assert traces(engine, group.id) == before


@pytest.mark.parametrize("expected", [-1, 1.0, "1", True])
def test_expected_generation_that_is_not_a_natural_number_is_refused(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup, expected: Any
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        generate(session_factory, group, expected)
    assert refused.value.field == "expected_generation"
    assert traces(engine, group.id)[0] == 0


def test_idempotency_key_is_resolved_before_the_expected_generation_is_checked(
    session_factory: Factory, group: PlanGroup
) -> None:
    assert generate(session_factory, group, 0, idempotency_key="first") == 1
    assert generate(session_factory, group, 1) == 2
    assert generate(session_factory, group, 0, idempotency_key="first") == 1
    assert generate(session_factory, group, 2, idempotency_key="first") == 1
    with pytest.raises(IdempotencyMismatchError):
        generate_plans(
            session_factory,
            PlanGroupLock(group.tenant_id, group.id),
            today=FIRST.replace(day=7),
            idempotency_key="first",
            expected_generation=0,
        )
