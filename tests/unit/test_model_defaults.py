"""A new row has its defaults before it is stored, for it is checked and locked before."""

from datetime import date
from typing import Any
from uuid import uuid4

import pytest

from domain import Block, Content, GroupStatus, InvalidInputError, PlanGroup
from domain.models import AcademySchedule, Exclusion
from domain.scheduling.vocabulary import Allocation, BlockKind, ContentType, Level

TODAY = date(2025, 1, 6)


def group(**more: Any) -> PlanGroup:
    """What nobody can guess, and nothing else."""
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


def test_a_group_of_what_is_required_alone_can_be_checked_and_planned() -> None:
    made = group()
    made.check()
    request = made.to_request(TODAY)
    assert (made.status, made.level, made.time_zone) == (
        GroupStatus.DRAFT, Level.MIDDLE, "Asia/Seoul",
    )  # fmt: skip
    assert (request.study_days, request.review_days) == (6, 1)
    assert request.contents[0].wrap_up_minutes == 0


@pytest.mark.parametrize("kind", [PlanGroup, Content, Block, AcademySchedule, Exclusion])
def test_every_new_row_has_an_id_of_its_own(kind: type[PlanGroup]) -> None:
    assert kind().id != kind().id


def test_what_is_said_beats_the_default() -> None:
    own = uuid4()
    made = group(id=own, level=Level.HIGH, study_days=5)
    assert (made.id, made.level, made.study_days) == (own, Level.HIGH, 5)


def test_what_is_missing_is_told_and_no_accident() -> None:
    with pytest.raises(InvalidInputError) as refused:
        group(study_days=0).check()
    assert refused.value.field == "cycle.study_days"
