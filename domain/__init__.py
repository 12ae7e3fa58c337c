"""Study plans that are generated exactly once: the names that most applications need.

Enter a ``UnitOfWork`` with a ``PlanGroupLock``, call a service, and commit. The subpackages contain
the rest: all errors are in ``domain.errors``, the other services in ``domain.services``, queries in
``domain.repositories``, documents in ``domain.documents``, the schema in ``domain.schema``, and the
planning core, which performs no I/O, in ``domain.scheduling``.
"""

__version__ = "0.1.0"

import sys

# If an earlier import of this package failed or was interrupted, its submodules may still be in
# sys.modules. Importing them again would not set them as attributes of this new package object, so
# they are removed and imported anew. ``importlib.reload`` runs this file with ``__all__`` already
# defined; the submodules must stay then.
if "__all__" not in globals():
    for _name in [name for name in sys.modules if name.startswith(f"{__name__}.")]:
        del sys.modules[_name]

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
