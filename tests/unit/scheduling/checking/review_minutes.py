"""Checks of the minutes of reviews, which shrink by one factor if their days are too short."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from tests.unit.scheduling.checking.amounts import half_up, runs
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.reviews import Studied, kept_pieces, kept_reviews

Needs = Mapping[int, set[int]]
"""The minutes of review per content; a set, because the rules allow two ways of rounding."""


@dataclass(frozen=True)
class _Days:
    """The first review days of a cycle: least and most minutes of the reviews that need them."""

    least: int
    most: int
    room: int

    @property
    def factors(self) -> tuple[Fraction, Fraction]:
        """The least and the greatest factor with which the reviews fit into their days."""
        return Fraction(self.room, max(1, self.most)), Fraction(self.room, max(1, self.least))


def check_review_minutes(case: Case) -> Iterator[str]:
    """Check that reviews have the minutes they need, or that all are shrunk by the same factor.

    Two cases are not checked: kept reviews that cover a part of the need, and units studied on a
    day of the reserve on or after the first review day, which cannot use all review days.
    """
    studied = Studied(case)
    for cycle in sorted(studied.cycles):
        positions = sorted(p for p in case.contents if studied.reviewable(cycle, p))
        is_late = any(
            day >= case.world.review_days(cycle, case.contents[p])[0]
            for p in positions
            for day in studied.units(cycle, p).values()
        )
        is_kept = any(
            kept_reviews(case, cycle, p) or kept_pieces(case, cycle, p) for p in positions
        )
        if positions and not is_late and not is_kept:
            needs = {p: _needs(case, studied.reviewable(cycle, p), p) for p in positions}
            yield from _cycle(case, cycle, needs)


def _needs(case: Case, reviewed: list[int], position: int) -> set[int]:
    """Return the need rounded once for the content and once per range; the rule allows both."""
    factor = Fraction(case.request.factors.review)
    amounts = case.amounts[position]
    ranges = (range(first, last + 1) for first, last in runs(reviewed))
    together = half_up(factor * amounts.cost(reviewed))
    return {together, sum(half_up(factor * amounts.cost(r)) for r in ranges)}


def _cycle(case: Case, cycle: int, needs: Needs) -> Iterator[str]:
    reported = [data for data in case.warnings("review_shrunk") if data["cycle"] == cycle]
    given = {
        p: sum(r.minutes for r in case.reviews if (r.cycle, r.content) == (cycle, p)) for p in needs
    }
    chain = _first_days(case, cycle, needs)
    if all(days.most <= days.room for days in chain):
        if reported:
            yield f"reviews of cycle {cycle} are reported as shrunk, but fit into their days"
        for p, minutes in given.items():
            if minutes not in needs[p]:
                yield f"content {p} is reviewed {minutes} min in cycle {cycle}, not {needs[p]}"
    if any(days.least > days.room for days in chain):
        yield from _reported(cycle, chain, reported)
        yield from _shrunk(cycle, chain, needs, given)


def _first_days(case: Case, cycle: int, needs: Needs) -> list[_Days]:
    """Return the first k review days of the cycle, for each k that is all days of a content.

    Reviews before an early deadline use the first ones only. By Hall's theorem all reviews fit if
    for each k those that may use at most the first k days fit into them.
    """
    dates = case.world.review_days(cycle)
    counts = {p: len(case.world.review_days(cycle, case.contents[p])) for p in needs}
    return [
        _Days(
            sum(min(needs[p]) for p in needs if counts[p] <= k),
            sum(max(needs[p]) for p in needs if counts[p] <= k),
            sum(case.room[day] for day in dates[:k]),
        )
        for k in sorted(set(counts.values()))
    ]


def _reported(cycle: int, chain: list[_Days], reported: list[dict[str, object]]) -> Iterator[str]:
    """Check the warning: the need and the room of the days that are the fullest."""
    most = min(days.factors[1] for days in chain)
    fullest = [days for days in chain if days.factors[0] <= most]
    if not reported and all(days.room for days in fullest):
        yield f"the reviews of cycle {cycle} are shrunk without a warning"
    for data in reported:
        need, free = int(str(data["need"])), int(str(data["free"]))
        if not any(days.room == free and days.least <= need <= days.most for days in fullest):
            yield f"cycle {cycle} reports shrunk reviews as {data}, but it is one of {fullest}"
    if len(reported) > 1:
        yield f"cycle {cycle} reports shrunk reviews {len(reported)} times"


def _shrunk(cycle: int, chain: list[_Days], needs: Needs, given: dict[int, int]) -> Iterator[str]:
    low, high = (min(days.factors[i] for days in chain) for i in (0, 1))
    if len(chain) == 1 and sum(given.values()) != chain[0].room:
        yield f"the reviews of cycle {cycle} use {sum(given.values())} of {chain[0].room} min"
    for position, minutes in given.items():
        # The engine rounds each share to a minute, so it may differ from the exact one.
        least, most = low * min(needs[position]) - 1, high * max(needs[position]) + 1
        if not least <= minutes <= most:
            share = f"{float(most - 1):.1f}"
            yield f"content {position} is reviewed {minutes} min; its share is {share}"
