"""The mapped classes, the aggregate root's parts in modules of their own."""

from domain.models.base import Base
from domain.models.content import Content, LectureEpisode
from domain.models.plan import PlanGeneration, PlanState, RetiredAs, StudentPlan
from domain.models.plan_group import GENERATABLE, GroupStatus, PlanGroup
from domain.models.student_time import AcademySchedule, Exclusion
from domain.models.weekly_time import Block, NonStudyBlock

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
