"""Study plans, generated once: the public names.

Enter a ``UnitOfWork`` with a ``PlanGroupLock``, call a service, commit. The README is the
handbook; ``domain.scheduling`` is the pure planning core and ``domain.schema`` the schema.
"""

from domain.errors import (
    DomainError,
    EditedMeanwhileError,
    InvalidInputError,
    LockTimeoutError,
    MisuseError,
    PlanGroupLockedError,
    PlanGroupNotFoundError,
    PlanGroupNotGeneratableError,
    SchedulingError,
    StudentPlansOverlapError,
)
from domain.lock_policy import Limits, PlanGroupLock, StudentLock, plan_group_lock_key
from domain.models import (
    AcademySchedule,
    Base,
    Block,
    Content,
    Exclusion,
    GroupStatus,
    LectureEpisode,
    NonStudyBlock,
    PlanGeneration,
    PlanGroup,
    PlanState,
    StudentPlan,
)
from domain.repositories import PlanGroupRepository, StudentPlanRepository, StudentTimeRepository
from domain.services import GenerationResult, PlanGenerationService, generate_plans
from domain.unit_of_work import UnitOfWork

__all__ = [
    "AcademySchedule",
    "Base",
    "Block",
    "Content",
    "DomainError",
    "EditedMeanwhileError",
    "Exclusion",
    "GenerationResult",
    "GroupStatus",
    "InvalidInputError",
    "LectureEpisode",
    "Limits",
    "LockTimeoutError",
    "MisuseError",
    "NonStudyBlock",
    "PlanGeneration",
    "PlanGenerationService",
    "PlanGroup",
    "PlanGroupLock",
    "PlanGroupLockedError",
    "PlanGroupNotFoundError",
    "PlanGroupNotGeneratableError",
    "PlanGroupRepository",
    "PlanState",
    "SchedulingError",
    "StudentLock",
    "StudentPlan",
    "StudentPlanRepository",
    "StudentPlansOverlapError",
    "StudentTimeRepository",
    "UnitOfWork",
    "generate_plans",
    "plan_group_lock_key",
]
