"""The goals of the strategy ``balanced`` in numbers: the times of days, and the least sessions.

A weakness content is studied on every study day, with at least as many units as the shortest
session needs: its minimum. If it has not so many units, it is studied on as many days as they
allow. The minimums are decided before the levels of the days are.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from domain.scheduling.demand import Demand, Problem, study_times
from domain.scheduling.distribution.levels import Cells, DayTime, parts
from domain.scheduling.placement import Room
from domain.scheduling.spans import total
from domain.scheduling.types import Allocation, Balance, PlanKind


@dataclass(frozen=True, slots=True)
class Minimum:
    """The units, and at least how many minutes, that a content has on each of some days.

    On ``days`` the minimums of all contents surely have room. On the other days that are
    ``wanted``, some of them may have room.
    """

    units: int
    minutes: int
    days: frozenset[int]
    sessions: int
    """The number of days with study, if the units do not suffice for all days; otherwise 0."""
    wanted: frozenset[int] = frozenset()


NO_MINIMUM = Minimum(0, 0, frozenset(), 0)


@dataclass(frozen=True, slots=True)
class Goals:
    """What decides the levels of days, for demands that are given in the order of placing.

    ``base`` has the minutes of kept study plans, ``free`` the study time of each day that is left,
    and ``weights`` the whole study time, or 1 if the minutes of days are to be equal. Only study
    days with free time are in them.
    """

    demands: Sequence[Demand]
    shortest: int
    weights: dict[int, int]
    base: dict[int, int]
    free: dict[int, int]
    minimums: Sequence[Minimum]
    by_room: bool = True
    """Whether the shares of study time are to be equal, not the minutes."""
    wrap_ups: Mapping[int, int] = field(default_factory=dict)
    """The minutes of wrap-ups of each day, if its sessions are known."""
    reserve: Mapping[int, int] = field(default_factory=dict)
    """The minutes of the reserve of each day that has one, if it is open."""

    @property
    def needs(self) -> list[int]:
        """The minutes of each demand without its minimums."""
        return [
            demand.prefix[-1] - minimum.minutes * len(minimum.days)
            for demand, minimum in zip(self.demands, self.minimums, strict=True)
        ]

    def without_minimums(self) -> "Goals":
        """Return the same goals if no minimum is decided before the levels are."""
        return replace(self, minimums=[replace(one, days=frozenset()) for one in self.minimums])

    def with_reserve(self, rooms: Mapping[int, Room], demands: Sequence[Demand]) -> "Goals":
        """Return the same goals if the reserve is open, too, on all own days of the demands."""
        own = {day for demand in demands for day in demand.own}
        reserve = {day: total(rooms[day].reserve) for day in sorted(own.union(self.free))}
        reserve = {day: found for day, found in reserve.items() if found}
        other = [day for day in reserve if day not in self.weights]
        nothing = dict.fromkeys(other, 0)
        weights = {day: reserve[day] if self.by_room else 1 for day in other}
        return replace(
            self,
            demands=demands,
            weights={**self.weights, **weights},
            base={**self.base, **nothing},
            free={**self.free, **nothing},
            reserve=reserve,
        )

    @property
    def times(self) -> dict[int, DayTime]:
        """The time of each day, with the minimums as a part of its base.

        The reserve of day ``d`` is a day ``~d`` of its own. It opens at a level at which the study
        time of all days is full, so that contents use no more of it than they must.
        """
        taken: Counter[int] = Counter(self.wrap_ups)
        for minimum in self.minimums:
            for day in minimum.days:
                taken[day] += minimum.minutes
        times = {
            day: DayTime(weight, self.base[day] + taken[day], max(0, self.free[day] - taken[day]))
            for day, weight in self.weights.items()
        }
        if self.reserve:
            full = max(-(-(time.base + time.free) // time.weight) for time in times.values())
            for day, minutes in self.reserve.items():
                weight = self.weights[day]
                times[~day] = DayTime(weight, full * weight, minutes)
        return times


def goals_of(problem: Problem, demands: Sequence[Demand]) -> Goals:
    """Return the goals of a request for its demands, which may be limited ones."""
    request = problem.request
    times = study_times(problem)
    free = {day: total(problem.rooms[day].study) for day in times}
    open_days = [day for day in times if times[day] and free[day]]
    base: Counter[int] = Counter()
    kept_days: dict[int, set[int]] = defaultdict(set)
    for plan in request.kept:
        if plan.kind is PlanKind.STUDY:
            day = (plan.date - request.period_start).days
            base[day] += plan.end_minute - plan.start_minute
            kept_days[plan.content].add(day)
    by_room = request.balance is Balance.ROOM
    return Goals(
        demands=demands,
        shortest=request.shortest_session,
        weights={day: times[day] if by_room else 1 for day in open_days},
        base={day: base[day] for day in open_days},
        free={day: free[day] for day in open_days},
        minimums=_minimums(problem, demands, set(open_days), kept_days),
        by_room=by_room,
    )


def wanted_minutes(goals: Goals, usable: Sequence[Sequence[int]]) -> list[dict[int, float]] | None:
    """Return the part of each day that each content should get, in minutes per day.

    ``usable`` has the days of each demand. Returns ``None`` if the days do not hold the minutes.
    """
    bits = [1 << index for index in range(len(goals.demands))]
    owners: dict[int, int] = {}
    for bit, days in zip(bits, usable, strict=True):
        for day in days:
            owners[day] = owners.get(day, 0) | bit
    times = goals.times
    for day in goals.reserve:
        owners[~day] = owners.get(day, 0)
    cells = Cells(times, owners)
    wanted = parts(cells, [cells.owned_by(bit) for bit in bits], goals.needs)
    for own, need, minimum in zip(wanted, goals.needs, goals.minimums, strict=True):
        if need and not own:
            return None
        for day in [day for day in own if day < 0]:
            own[~day] = own.get(~day, 0.0) + own.pop(day)
        for day in minimum.days:
            own[day] = own.get(day, 0.0) + minimum.minutes
    return wanted


def _minimums(
    problem: Problem,
    demands: Sequence[Demand],
    open_days: Collection[int],
    kept_days: Mapping[int, Collection[int]],
) -> list[Minimum]:
    """Return the minimum of each demand, on days that surely hold those of all contents.

    A day with kept study of a content has a session of it already.
    """
    found = [_minimum(demand, problem.request.shortest_session) for demand in demands]
    daily: dict[int, list[int]] = defaultdict(list)  # day → the pieces of all minimums
    for demand, minimum in zip(demands, found, strict=True):
        if minimum.units and minimum.sessions >= len(demand.days):
            for day in demand.days:
                daily[day] += [demand.longest] * minimum.units
    due = {day for day in daily if day in open_days and _hold(problem.rooms[day], daily[day])}
    for index, (demand, minimum) in enumerate(zip(demands, found, strict=True)):
        if minimum.units and minimum.sessions >= len(demand.days):
            wanted = frozenset(demand.days).difference(kept_days.get(demand.content.position, ()))
            found[index] = replace(minimum, days=wanted & due, wanted=wanted, sessions=0)
    return found


def _minimum(demand: Demand, shortest_session: int) -> Minimum:
    """Return the minimum of a demand without days, and how many such sessions it can have."""
    if demand.content.allocation is not Allocation.WEAKNESS or not demand.units:
        return NO_MINIMUM
    units = max(1, -(-shortest_session // demand.shortest))
    return Minimum(units, units * demand.shortest, frozenset(), len(demand.units) // units)


def _hold(room: Room, pieces: Sequence[int]) -> bool:
    """Whether the spans of study time hold pieces: first fit, the longest piece first."""
    left = [stop - start for start, stop in room.study]
    if len(left) == 1:
        return sum(pieces) <= left[0]
    for piece in sorted(pieces, reverse=True):
        index = next((i for i, length in enumerate(left) if length >= piece), None)
        if index is None:
            return False
        left[index] -= piece
    return True
