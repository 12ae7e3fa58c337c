"""Study plans, generated once: the public names.

Enter a ``UnitOfWork`` with a ``PlanGroupLock``, call a service, commit. The README is the
handbook; ``domain.scheduling`` is the pure planning core and ``domain.schema`` the schema.
"""

import sys

# An import that was interrupted is begun anew: the modules that it left would not become
# attributes of this one. When this one is reloaded, it has its names already.
if "__all__" not in globals():
    for _left in [name for name in sys.modules if name.startswith(f"{__name__}.")]:
        del sys.modules[_left]

from domain.errors import (
    CommitOutcomeUnknownError,
    DatabaseBusyError,
    DomainError,
    EditedMeanwhileError,
    GeneratedMeanwhileError,
    IdempotencyMismatchError,
    InvalidInputError,
    LockTimeoutError,
    MisuseError,
    PlanGroupLockedError,
    PlanGroupNotFoundError,
    PlanGroupNotGeneratableError,
    SchedulingError,
    StudentPlansOverlapError,
)
from domain.locking import (
    Limits,
    LockStatus,
    PlanGroupLock,
    StudentLock,
    lock_status,
    plan_group_lock_key,
)
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
from domain.repositories import (
    PlanGroupRepository,
    PlanView,
    StudentPlanRepository,
    StudentTimeRepository,
)
from domain.services import (
    GenerationResult,
    PlanGenerationService,
    PlanGroupService,
    generate_plans,
    generate_plans_async,
    preview_plans,
)
from domain.unit_of_work import AsyncUnitOfWork, LockState, UnitOfWork

__all__ = [
    "AcademySchedule",
    "AsyncUnitOfWork",
    "Base",
    "Block",
    "CommitOutcomeUnknownError",
    "Content",
    "DatabaseBusyError",
    "DomainError",
    "EditedMeanwhileError",
    "Exclusion",
    "GeneratedMeanwhileError",
    "GenerationResult",
    "GroupStatus",
    "IdempotencyMismatchError",
    "InvalidInputError",
    "LectureEpisode",
    "Limits",
    "LockState",
    "LockStatus",
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
    "PlanGroupService",
    "PlanState",
    "PlanView",
    "SchedulingError",
    "StudentLock",
    "StudentPlan",
    "StudentPlanRepository",
    "StudentPlansOverlapError",
    "StudentTimeRepository",
    "UnitOfWork",
    "generate_plans",
    "generate_plans_async",
    "lock_status",
    "plan_group_lock_key",
    "preview_plans",
]
