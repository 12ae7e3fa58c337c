"""Repositories: one class per aggregate root, with the named queries of the domain.

A repository works with any Session. Reading needs no lock and therefore no unit of work. Methods
that write are called by services in a unit of work.
"""

from domain.repositories.history import HistoryRepository, Run
from domain.repositories.plan_groups import GroupPage, PlanGroupRepository
from domain.repositories.plan_rows import PlanView
from domain.repositories.progress import GroupProgress
from domain.repositories.student_plans import StudentPlanRepository
from domain.repositories.student_time import StudentTimeRepository

__all__ = [
    "GroupPage",
    "GroupProgress",
    "HistoryRepository",
    "PlanGroupRepository",
    "PlanView",
    "Run",
    "StudentPlanRepository",
    "StudentTimeRepository",
]
