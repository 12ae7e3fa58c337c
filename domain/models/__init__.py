"""The mapped classes, one module an aggregate."""

from domain.models.base import Base
from domain.models.plan import PlanGeneration, PlanState, RetiredAs, StudentPlan
from domain.models.plan_group import (
    GENERATABLE,
    Block,
    Content,
    GroupStatus,
    LectureEpisode,
    NonStudyBlock,
    PlanGroup,
)
from domain.models.student_time import AcademySchedule, Exclusion

__all__ = [
    "GENERATABLE",
    "AcademySchedule",
    "Base",
    "Block",
    "Content",
    "Exclusion",
    "GroupStatus",
    "LectureEpisode",
    "NonStudyBlock",
    "PlanGeneration",
    "PlanGroup",
    "PlanState",
    "RetiredAs",
    "StudentPlan",
]
