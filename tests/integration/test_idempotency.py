"""Idempotency keys: a repeated request returns the first result, or it is a mismatch."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pprint import pformat
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GenerationResult,
    GroupStatus,
    InvalidInputError,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    UnitOfWork,
    generate_plans,
)
from domain.errors import (
    IdempotencyMismatchError,
    LockNotHeldError,
    NothingPlacedError,
    PlanGroupNotFoundError,
)
from domain.services.plan_generation import PlanGenerationService
from tests.factories import ContentFactory
from tests.integration.storing import (
    FIRST,
    book_group,
    change,
    done_by,
    dump,
    live,
    mark,
    overfull_group,
    stored_group,
)

Factory = sessionmaker[Session]


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group whose result has plans, unplaced ranges and warnings: one content is too long."""
    contents = [
        ContentFactory.build(position=2, last_unit=40),
        ContentFactory.build(position=5, last_unit=2000, minutes_per_unit=30),
    ]
    return stored_group(session_factory, contents=contents)


def generate(
    factory: Factory, group: PlanGroup, key: str | None, today: date = FIRST
) -> GenerationResult:
    return generate_plans(
        factory, PlanGroupLock(group.tenant_id, group.id), today=today, idempotency_key=key
    )


def test_idempotency_key_with_the_same_input_returns_the_first_result(
    session_factory: Factory, group: PlanGroup
) -> None:
    first = generate(session_factory, group, "k")
    before = dump(session_factory, group.id)
    again = generate(session_factory, group, "k")
    assert again == first
    assert (first.repeated, again.repeated) == (False, True)
    assert dump(session_factory, group.id) == before
    assert first.plans, "there is something to compare"
    assert first.unplaced
    assert first.warnings
    assert first.certificate
    assert first.repairs


def test_repeated_result_has_the_type_of_each_field_again(
    session_factory: Factory, group: PlanGroup
) -> None:
    first = generate(session_factory, group, "k")
    again = generate(session_factory, group, "k")
    assert pformat(replace(again, repeated=False)) == pformat(first)
    assert again.warnings[0].message() == first.warnings[0].message()


@pytest.mark.parametrize(
    "content",
    [{}, {"minutes_per_unit": 19, "last_unit": 5}, {"last_unit": 60}],
    ids=["with a certificate", "without a certificate", "everything placed"],
)
def test_repeated_result_explains_unplaced_units_again(
    session_factory: Factory, content: dict[str, int]
) -> None:
    group = overfull_group(session_factory, **content)
    first = generate(session_factory, group, "k")
    again = generate(session_factory, group, "k")
    assert (again.certificate, again.repairs) == (first.certificate, first.repairs)
    assert pformat(replace(again, repeated=False)) == pformat(first)
    assert bool(first.certificate) == (not content)
    assert bool(first.repairs) == bool(first.unplaced) == (content != {"last_unit": 60})


@pytest.mark.parametrize(
    "change_group",
    [
        lambda factory, group: generate(factory, group, "another"),
        lambda factory, group: generate(factory, group, None, FIRST + timedelta(days=3)),
        lambda factory, group: mark(factory, live(factory, group)[0], **done_by(PlanState.DONE)),
        lambda factory, group: change(factory, group, status=GroupStatus.COMPLETED),
        lambda factory, group: change(factory, group, period_end=FIRST + timedelta(days=5)),
    ],
    ids=["generated again", "generated later", "done", "completed", "edited"],
)
def test_repeated_result_does_not_depend_on_later_changes_of_the_group(
    session_factory: Factory, group: PlanGroup, change_group: Callable[[Factory, PlanGroup], object]
) -> None:
    first = generate(session_factory, group, "k")
    change_group(session_factory, group)
    before = dump(session_factory, group.id)
    assert generate(session_factory, group, "k") == first
    assert dump(session_factory, group.id) == before


def test_repeated_result_may_be_empty(session_factory: Factory) -> None:
    group = book_group(session_factory, last=1)
    generate(session_factory, group, None)
    mark(session_factory, live(session_factory, group)[0], **done_by(PlanState.DONE))
    first = generate(session_factory, group, "empty")
    assert not [plan for plan in first.plans if plan.kind.value == "study"]
    assert generate(session_factory, group, "empty") == first


def test_idempotency_key_with_another_day_is_a_mismatch(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group, "k")
    with pytest.raises(IdempotencyMismatchError) as refused:
        generate(session_factory, group, "k", FIRST + timedelta(days=1))
    assert (refused.value.idempotency_key, refused.value.http_status) == ("k", 422)


def test_idempotency_key_with_another_group_of_the_tenant_is_a_mismatch(
    session_factory: Factory, group: PlanGroup
) -> None:
    other = book_group(session_factory, tenant_id=group.tenant_id)
    generate(session_factory, group, "k")
    before = dump(session_factory, other.id)
    with pytest.raises(IdempotencyMismatchError):
        generate(session_factory, other, "k")
    assert dump(session_factory, other.id) == before


def test_idempotency_key_may_be_used_by_two_tenants(
    session_factory: Factory, group: PlanGroup
) -> None:
    other = book_group(session_factory)
    assert not generate(session_factory, group, "k").repeated
    assert not generate(session_factory, other, "k").repeated


def test_requester_and_wait_are_not_part_of_the_input(
    session_factory: Factory, group: PlanGroup
) -> None:
    first = generate(session_factory, group, "k")
    lock = PlanGroupLock(group.tenant_id, group.id, wait=timedelta(seconds=1))
    arguments: dict[str, Any] = {"today": FIRST, "idempotency_key": "k"}
    assert generate_plans(session_factory, lock, requested_by="B", **arguments) == first


@pytest.mark.parametrize("key", ["x", "열쇠 ✓", "k" * 200, "'; --", " "])
def test_idempotency_key_of_1_to_200_characters_is_accepted(
    session_factory: Factory, group: PlanGroup, key: str
) -> None:
    assert generate(session_factory, group, key) == generate(session_factory, group, key)


@pytest.mark.parametrize("key", ["", "k" * 201, "a\0b", "\ud800", 7, b"k"])
def test_idempotency_key_of_another_form_is_invalid_input_and_nothing_is_written(
    session_factory: Factory, group: PlanGroup, key: Any
) -> None:
    before = dump(session_factory, group.id)
    with pytest.raises(InvalidInputError) as refused:
        generate(session_factory, group, key)
    assert refused.value.field == "idempotency_key"
    assert dump(session_factory, group.id) == before


def test_idempotency_key_is_not_used_up_by_a_request_that_failed(session_factory: Factory) -> None:
    group = book_group(session_factory)
    change(session_factory, group, period_end=group.period_start)
    contents = sa.text(
        "UPDATE studyplan.contents SET minutes_per_unit = 1400, version = version + 1 "
        "WHERE group_id = :id"
    )
    with session_factory.begin() as session:
        session.execute(contents, {"id": group.id})
    with pytest.raises(NothingPlacedError):
        generate(session_factory, group, "k")
    change(session_factory, group, period_end=group.period_start + timedelta(days=13))
    with session_factory.begin() as session:
        session.execute(sa.text(str(contents).replace("1400", "6")), {"id": group.id})
    assert not generate(session_factory, group, "k").repeated


def test_idempotency_key_is_not_used_up_by_work_that_was_rolled_back(
    session_factory: Factory, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        PlanGenerationService(uow).generate(today=FIRST, idempotency_key="k")
        uow.rollback()
    assert generate(session_factory, group, "k").generation == 1


def test_request_without_a_key_is_a_new_generation(
    session_factory: Factory, group: PlanGroup
) -> None:
    numbers = [generate(session_factory, group, None).generation for _ in range(3)]
    assert numbers == [1, 2, 3]


def test_repeated_result_requires_the_lock_of_the_group(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group, "k")
    lock = PlanGroupLock(group.tenant_id, uuid4())
    with pytest.raises(LockNotHeldError), UnitOfWork(session_factory, lock=lock) as uow:
        PlanGenerationService(uow).generate(today=FIRST, idempotency_key="k", group_id=group.id)


def test_idempotency_key_is_not_disclosed_to_another_tenant(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group, "k")
    group.tenant_id = uuid4()
    with pytest.raises(PlanGroupNotFoundError):
        generate(session_factory, group, "k")
