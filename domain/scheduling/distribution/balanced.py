"""The strategy ``balanced``: every day is filled to about the same share of its study time.

First the days of the contents are chosen (``shifts``), then how full each day is, and what part of
it each content gets (``levels``), then whole units (``sessions``), which are moved away from days
that do not hold them (``relief``) and between all days (``smoothing``). If study time does not hold
them so, the contents are dealt one after another in study time, as near to their parts as possible
and uncut; then the sessions may use the reserve; at last the contents are dealt one after another
with all the last resorts of ``even``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Final

from domain.scheduling.demand import Demand, Problem
from domain.scheduling.distribution import even
from domain.scheduling.distribution.day_choice import DayChoice, choose_days, choose_sparse_days
from domain.scheduling.distribution.deal import Deal, Distribution
from domain.scheduling.distribution.goals import Goals, goals_of, wanted_minutes
from domain.scheduling.distribution.in_turn import Effort
from domain.scheduling.distribution.ledger import Ledger
from domain.scheduling.distribution.packing import fits_easily
from domain.scheduling.distribution.relief import Relief
from domain.scheduling.distribution.sessions import Sessions, deal_sessions
from domain.scheduling.distribution.settled import (
    ledger_in,
    pack_again,
    pack_changed,
    sessions_of,
    used_reserve,
)
from domain.scheduling.distribution.smoothing import Smoothing
from domain.scheduling.feasibility import DaySets
from domain.scheduling.placement import Room

_MAX_EFFORT: Final = 4_000
"""The number of changes that the smoothing of a schedule examines at most."""


def distribute(problem: Problem) -> Distribution:
    """Deal as many units of each demand as possible.

    The last study days are kept free as a buffer, if everything fits into study time without them.
    """
    if problem.request.buffer_days:
        attempt = _Attempt(choose_days(problem, problem.request.buffer_days))
        if deals := attempt.spread_in_study_time() or attempt.placed_in_turn():
            return attempt.distribution(deals)
    attempt = _Attempt(choose_days(problem, 0))
    return attempt.distribution(
        attempt.spread_in_study_time()
        or attempt.placed_in_turn(uncut=True)
        or attempt.spread_with_reserve()
        or attempt.dealt_in_turn()
    )


def places_all(problem: Problem, effort: Effort) -> bool:
    """Whether a way to place everything was found by dealing in turn, the last one of the ways.

    The others find more in one of a hundred trials only, and would double its time.
    """
    for demand in problem.demands:
        effort.spend(demand, problem.rooms)
    wanted = _Attempt(choose_days(problem, 0)).wanted()
    return even.place_at_last(wanted, problem.rooms, effort) is not None


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
        self.open = self.goals
        """The goals with the time that is open: study time, or with the reserve."""
        plain = self.goals.without_minimums()
        # Minimums give way if they would take time that others need.
        self.fits_study = self._deal(self.goals) or self._deal(plain)
        if not self.fits_study:
            demands, rooms = _with_needed_days(choice.problem), choice.problem.rooms
            for goals in (self.goals, plain):
                if self._deal(goals.with_reserve(rooms, demands)):
                    break
        self.first_wanted = self.wanted()
        """The wanted demands before sessions are moved, as in a trial (``places_all``)."""

    def _deal(self, goals: Goals) -> bool:
        """Set the contents and levels; return whether the days hold all minutes."""
        rooms = self.choice.problem.rooms
        if not goals.reserve:
            rooms = {day: Room(room.study, ()) for day, room in rooms.items()}
        contents = [_sessions(goals, number, rooms) for number in range(len(goals.demands))]
        usable = [one.days for one in contents]
        wanted = wanted_minutes(goals, usable)
        if wanted is None:
            return False
        self.contents = contents
        self.open = goals
        self.levels = _sums(wanted)
        if any(one.is_sparse for one in contents):
            choose_sparse_days(goals, contents, wanted)
            wanted = wanted_minutes(goals, [one.days for one in contents]) or wanted
        spans = {day: rooms[day].lengths() for day in goals.weights}
        levels = _sums(wanted)
        held = {
            day: max(free, ceil(levels.get(day, 0.0) - 1e-6)) for day, free in goals.free.items()
        }
        deal_sessions(contents, wanted, levels, spans, held)
        self._level_with_wrap_ups(goals, usable)
        for one in contents:
            one.open_days_for_a_unit(spans)
        return True

    def _level_with_wrap_ups(self, goals: Goals, usable: Sequence[Sequence[int]]) -> None:
        """Set the levels again, once the days of the wrap-ups are known."""
        wrap_ups: dict[int, int] = {}
        for one in self.contents:
            for index, day in enumerate(one.days):
                if wrap_up := one.minutes(index) - one.study(index):
                    wrap_ups[day] = wrap_ups.get(day, 0) + wrap_up
        if wrap_ups and (wanted := wanted_minutes(replace(goals, wrap_ups=wrap_ups), usable)):
            self.levels = _sums([*wanted, wrap_ups])

    def spread_in_study_time(self) -> list[Deal] | None:
        """Return smoothed deals in study time, or ``None`` if a day does not hold them uncut."""
        return self._spread(with_reserve=False) if self.fits_study else None

    def spread_with_reserve(self) -> list[Deal] | None:
        """Return smoothed deals in study time and reserve, or ``None`` if that does not hold them.

        As little of the reserve is used as possible.
        """
        return self._spread(with_reserve=True) if self.contents else None

    def _relieved(self, *, with_reserve: bool) -> tuple[Ledger, Relief] | None:
        """Return a ledger of sessions that the days hold, or ``None``."""
        contents, goals, rooms = self.contents, self.open, self.choice.problem.rooms
        ledger = ledger_in(rooms, contents, goals.weights, goals.base, self.levels)
        relief = Relief(ledger, _MAX_EFFORT)
        return (ledger, relief) if relief.relieve(with_reserve=with_reserve) else None

    def _spread(self, *, with_reserve: bool) -> list[Deal] | None:
        contents, goals, rooms = self.contents, self.open, self.choice.problem.rooms
        found = self._relieved(with_reserve=with_reserve)
        if found is None:
            return None
        ledger, relief = found
        relief.save_reserve()
        for one, minimum in zip(contents, self.goals.minimums, strict=True):
            # Minimums that the levels do not contain are met where there is time for them.
            one.required |= minimum.days
            one.wanted |= minimum.wanted - one.required
        _smooth_and_mend(ledger, relief)
        deals = [
            Deal(one.demand, one.demand.units, one.prefix, one.days, one.counts) for one in contents
        ]
        for day in goals.weights:
            # Where study time surely holds the units, they are packed with the rows of the day.
            if not fits_easily(contents, ledger.items(day), rooms[day]):
                pack_again(deals, contents, day, rooms[day])
        return deals

    def placed_in_turn(self, *, uncut: bool = False) -> list[Deal] | None:
        """Return smoothed deals of all units in study time, dealt in turn, or ``None``.

        With ``uncut``, no unit may be cut.
        """
        rooms = self.choice.problem.rooms
        study = {day: Room(room.study, ()) for day, room in rooms.items()}
        if uncut and not self.fits_study:
            return None
        ways = even.place_all(self._wanted_in_turn(), study, Effort(even.MAX_EFFORT))
        if uncut:
            ways = [deals for deals in ways if not any(deal.cuts for deal in deals)]
        return self._smoothed(ways) if ways else None

    def dealt_in_turn(self) -> list[Deal]:
        """Return smoothed deals of as many units as possible, dealt in turn."""
        wanted, rooms = self._wanted_in_turn(), self.choice.problem.rooms
        deals = self._smoothed(even.deal_all(wanted, rooms, self.first_wanted))
        even.fill_up(deals, wanted, rooms)
        return deals

    def _smoothed(self, ways: Sequence[list[Deal]]) -> list[Deal]:
        """Return the first of the ways that uses the least reserve, then cuts, when smoothed."""
        for deals in ways:
            _smooth(self.choice.problem, self.goals, deals, self.levels)
        return min(ways, key=_costs)

    def _wanted_in_turn(self) -> Sequence[Demand]:
        """Return the wanted demands with the least units of weaknesses on each day."""
        return [
            replace(demand, least=dict.fromkeys(minimum.days, minimum.units))
            for demand, minimum in zip(self.wanted(), self.goals.minimums, strict=True)
        ]

    def wanted(self) -> Sequence[Demand]:
        """Return the demands with the minutes of their sessions as what is wanted on each day."""
        if not self.contents:
            return self.choice.problem.demands
        return [
            replace(demand, wanted=one.minutes_by_day())
            for demand, one in zip(self.choice.problem.demands, self.contents, strict=True)
        ]

    def distribution(self, deals: Sequence[Deal]) -> Distribution:
        """Return the distribution with these deals."""
        return Distribution(self.choice.problem, deals, self.goals.minimums, self.choice.day_shifts)


def _costs(deals: Sequence[Deal]) -> tuple[int, int]:
    """Return the minutes of reserve, with those of wrap-ups, which mostly need it, and the cuts."""
    wrap_ups = sum(deal.demand.content.wrap_up_minutes * len(deal.shares) for deal in deals)
    reserve, cuts = even.costs(deals)
    return reserve + wrap_ups, cuts


def _with_needed_days(problem: Problem) -> Sequence[Demand]:
    """Return the demands, with the days that have no study time if the others are not enough."""
    own = problem.demands
    day_sets = DaySets.among(own)
    held = day_sets.held(lambda day: problem.rooms[day].minutes)
    if day_sets.fits([demand.prefix[-1] for demand in own], held):
        return own
    return [demand.with_spare_days() for demand in own]


def _sessions(goals: Goals, number: int, rooms: Mapping[int, Room]) -> Sessions:
    """Return the sessions of a demand, without counts, on days that hold its longest unit."""
    demand, minimum = goals.demands[number], goals.minimums[number]
    holding = [
        day
        for day in demand.own
        if day in goals.weights and max(rooms[day].lengths(), default=0) >= demand.longest
    ]
    # The minimums of other contents must fit beside the unit, too.
    times = goals.times
    days = [
        day
        for day in holding
        if times[day].free
        + goals.reserve.get(day, 0)
        + (minimum.minutes if day in minimum.days else 0)
        >= demand.longest
    ] or holding
    return Sessions(
        demand,
        days,
        shortest=min(goals.shortest, demand.prefix[-1]),
        least_units=minimum.units,
        required=minimum.days,
        is_sparse=minimum.sessions > 0,
    )


def _sums(wanted: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the minutes of each day together."""
    sums: dict[int, float] = {}
    for own in wanted:
        for day, minutes in own.items():
            sums[day] = sums.get(day, 0.0) + minutes
    return sums


def _smooth(
    problem: Problem, goals: Goals, deals: Sequence[Deal], levels: Mapping[int, float]
) -> None:
    """Smooth deals that have runs."""
    contents = [
        sessions_of(deal, goals.shortest, minimum)
        for deal, minimum in zip(deals, goals.minimums, strict=True)
    ]
    rooms = problem.rooms
    weights = {day: goals.weights.get(day) or max(1, rooms[day].minutes) for day in rooms}
    ledger = ledger_in(rooms, contents, weights, goals.base, levels)
    ledger.start_with(used_reserve(deals))
    relief = Relief(ledger, _MAX_EFFORT)
    relief.save_reserve()
    _smooth_and_mend(ledger, relief)
    pack_changed(ledger, deals, rooms)


def _smooth_and_mend(ledger: Ledger, relief: Relief) -> None:
    """Smooth the sessions of a ledger, save reserve, and then mend what is left to mend."""
    smoothing = Smoothing(ledger, _MAX_EFFORT)
    smoothing.smooth()
    relief.save_reserve()
    relief.fill_study_time()
    smoothing.mend_rest()
