"""What has to be solved: the units that remain of each content, its days, and the free time.

A day is identified by its index in the calendar, which is the number of days since the start of
the period. What remains of a content are the units of its range that no kept plan has; the days of
a strategy are in the middle of equal shares of each cycle. The cost is linear in units and days.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import accumulate, pairwise
from typing import NamedTuple

from domain.scheduling.calendar import Day, DayKind, calendar
from domain.scheduling.minutes import unit_minutes
from domain.scheduling.placement import Room
from domain.scheduling.spans import Span, total, without
from domain.scheduling.types import Allocation, Content, Factors, KeptPlan, PlanKind, Request


class Piece(NamedTuple):
    """A piece of a unit: into how many the unit was cut then, and its minutes without wrap-up."""

    parts: int
    minutes: int


def is_complete(pieces: Mapping[int, Piece], minutes: int) -> bool:
    """Whether pieces, by number, are all of a unit of so many minutes.

    They are if they have its minutes, or if none is missing: a unit that was made longer after all
    its pieces were planned has no further one. The pieces need not agree in their number, because
    the rest is cut again after some of them are done.
    """
    if len(pieces) >= max(piece.parts for piece in pieces.values()):
        return True
    return sum(piece.minutes for piece in pieces.values()) >= minutes


@dataclass(slots=True)
class Demand:
    """The remaining units of one content, without gaps.

    ``units`` has their numbers, and ``prefix[i]`` is the number of minutes of the first ``i``
    units. For a unit of which some pieces are kept, ``kept_pieces`` has these pieces by their
    numbers. ``days`` has the content's study days from today on, ``reserve_days`` the designated
    holidays whose reserve it may use, and ``spare_days`` the days without study time, whose reserve
    is its last resort; all are ascending indexes into the calendar.
    """

    content: Content
    minutes: list[int]
    """Minutes of every unit of the content's range, remaining or not."""
    units: list[int]
    prefix: list[int]
    days: list[int]
    reserve_days: list[int]
    spare_days: list[int]
    stop: int
    """The first day on which the content is neither studied nor reviewed."""
    longest: int
    """Minutes of the longest remaining unit, 0 if no unit remains."""
    kept_pieces: dict[int, dict[int, Piece]] = field(default_factory=dict)
    wanted: Mapping[int, float] | None = None
    """The minutes that a strategy wants on each study day; ``None`` for the even deal."""
    least: Mapping[int, int] = field(default_factory=dict)
    """The units that a strategy wants on each of some days at least."""

    @property
    def shortest(self) -> int:
        """Minutes of the shortest remaining unit, 0 if no unit remains."""
        return min((after - before for before, after in pairwise(self.prefix)), default=0)

    @property
    def own(self) -> list[int]:
        """The days that the content may use, ascending, without the spare days."""
        return sorted(self.days + self.reserve_days) if self.reserve_days else self.days

    def length(self, index: int) -> int:
        """Return the minutes of the unit with this index."""
        return self.prefix[index + 1] - self.prefix[index]

    def unit_minutes(self, unit: int) -> int:
        """Return the minutes of a unit, remaining or not; 0 if the range does not contain it."""
        index = unit - self.content.first_unit
        return self.minutes[index] if 0 <= index < len(self.minutes) else 0

    def limited(self, count: int) -> "Demand":
        """Return the same demand with only its first ``count`` units."""
        prefix = self.prefix[: count + 1]
        longest = max((after - before for before, after in pairwise(prefix)), default=0)
        return replace(self, units=self.units[:count], prefix=prefix, longest=longest)

    def with_spare_days(self) -> "Demand":
        """Return the same demand, whose spare days are among its own days."""
        days = sorted(self.reserve_days + self.spare_days)
        return replace(self, reserve_days=days, spare_days=[])


class Placed(NamedTuple):
    """How many units of a demand are placed, its first ones, and how many minutes in all."""

    units: int
    minutes: int


def demands(request: Request, days: Sequence[Day], first_day: int) -> list[Demand]:
    """Return one demand per content, in the order of placing."""
    kept: dict[int, list[KeptPlan]] = defaultdict(list)
    for plan in request.kept:
        if plan.kind is PlanKind.STUDY:
            kept[plan.content].append(plan)
    study = _study_days(days)
    reserves = {
        kind: [index for index, day in enumerate(days) if day.kind is kind and day.reserve]
        for kind in (DayKind.HOLIDAY, DayKind.NO_TIME)
    }
    return [
        _demand(
            content,
            kept.get(content.position, ()),
            range(first_day, _stop(request, content)),
            _Days(_picked(content, study, 0), reserves[DayKind.HOLIDAY], reserves[DayKind.NO_TIME]),
            request.factors,
        )
        for content in sorted(request.contents, key=placing_order)
    ]


def deadline(request: Request, content: Content) -> date | None:
    """Return the first date on which a content is neither studied nor reviewed, if there is one.

    It is the earlier of the content's deadline and of the group's target date within the period.
    """
    target = request.target_date
    found = [content.deadline, target if target and target <= request.period_end else None]
    return min((day for day in found if day), default=None)


def _stop(request: Request, content: Content) -> int:
    """Return the index of the first day after the days of a content."""
    end = min(deadline(request, content) or date.max, request.period_end + timedelta(days=1))
    return max(0, (end - request.period_start).days)


def placing_order(content: Content) -> tuple[bool, int]:
    """Return the sort key for the order of placing: weakness before strategy, then by position."""
    return content.allocation is not Allocation.WEAKNESS, content.position


class _Days(NamedTuple):
    """The own study days of a content, and the days of the two kinds that have only reserve."""

    study: list[int]
    holidays: list[int]
    no_time: list[int]


def _demand(
    content: Content, kept: Iterable[KeptPlan], usable: range, days: _Days, factors: Factors
) -> Demand:
    minutes = unit_minutes(content, factors)
    is_weakness = content.allocation is Allocation.WEAKNESS
    whole, pieces = _kept_units(kept)
    left = {
        unit: length for unit, length in enumerate(minutes, content.first_unit) if unit not in whole
    }
    for unit, own in pieces.items():
        if unit in left:
            if is_complete(own, left[unit]):
                del left[unit]
            else:
                left[unit] -= sum(piece.minutes for piece in own.values())
    return Demand(
        content=content,
        minutes=minutes,
        units=list(left),
        prefix=[0, *accumulate(left.values())],
        days=_within(days.study, usable),
        stop=usable.stop,
        reserve_days=_within(days.holidays, usable) if is_weakness else [],
        spare_days=_within(days.no_time, usable),
        longest=max(left.values(), default=0),
        kept_pieces={unit: own for unit, own in pieces.items() if unit in left},
    )


def _within(days: list[int], usable: range) -> list[int]:
    """Return those of ascending days that are usable."""
    return days[bisect_left(days, usable.start) : bisect_left(days, usable.stop)]


def _kept_units(kept: Iterable[KeptPlan]) -> tuple[set[int], dict[int, dict[int, Piece]]]:
    """Return the units that a plan keeps uncut, and the kept pieces of others by their numbers."""
    whole: set[int] = set()
    pieces: dict[int, dict[int, Piece]] = defaultdict(dict)
    for plan in kept:
        if plan.parts == 1:
            whole.update(range(plan.first_unit, plan.last_kept_unit + 1))
        elif plan.last_kept_unit >= plan.first_unit:
            minutes = plan.end_minute - plan.start_minute - plan.wrap_up_minutes
            pieces[plan.first_unit][plan.part] = Piece(plan.parts, minutes)
    return whole, pieces


def strategy_indexes(study_days: int, weekly_days: int, shift: int = 0) -> list[int]:
    """Return the indexes of a strategy content's days among the study days of a cycle.

    These are (⌊(i + 0.5)·n/k⌋ + ``shift``) mod n for i = 0 … k - 1: each in the middle of an equal
    share of the ``study_days`` n, if the shift is 0. If n is at most ``weekly_days`` k, all days
    are returned.
    """
    if study_days <= weekly_days:
        return list(range(study_days))
    middles = ((2 * i + 1) * study_days // (2 * weekly_days) for i in range(weekly_days))
    return sorted((middle + shift) % study_days for middle in middles)


def own_days(content: Content, days: Sequence[Day], shift: int = 0) -> list[int]:
    """Return the content's study days as ascending indexes into ``days``, a complete calendar."""
    return _picked(content, _study_days(days), shift)


def _study_days(days: Sequence[Day]) -> list[list[int]]:
    """Return the indexes of the study days of each cycle."""
    cycles: dict[int, list[int]] = defaultdict(list)
    for index, day in enumerate(days):
        if day.kind is DayKind.STUDY:
            cycles[day.cycle].append(index)
    return list(cycles.values())


def _picked(content: Content, cycles: Collection[Sequence[int]], shift: int) -> list[int]:
    if content.allocation is Allocation.WEAKNESS or content.weekly_days is None:
        return [index for cycle in cycles for index in cycle]
    indexes = {
        length: strategy_indexes(length, content.weekly_days, shift)
        for length in {len(cycle) for cycle in cycles}
    }
    return [cycle[picked] for cycle in cycles for picked in indexes[len(cycle)]]


@dataclass(frozen=True, slots=True)
class Problem:
    """A request with what is computed from it before any unit is placed.

    ``days`` are all days of the period, ``first_day`` is the index of today (or of the first day),
    ``rooms`` has the free time of each day from today on, and ``demands`` are in the order of
    placing.
    """

    request: Request
    days: Sequence[Day]
    first_day: int
    rooms: Mapping[int, Room]
    demands: Sequence[Demand]
    buffer: frozenset[int] = frozenset()
    """Study days without new study, because they are a buffer before the end."""


def problem_of(
    request: Request, days: Sequence[Day] | None = None, first_date: date | None = None
) -> Problem:
    """Return the problem of a valid request.

    :param days: the days of the period, by default those of its calendar.
    :param first_date: the first date that is planned, by default today.
    """
    days = calendar(request) if days is None else days
    first_day = max(0, ((first_date or request.today) - request.period_start).days)
    return Problem(
        request=request,
        days=days,
        first_day=first_day,
        rooms=free_time(request, days, first_day),
        demands=demands(request, days, first_day),
    )


def free_time(request: Request, days: Sequence[Day], first_day: int) -> dict[int, Room]:
    """Return study time and reserve of each day from today on, without the student's plans."""
    taken: Mapping[date, list[Span]] = defaultdict(list)
    first_date = request.period_start + timedelta(days=first_day)
    for busy in request.busy:
        taken[busy.date].append((busy.start_minute, busy.end_minute))
    for plan in request.kept:
        if plan.date >= first_date:
            taken[plan.date].append((plan.start_minute, plan.end_minute))
    rooms = {}
    for index in range(first_day, len(days)):
        day = days[index]
        if holes := taken.get(day.date):
            rooms[index] = Room(without(day.study, holes), without(day.reserve, holes))
        else:
            rooms[index] = Room(day.study, day.reserve)
    return rooms


def wrapped_up(request: Request) -> frozenset[tuple[int, int]]:
    """Return each day, with the content, on which a kept plan has the wrap-up.

    A part done plan was left before its wrap-up.
    """
    return frozenset(
        ((plan.date - request.period_start).days, plan.content)
        for plan in request.kept
        if plan.wrap_up_minutes and plan.done_through is None
    )


def study_times(problem: Problem) -> dict[int, int]:
    """Return the study time of each study day from today on, without the student's other plans."""
    busy: dict[int, list[Span]] = defaultdict(list)
    for plan in problem.request.busy:
        day = (plan.date - problem.request.period_start).days
        busy[day].append((plan.start_minute, plan.end_minute))
    return {
        index: total(without(day.study, busy[index]) if index in busy else day.study)
        for index, day in ((index, problem.days[index]) for index in problem.rooms)
        if day.kind is DayKind.STUDY
    }
