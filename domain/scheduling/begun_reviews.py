"""Reviews that are begun: some pieces of a unit's review are kept, and the others are planned.

What is left of the review of such a unit is a review of its own, whose pieces are numbered beside
the kept ones.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TypeAlias

from domain.scheduling.calendar import Day
from domain.scheduling.demand import Piece, Problem, is_complete
from domain.scheduling.layout.review_units import Review
from domain.scheduling.rounding import rounded_multiples
from domain.scheduling.rows import Row, piece_of
from domain.scheduling.spans import without
from domain.scheduling.types import KeptPlan, PlanKind

KeptWithin: TypeAlias = tuple[KeptPlan, int]
"""A kept plan, and its day: the nearest one if it is outside the period."""
Begun: TypeAlias = Mapping[tuple[int, int], Mapping[int, Piece]]
"""Content and unit → the kept pieces of its review in a cycle, by number, if others are missing."""


def begun_reviews(kept: Iterable[KeptWithin], problem: Problem) -> dict[int, Begun]:
    """Return the reviews of which some pieces are kept, but not all, by cycle."""
    factor = Fraction(problem.request.factors.review)
    demands = {demand.content.position: demand for demand in problem.demands}
    pieces: dict[int, dict[tuple[int, int], dict[int, Piece]]] = defaultdict(dict)
    for plan, day in kept:
        if plan.kind is PlanKind.REVIEW and plan.parts > 1 and plan.content in demands:
            own = pieces[problem.days[day].cycle].setdefault((plan.content, plan.first_unit), {})
            own[plan.part] = piece_of(plan)

    def minutes(content: int, unit: int) -> int:
        return rounded_multiples([demands[content].unit_minutes(unit)], factor)[0]

    return {
        cycle: {unit: own for unit, own in found.items() if not is_complete(own, minutes(*unit))}
        for cycle, found in pieces.items()
    }


def without_pieces(
    kept: Iterable[KeptWithin], begun: Mapping[int, Begun], days: Sequence[Day]
) -> Iterator[KeptWithin]:
    """Yield the kept plans, without the pieces of reviews of which others are missing."""
    for plan, day in kept:
        is_review = plan.kind is PlanKind.REVIEW and plan.parts > 1
        if not is_review or (plan.content, plan.first_unit) not in begun[days[day].cycle]:
            yield plan, day
        elif plan.first_unit < plan.last_kept_unit:
            # The further units, whose review has 0 minutes, are reviewed.
            yield replace(plan, first_unit=plan.first_unit + 1), day


def divided(reviews: list[Review], begun: Begun) -> list[Review]:
    """Return the reviews, with what is left of each one that is begun as a review of its own."""
    if not begun:
        return reviews
    found: list[Review] = []
    for review in reviews:
        kept = {
            (unit, unit + 1): sum(piece.minutes for piece in pieces.values())
            for (content, unit), pieces in begun.items()
            if content == review.content and review.units[0] <= unit < review.units[1]
        }
        for units in sorted([*without([review.units], kept), *kept]):
            own = Review.of(review.demand, units, review.days)
            own.kept = kept.get(units, 0)
            found.append(own)
    return found


def numbered(rows: Sequence[Row], begun: Begun) -> list[Row]:
    """Return the rows, of which the pieces of a unit are numbered beside the kept ones."""
    found = list(rows)
    for (content, unit), kept in begun.items():
        own = [
            index
            for index, row in enumerate(rows)
            if (row.content, row.first_unit) == (content, unit)
        ]
        parts = len(kept) + len(own)
        free = (number for number in range(1, parts + max(kept)) if number not in kept)
        for index, part in zip(sorted(own, key=rows.__getitem__), free, strict=False):
            found[index] = rows[index]._replace(part=part, parts=parts)
    return found
