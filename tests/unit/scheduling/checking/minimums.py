"""What goal 4 of the strategy ``balanced`` demands: the units of weakness contents on each day.

A weakness content is studied on every study day with at least m units, where m is the least number
of units that have ``shortest_session`` minutes even if all are its shortest one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from domain.scheduling.types import Allocation, PlanKind, Request
from tests.unit.scheduling.checking.amounts import Amounts
from tests.unit.scheduling.checking.world import World, spans


@dataclass(frozen=True)
class Minimum:
    """The demand of one weakness content.

    ``units`` is m and ``minutes`` the least minutes of so many units. The content can have
    ``sessions`` of at least m units. If that is enough for all its own days, ``due`` has those of
    them whose study time certainly holds m units of each weakness content, and which have no kept
    study of the content; otherwise it is empty.
    """

    units: int
    minutes: int
    sessions: int
    due: frozenset[date]


def least_units(amounts: Amounts, shortest_session: int) -> int:
    """Return m, at least 1; the content must have a remaining unit."""
    shortest = min(amounts.left.values())
    return max(1, -(-shortest_session // shortest))


def kept_days(request: Request, position: int) -> set[date]:
    """Return the days with kept study of a content, whose sessions are more than their new rows."""
    kept = (plan for plan in request.kept if plan.kind is PlanKind.STUDY)
    return {plan.date for plan in kept if plan.content == position}


def minimums_of(world: World, amounts: Mapping[int, Amounts]) -> dict[int, Minimum]:
    """Return the minimum of every weakness content that has units left, by position."""
    weak = {
        position: least_units(one, world.request.shortest_session)
        for position, one in amounts.items()
        if one.content.allocation is Allocation.WEAKNESS and one.remaining
    }
    own = {p: set(world.own_days(amounts[p].content)) for p in weak}
    daily = {p for p, m in weak.items() if own[p] and len(amounts[p].remaining) // m >= len(own[p])}
    pieces = {p: [amounts[p].longest] * weak[p] for p in daily}
    due = {
        day
        for day in {day for p in daily for day in own[p]}
        if fit_uncut(
            (piece for p in daily if day in own[p] for piece in pieces[p]),
            [end - start for start, end in spans(world.free(day, reserve=False))],
        )
    }
    return {
        p: Minimum(
            units=m,
            minutes=m * min(amounts[p].left.values()),
            sessions=len(amounts[p].remaining) // m,
            due=frozenset(due & own[p] - kept_days(world.request, p) if p in daily else ()),
        )
        for p, m in weak.items()
    }


def fit_uncut(pieces: Iterable[int], lengths: Iterable[int]) -> bool:
    """Whether first fit, longest first, puts every piece into a span. A piece is never cut."""
    left = list(lengths)
    for piece in sorted(pieces, reverse=True):
        index = next((i for i, length in enumerate(left) if length >= piece), None)
        if index is None:
            return False
        left[index] -= piece
    return True
