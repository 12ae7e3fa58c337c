"""The strategy ``balanced``: every day is filled to about the same share of its study time.

First the days of the contents are chosen (``shifts``), then how full each day is, and what part of
it each content gets (``levels``), then whole units (``sessions``), which are moved between days
(``smoothing``). Only if a day does not hold its units then, the contents are dealt one after
another, as near to their parts as possible, with all the last resorts of the strategy ``even``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from domain.scheduling.demand import Demand, Problem
from domain.scheduling.distribution import even
from domain.scheduling.distribution.day_choice import DayChoice, choose_days
from domain.scheduling.distribution.deal import Deal, Distribution
from domain.scheduling.distribution.goals import Goals, goals_of
from domain.scheduling.distribution.in_turn import Effort, room_beside
from domain.scheduling.distribution.ledger import Ledger
from domain.scheduling.distribution.levels import Cells, parts
from domain.scheduling.distribution.sessions import Sessions, deal_sessions, fits, reserve_needed
from domain.scheduling.distribution.smoothing import Smoothing
from domain.scheduling.placement import Room, longest_span, pack

_MAX_EFFORT: Final = 4_000
"""The number of changes that the smoothing of a schedule examines at most."""


def distribute(problem: Problem) -> Distribution:
    """Deal as many units of each demand as possible.

    The last study days are kept free as a buffer, if everything fits into study time without them.
    """
    if problem.request.buffer_days:
        attempt = _Attempt(choose_days(problem, problem.request.buffer_days))
        if deals := attempt.spread() or attempt.placed_in_turn():
            return attempt.distribution(deals)
    attempt = _Attempt(choose_days(problem, 0))
    return attempt.distribution(attempt.spread() or attempt.dealt_in_turn())


def places_all(problem: Problem, effort: Effort) -> bool:
    """Whether a way to place everything was found."""
    for demand in problem.demands:
        effort.spend(demand, problem.rooms)
    attempt = _Attempt(choose_days(problem, 0))
    if attempt.spread():
        return True
    return even.place_all(attempt.wanted(), problem.rooms, effort) is not None


class _Attempt:
    """Sessions of all contents near to their parts of each day, which the days may not hold.

    ``levels`` has the minutes that each day should get. Both are in study time, or else with the
    reserve if study time does not hold all minutes; ``contents`` is empty if that does not either.
    """

    def __init__(self, choice: DayChoice) -> None:
        self.choice = choice
        self.goals = goals_of(choice.problem, choice.problem.demands)
        self.contents: list[Sessions] = []
        self.levels: dict[int, float] = {}
        plain = self.goals.without_minimums()
        # Minimums give way if they would take time that others need.
        self.fits_study = any(
            self._deal(goals, with_reserve=False) for goals in (self.goals, plain)
        )
        if not self.fits_study:
            rooms = choice.problem.rooms
            for goals in (self.goals, plain):
                if self._deal(goals.with_reserve(rooms), with_reserve=True):
                    break

    def _deal(self, goals: Goals, *, with_reserve: bool) -> bool:
        """Set the contents and levels; return whether the days hold all minutes."""
        rooms = self.choice.problem.rooms
        contents = [_sessions(goals, number, rooms) for number in range(len(goals.demands))]
        wanted = wanted_minutes(goals, [one.days for one in contents])
        if wanted is None:
            return False
        self.contents = contents
        for own in wanted:
            for day, minutes in own.items():
                self.levels[day] = self.levels.get(day, 0.0) + minutes
        spans = {
            day: (rooms[day] if with_reserve else Room(rooms[day].study, ())).lengths()
            for day in goals.weights
        }
        deal_sessions(contents, wanted, self.levels, spans)
        for one in contents:
            one.open_all_days([day for day in one.demand.days if day in goals.weights])
        return True

    def spread(self) -> list[Deal] | None:
        """Return smoothed deals in study time, or ``None`` if a day does not hold its units."""
        contents, goals, rooms = self.contents, self.goals, self.choice.problem.rooms
        if not self.fits_study:
            return None

        def held(day: int, items: Mapping[int, range]) -> int | None:
            return 0 if fits(contents, items, rooms[day]) else None

        ledger = Ledger(contents, goals.weights, goals.base, self.levels, held)
        smoothing = Smoothing(ledger, _MAX_EFFORT)
        if not smoothing.relieve():
            return None
        smoothing.smooth()
        return [
            Deal(one.demand, one.demand.units, one.prefix, one.days, one.counts) for one in contents
        ]

    def placed_in_turn(self) -> list[Deal] | None:
        """Return smoothed deals of all units in study time, dealt in turn, or ``None``."""
        rooms = self.choice.problem.rooms
        study = {day: Room(room.study, ()) for day, room in rooms.items()}
        if not self.fits_study:
            return None
        deals = even.place_all(self.wanted(), study, Effort(even.MAX_EFFORT))
        if deals is not None:
            _smooth(self.choice.problem, self.goals, deals, self.levels)
        return deals

    def dealt_in_turn(self) -> list[Deal]:
        """Return smoothed deals of as many units as possible, dealt in turn."""
        deals = even.deal_all(self.wanted(), self.choice.problem.rooms)
        _smooth(self.choice.problem, self.goals, deals, self.levels)
        return deals

    def wanted(self) -> Sequence[Demand]:
        """Return the demands with the minutes of their sessions as what is wanted on each day."""
        if not self.contents:
            return self.choice.problem.demands
        return [replace(one.demand, wanted=one.minutes_by_day()) for one in self.contents]

    def distribution(self, deals: Sequence[Deal]) -> Distribution:
        """Return the distribution with these deals."""
        return Distribution(self.choice.problem, deals, self.goals.minimums, self.choice.day_shifts)


def _sessions(goals: Goals, number: int, rooms: Mapping[int, Room]) -> Sessions:
    """Return the sessions of a demand, without counts, on days that hold its longest unit."""
    demand, minimum = goals.demands[number], goals.minimums[number]
    holding = [
        day
        for day in demand.days
        if day in goals.weights and longest_span(rooms[day]) >= demand.longest
    ]
    # The minimums of other contents must fit beside the unit, too.
    times = goals.times
    days = [
        day
        for day in holding
        if times[day].free + (minimum.minutes if day in minimum.days else 0) >= demand.longest
    ] or holding
    required = minimum.days
    if minimum.sessions:
        days = _roomiest(days, minimum.sessions, goals.weights)
        required = frozenset(days)
    return Sessions(
        demand,
        days,
        shortest=min(goals.shortest, demand.prefix[-1]),
        least_units=minimum.units,
        required=required,
        is_sparse=minimum.sessions > 0,
    )


def _roomiest(days: Sequence[int], count: int, weights: Mapping[int, int]) -> list[int]:
    """Return one day, with the most time, of each of ``count`` equal stretches of days."""
    if len(days) <= count:
        return list(days)
    bounds = [len(days) * i // count for i in range(count + 1)]
    return [max(days[a:b], key=lambda day: (weights[day], -day)) for a, b in pairwise(bounds)]


def _smooth(
    problem: Problem, goals: Goals, deals: Sequence[Deal], levels: Mapping[int, float]
) -> None:
    """Smooth deals that have runs, except for contents with cut units."""
    contents = [
        Sessions(
            replace(deal.demand, units=deal.units, prefix=deal.prefix),
            deal.days,
            shortest=min(goals.shortest, deal.prefix[-1]),
            least_units=minimum.units,
            required=minimum.days,
            counts=deal.counts,
            is_sparse=minimum.sessions > 0,
            is_fixed=deal.cuts > 0,
        )
        for deal, minimum in zip(deals, goals.minimums, strict=True)
    ]
    rooms = room_beside([deal for deal in deals if deal.cuts], problem.rooms)

    def held(day: int, items: Mapping[int, range]) -> int | None:
        movable = {number: own for number, own in items.items() if not contents[number].is_fixed}
        return reserve_needed(contents, movable, rooms[day])

    weights = {day: goals.weights.get(day) or max(1, problem.rooms[day].minutes) for day in rooms}
    ledger = Ledger(contents, weights, goals.base, levels, held)
    for deal in deals:
        for day, runs in deal.runs.items():
            used = sum(run.stop - run.start for run in runs if run.reserve)
            ledger.reserve[day] = ledger.reserve.get(day, 0) + used
    Smoothing(ledger, _MAX_EFFORT).smooth()
    for day in ledger.changed:
        _pack_again(deals, contents, day, rooms[day])


def _pack_again(deals: Sequence[Deal], contents: Sequence[Sessions], day: int, room: Room) -> None:
    """Set the runs of a day whose units have been changed."""
    free = room.copy()
    for deal, one in zip(deals, contents, strict=True):
        if one.is_fixed or day not in one.days:
            continue
        deal.runs.pop(day, None)
        first, stop = one.bounds(one.days.index(day))
        if first < stop:
            runs = pack(one.prefix, range(first, stop), free)
            if runs is None:
                raise AssertionError("a change is only made if the day holds its units")
            free.take(runs)
            deal.runs[day] = runs


def wanted_minutes(goals: Goals, usable: Sequence[Sequence[int]]) -> list[dict[int, float]] | None:
    """Return the part of each day that each content should get, in minutes per day.

    ``usable`` has the days of each demand. Returns ``None`` if the days do not hold the minutes.
    """
    bits = [1 << index for index in range(len(goals.demands))]
    owners: dict[int, int] = {}
    for bit, days in zip(bits, usable, strict=True):
        for day in days:
            owners[day] = owners.get(day, 0) | bit
    cells = Cells(goals.times, owners)
    wanted = parts(cells, [cells.owned_by(bit) for bit in bits], goals.needs)
    for own, need, minimum in zip(wanted, goals.needs, goals.minimums, strict=True):
        if need and not own:
            return None
        for day in minimum.days:
            own[day] = own.get(day, 0.0) + minimum.minutes
    return wanted
