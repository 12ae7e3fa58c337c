"""Services: load, compute, apply. They never commit; that is the unit of work's.

Every write of a group, of its plans and of its student's time goes through one of them.
The functions ``generate_plans`` and ``activate``, and the same for asyncio, are whole requests
and do commit.
"""

from domain.repositories.plan_rows import GenerationResult
from domain.services.editing.groups import GroupEditService
from domain.services.editing.progress import PlanProgressService
from domain.services.editing.study_time import GroupTimeService, StudentTimeService
from domain.services.group_states import GroupStateService, activate, activate_async
from domain.services.plan_generation import (
    PlanGenerationService,
    generate_plans,
    generate_plans_async,
    preview_plans,
)
from domain.services.plan_groups import PlanGroupService
from domain.services.service import RowVersion

__all__ = [
    "GenerationResult",
    "GroupEditService",
    "GroupStateService",
    "GroupTimeService",
    "PlanGenerationService",
    "PlanGroupService",
    "PlanProgressService",
    "RowVersion",
    "StudentTimeService",
    "activate",
    "activate_async",
    "generate_plans",
    "generate_plans_async",
    "preview_plans",
]
