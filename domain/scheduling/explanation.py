"""Why units are unplaced, and what would help.

The certificate is the set of contents that exceeds its days by most minutes (Gale's condition, see
``feasibility``). A repair starts from the least amount with which the minutes fit, found by
bisection over the same sums, and is tried by distributing again. If units do not fit although their
minutes do, higher amounts are tried, so a repair always suffices; it is the least one if the
smallest amounts had to be tried one by one, as in small problems.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import Final, TypeAlias

from domain.scheduling.calendar import DayKind
from domain.scheduling.demand import Demand, Placed, Problem, problem_of
from domain.scheduling.distribution.deal import place_all_units
from domain.scheduling.distribution.in_turn import Effort
from domain.scheduling.distribution.strategies import distribute, places_all
from domain.scheduling.feasibility import DaySets
from domain.scheduling.placement import Room
from domain.scheduling.result import Certificate, Repair, RepairKind, Unplaced
from domain.scheduling.spans import Span, total
from domain.scheduling.splitting import SHORTEST_DIVISIBLE
from domain.scheduling.types import MINUTES_PER_DAY, UnplacedReason
from domain.scheduling.validation import MAX_DAYS

_MAX_EFFORT: Final = 60_000
"""The number of units and spans that the trials of all repairs examine at most."""
_ONE_BY_ONE: Final = 3_000
"""The number of units and spans up to which amounts are tried one by one."""
_MORE_UNITS: Final = (0, 1, 3, 7, 15)
"""How many units to leave out in addition to the unplaced ones, if only one content has any."""


_Change: TypeAlias = Callable[[Problem], Problem]
"""Returns a problem with more time or fewer units."""


@dataclass(frozen=True, slots=True)
class _Trials:
    """Tries whether everything can be placed, within limited effort.

    A reschedule is tried by ``places``. ``generated`` is the problem of a generation.
    """

    problem: Problem
    generated: Problem
    effort: Effort
    places: Callable[[Problem], bool] | None

    def may_succeed(self, change: _Change) -> bool:
        """Whether the days hold the minutes after a change."""
        return _minutes_fit(change(self.problem)) or (
            self.generated is not self.problem and _minutes_fit(change(self.generated))
        )

    def succeeds(self, change: _Change) -> bool:
        return (self.places is not None and self.places(change(self.problem))) or places_all(
            change(self.generated), self.effort
        )

    def succeeds_with_whole_strategy(self, change: _Change) -> bool:
        """Whether everything is placed by the whole strategy, whose effort is not counted."""
        changed = change(self.generated)
        return place_all_units(distribute(changed).deals, changed.demands)


def unplaced_ranges(problem: Problem, placed: Sequence[Placed]) -> tuple[Unplaced, ...]:
    """Return the unplaced units of each content, by position, as ranges without gaps.

    ``placed`` is in the order of the demands of the problem.
    """
    tails = [
        (demand, one.units)
        for demand, one in zip(problem.demands, placed, strict=True)
        if one.units < len(demand.units)
    ]
    return tuple(
        unplaced
        for demand, units in sorted(tails, key=lambda tail: tail[0].content.position)
        for unplaced in _tail(problem, demand, units)
    )


def certificate(problem: Problem) -> Certificate | None:
    """Return the set of contents that exceeds its days by most minutes, if one does.

    Among equal sets, it is the one with the fewest sets of days.
    """
    opened, day_sets, held = _sums(problem)
    needs = day_sets.needs(demand.prefix[-1] for demand in opened)
    subset = max(needs, key=lambda subset: (needs[subset] - held[subset], -subset.bit_count()))
    if needs[subset] <= held[subset]:
        return None
    owned = zip(opened, day_sets.of, strict=True)
    members = [demand for demand, bit in owned if bit & subset and demand.units]
    days = sorted({day for demand in members for day in demand.own if problem.rooms[day].minutes})
    return Certificate(
        contents=tuple(sorted(demand.content.position for demand in members)),
        days=tuple(problem.days[day].date for day in days),
        need=needs[subset],
        have=sum(problem.rooms[day].minutes for day in days),
    )


def repairs(
    problem: Problem,
    unplaced: Sequence[Unplaced],
    places: Callable[[Problem], bool] | None = None,
    generated: Problem | None = None,
) -> tuple[Repair, ...]:
    """Return the least changes found with which everything is placed, each tried by itself.

    In a very large problem some may be missing, because there is no time to try them.

    :param places: the trial of a reschedule, which is cheaper than that of the group's strategy;
        that is made where the cheaper one fails.
    :param generated: the problem that the strategy gets then, if it is another one.
    """
    trials = _Trials(problem, generated or problem, Effort(_MAX_EFFORT), places)
    if not trials.effort.require_two_deals(problem.demands, problem.rooms):
        return ()
    counts: Counter[int] = Counter()
    for one in unplaced:
        counts[one.content] += one.last_unit - one.first_unit + 1
    only_unplaced = next(iter(counts.values())) if len(counts) == 1 else None
    return tuple(
        repair
        for repair in (
            _more_minutes(problem, trials),
            _more_days(problem, trials),
            *(_fewer_units(problem, content, only_unplaced, trials) for content in counts),
        )
        if repair is not None
    )


def _tail(problem: Problem, demand: Demand, placed: int) -> Iterator[Unplaced]:
    reason = _reason(problem, demand.with_spare_days(), demand.length(placed))
    tail = range(placed, len(demand.units))
    for _, stretch in groupby(tail, key=lambda i: demand.units[i] - i):
        indexes = list(stretch)
        first, last = indexes[0], indexes[-1]
        yield Unplaced(
            content=demand.content.position,
            first_unit=demand.units[first],
            last_unit=demand.units[last],
            minutes=demand.prefix[last + 1] - demand.prefix[first],
            reason=reason,
        )


def _reason(problem: Problem, demand: Demand, length: int) -> UnplacedReason:
    """Return why the next unit, with a length in minutes, is not placed."""
    if not demand.own:
        return UnplacedReason.NO_DAY
    spans = (span for day in demand.own for span in problem.rooms[day].lengths())
    longest_span = max(spans, default=0)
    if length < SHORTEST_DIVISIBLE and 0 < longest_span < length:
        return UnplacedReason.DAY_TOO_SHORT
    return UnplacedReason.NO_ROOM


def _sums(problem: Problem) -> tuple[list[Demand], DaySets, dict[int, int]]:
    """Return the demands with all their days, their day sets, and the minutes these hold."""
    opened = [demand.with_spare_days() for demand in problem.demands]
    day_sets = DaySets.among(opened)
    return opened, day_sets, day_sets.held(lambda day: problem.rooms[day].minutes)


def _minutes_fit(problem: Problem) -> bool:
    opened, day_sets, held = _sums(problem)
    return day_sets.fits([demand.prefix[-1] for demand in opened], held)


def _more_minutes(problem: Problem, trials: _Trials) -> Repair | None:
    # After an edit, a reschedule keeps study days that a generation would count as review days.
    # Whichever of them get the minutes, those that are study days for both do.
    study_days = sorted({*_study_days(problem)}.intersection(_study_days(trials.generated)))
    used = (
        total(days[day].study) + total(days[day].reserve)
        for days in (problem.days, trials.generated.days)
        for day in study_days
    )
    most = MINUTES_PER_DAY - max(used, default=MINUTES_PER_DAY)

    def change(amount: int, problem: Problem) -> Problem:
        rooms, days = dict(problem.rooms), list(problem.days)
        for day in study_days:
            study = days[day].study
            rooms[day] = Room(_extended(rooms[day].study, study, amount), rooms[day].reserve)
            days[day] = days[day]._replace(study=tuple(_extended(study, study, amount)))
        return replace(problem, rooms=rooms, days=days)

    amount = _least(change, most, trials)
    return None if amount is None else Repair(RepairKind.MINUTES_PER_DAY, amount)


def _study_days(problem: Problem) -> list[int]:
    return [day for day in problem.rooms if problem.days[day].kind is DayKind.STUDY]


def _extended(free: Sequence[Span], study: Sequence[Span], minutes: int) -> list[Span]:
    """Return the free spans with more time at the end of the day's study time.

    If another plan has the last minutes of ``study``, the time behind it is a span of its own.
    """
    # The span may end after midnight: only its length matters here.
    spans = list(free)
    if spans and study and spans[-1][1] == study[-1][1]:
        start, stop = spans.pop()
        return [*spans, (start, stop + minutes)]
    return [*spans, (MINUTES_PER_DAY, MINUTES_PER_DAY + minutes)]


def _more_days(problem: Problem, trials: _Trials) -> Repair | None:
    most = MAX_DAYS - len(problem.days)

    def change(amount: int, problem: Problem) -> Problem:
        later = problem.request.period_end + timedelta(days=amount)
        first = problem.request.period_start + timedelta(days=problem.first_day)
        return problem_of(replace(problem.request, period_end=later), first_date=first)

    amount = _least(change, most, trials)
    return None if amount is None else Repair(RepairKind.DAYS, amount)


def _fewer_units(
    problem: Problem, position: int, unplaced: int | None, trials: _Trials
) -> Repair | None:
    """Return how many units of a content are to be left out.

    ``unplaced`` is their number if no other content has unplaced units. Leaving out these is
    usually enough, so that is tried at last with the whole strategy.
    """
    (demand,) = (d for d in problem.demands if d.content.position == position)
    is_only_one = not any(other.units for other in problem.demands if other is not demand)
    most = len(demand.units) - is_only_one

    def change(amount: int, problem: Problem) -> Problem:
        fewer = [
            other.limited(len(other.units) - amount)
            if other.content.position == position
            else other
            for other in problem.demands
        ]
        return replace(problem, demands=fewer)

    amount = _least(change, most, trials)
    if unplaced is not None and (amount is None or amount > unplaced):
        limit = most if amount is None else amount - 1
        tried = (unplaced + more for more in _MORE_UNITS if unplaced + more <= limit)
        amount = next(
            (n for n in tried if trials.succeeds_with_whole_strategy(partial(change, n))), amount
        )
    return None if amount is None else Repair(RepairKind.UNITS, amount, position)


def _least(change: Callable[[int, Problem], Problem], most: int, trials: _Trials) -> int | None:
    """Return the least amount from 1 to ``most`` that was found to suffice, if one was."""
    if most < 1 or not trials.effort.remains:
        return None

    def may_succeed(amount: int) -> bool:
        return trials.may_succeed(partial(change, amount))

    too_few, enough = 0, 1
    if not may_succeed(1):
        if not may_succeed(most):
            return None
        # Doubling, because long periods and days of many minutes cost more than short ones.
        while not may_succeed(enough):
            too_few, enough = enough, min(2 * enough, most)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if may_succeed(middle):
            enough = middle
        else:
            too_few = middle
    return _tried(change, enough, most, trials)


def _tried(
    change: Callable[[int, Problem], Problem], least: int, most: int, trials: _Trials
) -> int | None:
    """Return an amount, at least ``least``, with which all units were placed in a trial.

    In a small problem the first amounts are tried one by one. Then the steps are doubled, and the
    result is narrowed down by bisection.
    """
    effort = trials.effort

    def is_placed(amount: int) -> bool:
        return trials.succeeds(partial(change, amount))

    too_few, amount, step = least - 1, least, 1
    one_by_one = effort.left - _ONE_BY_ONE
    while not is_placed(amount):
        if amount == most or not effort.remains:
            return None
        if effort.left < one_by_one:
            step *= 2
        too_few, amount = amount, min(amount + step, most)
    while amount - too_few > max(1, step // 4) and effort.remains:
        middle = (too_few + amount) // 2
        if is_placed(middle):
            amount = middle
        else:
            too_few = middle
    return amount
