"""Services, which load, compute and write; only the unit of work commits.

Services change groups, plans and study time in an open unit of work; ``groups.add`` stores a group
of mapped objects, and ``removal`` deletes rows that are no longer needed. The functions
``generate_plans``, ``reschedule_plans`` and ``activate``, and their asyncio variants, execute a
complete request and commit it.
"""

from domain.repositories.plan_rows import GenerationResult
from domain.scheduling.difference import Difference, PlanChanges
from domain.scheduling.result import Quality, RepairKind
from domain.scheduling.types import UnplacedReason
from domain.services.editing.groups import GroupEditService
from domain.services.editing.progress import Mark, PlanProgressService
from domain.services.editing.study_time import GroupTimeService, StudentTimeService
from domain.services.group_states import GroupStateService, StateChange, activate, activate_async
from domain.services.plan_generation import (
    PlanGenerationService,
    generate_plans,
    generate_plans_async,
    preview_plans,
)
from domain.services.plan_groups import PlanGroupService
from domain.services.rescheduling import (
    ReschedulingService,
    preview_reschedule,
    reschedule_plans,
    reschedule_plans_async,
)
from domain.services.stale_plans import StalePlan, stale_plans
from domain.services.undo import UndoResult, UndoService
from domain.services.writing import EditedRow, RowVersion

__all__ = [
    "Difference",
    "EditedRow",
    "GenerationResult",
    "GroupEditService",
    "GroupStateService",
    "GroupTimeService",
    "Mark",
    "PlanChanges",
    "PlanGenerationService",
    "PlanGroupService",
    "PlanProgressService",
    "Quality",
    "RepairKind",
    "ReschedulingService",
    "RowVersion",
    "StalePlan",
    "StateChange",
    "StudentTimeService",
    "UndoResult",
    "UndoService",
    "UnplacedReason",
    "activate",
    "activate_async",
    "generate_plans",
    "generate_plans_async",
    "preview_plans",
    "preview_reschedule",
    "reschedule_plans",
    "reschedule_plans_async",
    "stale_plans",
]
