"""Which content on which day, and how many units if every day held enough."""

from collections import defaultdict
from collections.abc import Sequence

from domain.scheduling.calendar import Day, DayKind
from domain.scheduling.planning import Content
from domain.scheduling.vocabulary import Allocation


def strategy_indexes(study_days: int, weekly_days: int) -> list[int]:
    """Indexes of a strategy's days among a cycle's study days: ⌊(i + 0.5)·n/k⌋, all if n ≤ k."""
    if study_days <= weekly_days:
        return list(range(study_days))
    return [(2 * i + 1) * study_days // (2 * weekly_days) for i in range(weekly_days)]


def own_days(content: Content, days: Sequence[Day]) -> list[int]:
    """Indexes into ``days`` (a whole calendar) of the content's study days, ascending."""
    cycles: dict[int, list[int]] = defaultdict(list)
    for index, day in enumerate(days):
        if day.kind is DayKind.STUDY:
            cycles[day.cycle].append(index)
    if content.allocation is Allocation.WEAKNESS or content.weekly_days is None:
        return [index for cycle in cycles.values() for index in cycle]
    return [
        cycle[picked]
        for cycle in cycles.values()
        for picked in strategy_indexes(len(cycle), content.weekly_days)
    ]


def even_deal(total: int, days: int) -> list[int]:
    """Units dealt after each of ``days`` days: cumulative rounding half up.

    Fewer units than days stand each in the middle of an equal share of the days.
    Raises ``ValueError`` when there is something to deal and no day.
    """
    if days == 0 and total > 0:
        raise ValueError("there is no day to deal units to")
    if total >= days:
        return [(2 * total * day + days) // (2 * days) for day in range(1, days + 1)]
    dealt = [0] * days
    for unit in range(total):
        dealt[(2 * unit + 1) * days // (2 * total)] += 1
    for day in range(1, days):
        dealt[day] += dealt[day - 1]
    return dealt
