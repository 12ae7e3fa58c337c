"""Services: load, compute, apply. They never commit; that is the unit of work's.

Every write of a group, of its plans and of its student's time goes through one of them.
The functions ``generate_plans`` and ``activate``, and the same for asyncio, are whole requests
and do commit.
"""

from domain.repositories.plan_rows import GenerationResult
from domain.services.editing import (
    GroupEditService,
    GroupTimeService,
    PlanProgressService,
    StudentTimeService,
)
from domain.services.group_states import (
    TRANSITIONS,
    GroupStateService,
    StateChange,
    activate,
    activate_async,
)
from domain.services.plan_generation import (
    PlanGenerationService,
    generate_plans,
    generate_plans_async,
    preview_plans,
)
from domain.services.plan_groups import PlanGroupService
from domain.services.service import RowVersion

__all__ = [
    "TRANSITIONS",
    "GenerationResult",
    "GroupEditService",
    "GroupStateService",
    "GroupTimeService",
    "PlanGenerationService",
    "PlanGroupService",
    "PlanProgressService",
    "RowVersion",
    "StateChange",
    "StudentTimeService",
    "activate",
    "activate_async",
    "generate_plans",
    "generate_plans_async",
    "preview_plans",
]
