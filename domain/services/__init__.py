"""Services: load, compute, apply. They never commit; that is the unit of work's."""

from domain.services.plan_generation import GenerationResult, PlanGenerationService, generate_plans

__all__ = ["GenerationResult", "PlanGenerationService", "generate_plans"]
