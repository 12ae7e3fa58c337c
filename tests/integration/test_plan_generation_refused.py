"""A generation that is refused or fails leaves the group unchanged."""

import pkgutil
from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    DomainError,
    GroupStatus,
    InvalidInputError,
    PlanGroup,
    PlanGroupLock,
    generate_plans,
)
from domain.errors import (
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NothingPlacedError,
    PlanGroupNotFoundError,
    PlanGroupNotGeneratableError,
)
from domain.scheduling.result import Schedule
from domain.scheduling.types import Request
from domain.services import preview_plans
from tests.factories import BlockFactory
from tests.integration.storing import (
    FIRST,
    change,
    dump,
    generate,
    generated_group,
    stored_group,
    with_computation,
)

Factory = sessionmaker[Session]
STEPS = [
    "domain.repositories.PlanGroupRepository.snapshot",
    "domain.repositories.snapshot.PlanningSnapshot.request",
    "domain.scheduling.types.fingerprint",
    "domain.services.plan_generation.write_generation",
    "domain.repositories.generations.write_record",
    "domain.repositories.generations.store_day_shifts",
    "domain.repositories.generations.update_plans",
    "domain.repositories.generations.insert_plans",
    "domain.repositories.plan_writing.copy_rows",
]


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    return generated_group(session_factory)


class UnexpectedError(Exception):
    """Any error that the package does not expect."""


def _generate(factory: Factory, *, tenant_id: Any, group_id: UUID, today: Any) -> None:
    generate_plans(factory, PlanGroupLock(tenant_id, group_id), today=today)


def _preview(factory: Factory, **arguments: Any) -> None:
    with factory() as session:
        preview_plans(session, **arguments)


@pytest.mark.parametrize(
    "status", [GroupStatus.DRAFT, GroupStatus.PAUSED, GroupStatus.COMPLETED, GroupStatus.CANCELLED]
)
def test_plan_group_in_another_state_is_refused(
    session_factory: Factory, group: PlanGroup, status: GroupStatus
) -> None:
    change(session_factory, group, status=status)
    before = dump(session_factory, group.id)
    with pytest.raises(PlanGroupNotGeneratableError) as refused:
        generate(session_factory, group)
    assert (refused.value.group_id, refused.value.group_status) == (group.id, status.value)
    assert dump(session_factory, group.id) == before


def test_generation_of_an_unknown_group_raises_not_found(session_factory: Factory) -> None:
    lock = PlanGroupLock(uuid4(), uuid4())
    with pytest.raises(PlanGroupNotFoundError):
        generate_plans(session_factory, lock, today=FIRST)


def test_generation_of_another_tenants_group_raises_not_found_and_changes_nothing(
    session_factory: Factory, group: PlanGroup
) -> None:
    before = dump(session_factory, group.id)
    with pytest.raises(PlanGroupNotFoundError):
        generate_plans(session_factory, PlanGroupLock(uuid4(), group.id), today=FIRST)
    assert dump(session_factory, group.id) == before


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"contents": []}, NoContentsError),
        ({"blocks": []}, NoBlocksError),
        ({"period_end": date(2025, 1, 7)}, NoStudyDaysError),
        (
            {"blocks": [BlockFactory.build(weekday=1, start_minute=720, end_minute=780)]},
            NothingPlacedError,
        ),
    ],
)
def test_generation_that_cannot_place_any_plan_leaves_the_group_unchanged(
    session_factory: Factory, fields: dict[str, Any], error: type[DomainError]
) -> None:
    impossible = stored_group(session_factory, **fields)
    before = dump(session_factory, impossible.id)
    with pytest.raises(error) as refused:
        generate(session_factory, impossible, date(2025, 1, 8))
    assert dump(session_factory, impossible.id) == before
    problems = [refused.value.to_problem(language) for language in ("ko", "en")]
    assert [problem["detail"] for problem in problems] == [error.ko, error.en]
    assert {problem["status"] for problem in problems} == {422}


def test_computation_that_fails_leaves_the_group_unchanged(
    session_factory: Factory, group: PlanGroup
) -> None:
    def fail(_: Request) -> Schedule:
        raise UnexpectedError

    before = dump(session_factory, group.id)
    with pytest.raises(UnexpectedError):
        with_computation(session_factory, group, fail)
    assert dump(session_factory, group.id) == before
    assert generate(session_factory, group).generation == 2


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_failure_at_any_step_leaves_the_group_unchanged(
    *,
    session_factory: Factory,
    group: PlanGroup,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    moment: str,
) -> None:
    original: Callable[..., Any] = pkgutil.resolve_name(step)

    def fail(*arguments: Any, **keywords: Any) -> None:
        if moment == "after":
            original(*arguments, **keywords)
        raise UnexpectedError

    later = date(2025, 1, 8)
    before = dump(session_factory, group.id)
    with monkeypatch.context() as patched:
        patched.setattr(step, fail)
        with pytest.raises(UnexpectedError):
            generate(session_factory, group, later)
    assert dump(session_factory, group.id) == before
    assert generate(session_factory, group, later).changes.new
    assert dump(session_factory, group.id) != before


def test_commit_that_fails_leaves_the_group_unchanged(
    session_factory: Factory, group: PlanGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Session) -> None:
        raise UnexpectedError

    before = dump(session_factory, group.id)
    with monkeypatch.context() as patched:
        patched.setattr(Session, "commit", fail)
        with pytest.raises(UnexpectedError):
            generate(session_factory, group)
    assert dump(session_factory, group.id) == before
    assert generate(session_factory, group).generation == 2


@pytest.mark.parametrize("call", [_generate, _preview], ids=["generate", "preview"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tenant_id", None),
        ("tenant_id", "not a UUID"),
        ("today", None),
        ("today", "2025-01-08"),
        ("today", datetime(2025, 1, 8)),  # noqa: DTZ001 - the type is wrong, not the time zone
    ],
)
def test_refusal_names_the_argument_that_has_the_wrong_type(
    session_factory: Factory, group: PlanGroup, call: Any, field: str, value: Any
) -> None:
    before = dump(session_factory, group.id)
    arguments = {"tenant_id": group.tenant_id, "group_id": group.id, "today": date(2025, 1, 8)}
    with pytest.raises(InvalidInputError) as refused:
        call(session_factory, **{**arguments, field: value})
    assert refused.value.field == field
    assert dump(session_factory, group.id) == before


def test_requested_by_must_be_text(session_factory: Factory, group: PlanGroup) -> None:
    requester: Any = 7
    with pytest.raises(InvalidInputError) as refused:
        generate_plans(
            session_factory,
            PlanGroupLock(group.tenant_id, group.id),
            today=date(2025, 1, 8),
            requested_by=requester,
        )
    assert refused.value.field == "requested_by"
