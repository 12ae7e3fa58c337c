"""A new row has its defaults before it is stored, because it is checked and locked before that."""

from datetime import date
from typing import Any
from uuid import uuid4

import pytest

from domain import Block, Content, GroupStatus, InvalidInputError, PlanGroup
from domain.models import AcademySchedule, Exclusion, SpecialDay
from domain.scheduling.types import Allocation, BlockKind, ContentType, Level, Request, Strategy

TODAY = date(2025, 1, 6)


def build_group(**more: Any) -> PlanGroup:
    """Return a plan group that has values only for columns without a default."""
    return PlanGroup(
        tenant_id=uuid4(),
        student_id=uuid4(),
        name="1학기",
        period_start=TODAY,
        period_end=date(2025, 1, 19),
        contents=[
            Content(
                position=0,
                type=ContentType.BOOK,
                title="수학의 정석",
                allocation=Allocation.WEAKNESS,
                first_unit=1,
                last_unit=80,
            )
        ],
        blocks=[Block(kind=BlockKind.STUDY, weekday=1, start_minute=600, end_minute=720)],
        **more,
    )


def test_plan_group_with_only_required_values_can_be_checked_and_planned() -> None:
    group = build_group()
    group.check()
    request = group.to_request(TODAY)
    assert (group.status, group.level, group.time_zone) == (
        GroupStatus.DRAFT, Level.MIDDLE, "Asia/Seoul",
    )  # fmt: skip
    assert (request.study_days, request.review_days) == (6, 1)
    assert request.contents[0].wrap_up_minutes == 0
    assert request.contents[0].day_shift is None


def test_settings_of_a_new_plan_group_have_the_defaults_of_a_request() -> None:
    request = build_group().to_request(TODAY)
    required = {"period_start", "period_end", "today", "contents", "blocks"}
    given: dict[str, Any] = {name: getattr(request, name) for name in required}
    assert request == Request(**given)
    assert request.strategy is Strategy.BALANCED


@pytest.mark.parametrize(
    "kind", [PlanGroup, Content, Block, AcademySchedule, Exclusion, SpecialDay]
)
def test_new_rows_have_different_ids(kind: type[PlanGroup]) -> None:
    assert kind().id != kind().id


def test_constructor_arguments_override_the_defaults() -> None:
    explicit_id = uuid4()
    group = build_group(id=explicit_id, level=Level.HIGH, study_days=5)
    assert (group.id, group.level, group.study_days) == (explicit_id, Level.HIGH, 5)


def test_plan_group_check_reports_the_field_of_an_invalid_value() -> None:
    with pytest.raises(InvalidInputError) as refused:
        build_group(study_days=0).check()
    assert refused.value.field == "cycle.study_days"
