"""Repositories: one class per aggregate root, with the queries that the domain names.

They work on any Session. Reading needs no lock and so no unit of work; what writes plans
is called by services, inside a unit of work.
"""

from domain.repositories.plan_groups import PlanGroupRepository
from domain.repositories.plan_rows import PlanView
from domain.repositories.student_plans import StudentPlanRepository
from domain.repositories.student_time import StudentTimeRepository

__all__ = ["PlanGroupRepository", "PlanView", "StudentPlanRepository", "StudentTimeRepository"]
