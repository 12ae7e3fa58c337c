"""Services: load, compute, apply. They never commit; that is the unit of work's.

Every write of a group, of its plans and of its student's time goes through one of them.
The functions ``generate_plans`` and ``activate``, and the same for tasks, are whole requests
and do commit.
"""

from domain.services.activation import activate, activate_async
from domain.services.deletion import GroupDeletionService
from domain.services.group_edits import GroupEditService
from domain.services.group_states import TRANSITIONS, GroupStateService, StateChange
from domain.services.group_time import GroupTimeService
from domain.services.plan_generation import (
    GenerationResult,
    PlanGenerationService,
    generate_plans,
    generate_plans_async,
    preview_plans,
)
from domain.services.plan_groups import PlanGroupService
from domain.services.plan_progress import PlanProgressService
from domain.services.row_versions import RowVersion
from domain.services.student_time import StudentTimeService

__all__ = [
    "TRANSITIONS",
    "GenerationResult",
    "GroupDeletionService",
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
