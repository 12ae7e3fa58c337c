"""Arguments of locks and of complete requests that have a wrong type are refused by name."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, StudentLock
from domain.errors import InvalidInputError, MisuseError, WrongSessionError
from domain.retrying import RetryPolicy, retrying, retrying_async
from domain.services import activate
from domain.services.group_states import activate_async
from domain.services.removal import remove_history, remove_student, remove_tenant
from tests.integration.editing import everything
from tests.integration.storing import ids_of

Factory = sessionmaker[Session]
TENANT, GROUP = UUID(int=1), UUID(int=2)
WRONG: list[Any] = [None, "x", 5, True, [], {}, [GROUP], {GROUP: 1}, ..., b"a"]
LOCKS: dict[str, Callable[[Any], object]] = {
    "tenant_id": lambda x: PlanGroupLock(x, GROUP),
    "group_id": lambda x: PlanGroupLock(TENANT, x),
    "others": lambda x: PlanGroupLock(TENANT, GROUP, others=x),
    "limits": lambda x: PlanGroupLock(TENANT, GROUP, limits=x),
    "student_id": lambda x: StudentLock(TENANT, x),
    "student wait": lambda x: StudentLock(TENANT, GROUP, wait=x),
    "student limits": lambda x: StudentLock(TENANT, GROUP, limits=x),
}


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_lock_with_an_argument_of_a_wrong_type_is_refused_by_name(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        LOCKS[name](wrong)
    assert refused.value.field == name.rpartition(" ")[2]


@pytest.mark.parametrize("wrong", [GROUP, *WRONG[:6], [[]], [None], [GROUP, "x"], ...])
def test_lock_of_several_groups_refuses_anything_but_their_ids(wrong: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock.of(TENANT, wrong)
    assert refused.value.field == "group_id"


@pytest.mark.parametrize("wrong", [0, "", [], {}, False, 5])
def test_lock_of_several_groups_refuses_limits_that_are_false(wrong: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock.of(TENANT, [GROUP], limits=wrong)
    assert refused.value.field == "limits"


@pytest.mark.parametrize("field", ["tenant_id", "group_id", "wait", "expected_version"])
@pytest.mark.parametrize("wrong", ["x", 5.5, True, [], ..., -timedelta(1)], ids=repr)
def test_activation_refuses_an_argument_of_a_wrong_type_by_name(
    session_factory: Factory, group: PlanGroup, field: str, wrong: Any
) -> None:
    before = everything(session_factory)
    with pytest.raises(InvalidInputError) as refused:
        activate(session_factory, **{**ids_of(group), field: wrong})
    assert refused.value.field == field
    assert everything(session_factory) == before


@pytest.mark.parametrize("wrong", [None, 5, ..., list], ids=repr)
def test_complete_request_refuses_what_is_no_session_factory(wrong: Any) -> None:
    ids: dict[str, Any] = {"tenant_id": TENANT, "group_id": GROUP}
    calls: list[Callable[[], object]] = [
        lambda: activate(wrong, **ids),
        lambda: asyncio.run(activate_async(wrong, **ids)),
        lambda: remove_history(wrong, tenant_id=TENANT, before=datetime.now(UTC)),
        lambda: remove_student(wrong, tenant_id=TENANT, student_id=GROUP),
        lambda: remove_tenant(wrong, tenant_id=TENANT),
    ]
    for call in calls:
        with pytest.raises(WrongSessionError):
            call()


@pytest.mark.parametrize("field", ["attempts", "deadline", "first_pause", "max_pause"])
@pytest.mark.parametrize("wrong", [None, "3", 2.5, True, [], -1], ids=repr)
def test_retry_policy_refuses_an_argument_of_a_wrong_type(field: str, wrong: Any) -> None:
    with pytest.raises(InvalidInputError):
        RetryPolicy(**{field: wrong})


async def work() -> None:
    raise AssertionError("no attempt is made")


@pytest.mark.parametrize("wrong", [None, 5, "work", [], ..., {}], ids=repr)
def test_retrying_refuses_a_policy_or_work_of_a_wrong_type_by_name(wrong: Any) -> None:
    policies: list[Callable[[], object]] = [
        lambda: retrying(lambda: None, policy=wrong),
        lambda: asyncio.run(retrying_async(work, policy=wrong)),
    ]
    for call in policies:
        with pytest.raises(InvalidInputError) as refused:
            call()
        assert refused.value.field == "policy"
    works: list[Callable[[], object]] = [
        lambda: retrying(wrong),
        lambda: asyncio.run(retrying_async(wrong)),
    ]
    for call in works:
        with pytest.raises(MisuseError, match=r"^work must be a function"):
            call()


def test_retrying_refuses_the_awaitable_in_place_of_its_function() -> None:
    called: list[Any] = [work(), work()]
    with pytest.raises(MisuseError, match="not coroutine"):
        retrying(called[0])
    with pytest.raises(MisuseError, match="not coroutine"):
        asyncio.run(retrying_async(called[1]))
