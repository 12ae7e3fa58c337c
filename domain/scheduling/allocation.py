"""The study days of each content, and the even distribution of its units over them."""

from collections import defaultdict
from collections.abc import Sequence

from domain.scheduling.calendar import Day, DayKind
from domain.scheduling.planning import Content
from domain.scheduling.vocabulary import Allocation


def strategy_indexes(study_days: int, weekly_days: int) -> list[int]:
    """Return the indexes of a strategy content's days among the study days of a cycle.

    These are ⌊(i + 0.5)·n/k⌋ for i = 0 … k - 1: each in the middle of an equal share of the
    ``study_days`` n. If n is at most ``weekly_days`` k, all days are returned.
    """
    if study_days <= weekly_days:
        return list(range(study_days))
    return [(2 * i + 1) * study_days // (2 * weekly_days) for i in range(weekly_days)]


def own_days(content: Content, days: Sequence[Day]) -> list[int]:
    """Return the content's study days as ascending indexes into ``days``, a complete calendar."""
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
    """Return how many of ``total`` units an even deal has dealt after each of ``days`` days.

    If there are fewer units than days, each unit is in the middle of an equal share of the days.
    Raises ``ValueError`` if there are units to deal but no days.
    """
    # The cumulative sum total·day/days is rounded half up. Because the sum is rounded and not the
    # daily number, rounding errors do not accumulate, and the numbers of two days differ by at
    # most one unit. With fewer units than days, the day of a unit is computed as in
    # strategy_indexes. The cost is linear in the number of days.
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
