"""factory-boy factories. They build objects and never flush or commit; the caller stores them.

Keys are sequences or new UUIDs, and no value that a test asserts is random. Call ``build()``: it is
the only method of factory-boy whose result type checkers can infer.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import uuid4

from factory.base import Factory
from factory.declarations import LazyFunction, Sequence

from domain.models import (
    AcademySchedule,
    Block,
    Content,
    Exclusion,
    GroupStatus,
    LectureEpisode,
    NonStudyBlock,
    PlanGroup,
    SpecialDay,
)
from domain.scheduling.types import (
    Allocation,
    BlockKind,
    ContentType,
    ExclusionType,
    Factors,
    Level,
    Strategy,
)

EVERY_DAY = range(7)

# factory-boy has type hints for its factories, but not for its declarations.
_computed: Any = LazyFunction
_numbered: Any = Sequence
_FRESH_ID: Any = _computed(uuid4)


class BlockFactory(Factory[Block]):
    """Study time 10–19 on one weekday."""

    class Meta:
        model = Block

    id = _FRESH_ID
    kind = BlockKind.STUDY
    weekday = 0
    start_minute = 10 * 60
    end_minute = 19 * 60


class NonStudyBlockFactory(Factory[NonStudyBlock]):
    """Lunch 12–13 on one weekday."""

    class Meta:
        model = NonStudyBlock

    id = _FRESH_ID
    label = "점심식사"
    weekday = 0
    start_minute = 12 * 60
    end_minute = 13 * 60


class SpecialDayFactory(Factory[SpecialDay]):
    """A Saturday with study time 10–12 and self-study time 13–15, in place of the weekly blocks."""

    class Meta:
        model = SpecialDay

    id = _FRESH_ID
    date = date(2025, 1, 18)
    study = ((10 * 60, 12 * 60),)
    self_study = ((13 * 60, 15 * 60),)


class ContentFactory(Factory[Content]):
    """A weakness book of pages 1–100, 6 minutes each."""

    class Meta:
        model = Content

    id = _FRESH_ID
    position = _numbered(int)
    type = ContentType.BOOK
    title = _numbered("교재 {}".format)
    allocation = Allocation.WEAKNESS
    first_unit = 1
    last_unit = 100
    minutes_per_unit = 6
    wrap_up_minutes = 0


class PlanGroupFactory(Factory[PlanGroup]):
    """A saved group for two weeks of January 2025 with one book; its parts have its tenant.

    Its strategy is ``even`` because tests state which units and minutes a day gets, which is simple
    there: the units of the book are divided by the number of days.
    """

    class Meta:
        model = PlanGroup

    id = _FRESH_ID
    tenant_id = _FRESH_ID
    student_id = _FRESH_ID
    name = _numbered("그룹 {}".format)
    status = GroupStatus.SAVED
    period_start = date(2025, 1, 6)
    period_end = date(2025, 1, 19)
    study_days = 6
    review_days = 1
    level = Level.MIDDLE
    weakness_factor = Factors().weakness
    strategy_factor = Factors().strategy
    review_factor = Factors().review
    self_study_on_holidays = False
    strategy = Strategy.EVEN
    contents = _computed(lambda: [ContentFactory.build(position=0)])
    blocks = _computed(lambda: [BlockFactory.build(weekday=day) for day in EVERY_DAY])
    non_study_blocks = _computed(
        lambda: [NonStudyBlockFactory.build(weekday=day) for day in EVERY_DAY]
    )

    @classmethod
    def _after_postgeneration(
        cls, instance: PlanGroup, create: object, results: object = None
    ) -> None:
        """Give each part the group's tenant and id, which the composite keys require."""
        parts: list[Content | Block | NonStudyBlock | SpecialDay] = [
            *instance.contents,
            *instance.blocks,
            *instance.non_study_blocks,
            *instance.special_days,
        ]
        for part in parts:
            part.tenant_id, part.group_id = instance.tenant_id, instance.id
        for content in instance.contents:
            for episode in content.episodes:
                episode.tenant_id, episode.group_id = instance.tenant_id, instance.id


class ExclusionFactory(Factory[Exclusion]):
    """A vacation day of a student, in all groups."""

    class Meta:
        model = Exclusion

    id = _FRESH_ID
    date = date(2025, 1, 8)
    type = ExclusionType.VACATION


class AcademyScheduleFactory(Factory[AcademySchedule]):
    """A class on Wednesdays 14–17 with an hour of travel."""

    class Meta:
        model = AcademySchedule

    id = _FRESH_ID
    weekday = 3
    start_minute = 14 * 60
    end_minute = 17 * 60
    travel_minutes = 60


def lecture(position: int, minutes: Iterable[int | None], **fields: Any) -> Content:
    """Build a lecture with one episode per item of ``minutes``, numbered from 1."""
    content_id = uuid4()
    episodes = [
        LectureEpisode(content_id=content_id, unit=unit, minutes=length)
        for unit, length in enumerate(minutes, 1)
    ]
    return ContentFactory.build(
        id=content_id,
        position=position,
        type=ContentType.LECTURE,
        last_unit=len(episodes),
        minutes_per_unit=None,
        episodes=episodes,
        **fields,
    )
