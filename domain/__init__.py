"""Study plans, generated once: the names that most applications need.

Enter a ``UnitOfWork`` with a ``PlanGroupLock``, call a service, commit. More is in the packages:
every error in ``domain.errors``, the other services in ``domain.services``, reading in
``domain.repositories``, documents in ``domain.documents``, the schema in ``domain.schema``, the
pure planning core in ``domain.scheduling``.
"""

__version__ = "0.1.0"

import sys

# An interrupted import starts again from the beginning: the modules that it left would not become
# attributes of this one. When this one is reloaded, it has its names already.
if "__all__" not in globals():
    for _left in [name for name in sys.modules if name.startswith(f"{__name__}.")]:
        del sys.modules[_left]

from domain.errors import DomainError, InvalidInputError, PlanGroupLockedError
from domain.locking import Limits, PlanGroupLock, StudentLock, lock_status
from domain.models import (
    AcademySchedule,
    Allocation,
    Base,
    Block,
    BlockKind,
    Content,
    ContentType,
    Exclusion,
    GroupStatus,
    LectureEpisode,
    NonStudyBlock,
    PlanGroup,
    PlanState,
    StudentPlan,
)
from domain.repositories.plan_rows import GenerationResult
from domain.services.group_states import GroupStateService, activate
from domain.services.plan_generation import (
    PlanGenerationService,
    generate_plans,
    generate_plans_async,
)
from domain.services.plan_groups import PlanGroupService
from domain.unit_of_work import AsyncUnitOfWork, UnitOfWork

__all__ = [
    "AcademySchedule",
    "Allocation",
    "AsyncUnitOfWork",
    "Base",
    "Block",
    "BlockKind",
    "Content",
    "ContentType",
    "DomainError",
    "Exclusion",
    "GenerationResult",
    "GroupStateService",
    "GroupStatus",
    "InvalidInputError",
    "LectureEpisode",
    "Limits",
    "NonStudyBlock",
    "PlanGenerationService",
    "PlanGroup",
    "PlanGroupLock",
    "PlanGroupLockedError",
    "PlanGroupService",
    "PlanState",
    "StudentLock",
    "StudentPlan",
    "UnitOfWork",
    "activate",
    "generate_plans",
    "generate_plans_async",
    "lock_status",
]
