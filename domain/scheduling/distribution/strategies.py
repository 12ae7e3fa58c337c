"""Selects the module of a group's strategy. All of them have the same two functions."""

from domain.scheduling.demand import Problem
from domain.scheduling.distribution import balanced, even
from domain.scheduling.distribution.deal import Distribution
from domain.scheduling.distribution.in_turn import Effort
from domain.scheduling.types import Strategy


def distribute(problem: Problem) -> Distribution:
    """Deal as many units of each content as possible, by the strategy of the group."""
    if problem.request.strategy is Strategy.BALANCED:
        return balanced.distribute(problem)
    return even.distribute(problem)


def places_all(problem: Problem, effort: Effort) -> bool:
    """Whether the strategy of the group can place everything."""
    if problem.request.strategy is Strategy.BALANCED:
        return balanced.places_all(problem, effort)
    return even.places_all(problem, effort)
