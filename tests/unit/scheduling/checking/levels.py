"""The least possible highest fullness of the days, or their least possible highest minutes.

Let the level of a day be its minutes of study divided by its study time, or its minutes if these
are balanced. Contents that must put certain minimums on certain days, and are otherwise divided
freely over their own days, fit below a level if and only if each set S of contents does: its
minutes, with the minimums of the other contents on the days of S, are at most what these days hold
below the level (Hoffman's theorem for flows with lower bounds). So the least level is the highest
of the levels of all sets, and of the single days for their minimums. All results are exact.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import chain, combinations

from domain.scheduling.types import Balance, PlanKind
from tests.unit.scheduling.checking.amounts import Amounts
from tests.unit.scheduling.checking.flows import fits
from tests.unit.scheduling.checking.minimums import Minimum, minimums_of
from tests.unit.scheduling.checking.world import World


@dataclass(frozen=True, order=True)
class Held:
    """What a day holds below a level x: min(room, max(0, rate · x - kept)) new minutes.

    The rate is the day's study time without the student's other plans, or 1 if minutes are
    balanced. A day with rate 0 has no level, so that it holds its room.
    """

    rate: int
    kept: int
    room: int


Kinds = Mapping[Held, int]
"""The number of days of each kind."""


def level_for(need: int, kinds: Kinds) -> Fraction | None:
    """Return the least level below which days hold the minutes; ``None`` if no level is enough."""
    rest = Fraction(need - sum(count * day.room for day, count in kinds.items() if not day.rate))
    if rest <= 0:
        return Fraction(0)
    changes: list[tuple[Fraction, int]] = []
    for day, count in kinds.items():
        if day.rate:
            changes.append((Fraction(day.kept, day.rate), day.rate * count))
            changes.append((Fraction(day.kept + day.room, day.rate), -day.rate * count))
    level, slope = Fraction(0), 0
    for next_level, change in sorted(changes):
        if slope and rest <= slope * (next_level - level):
            return level + rest / slope
        rest -= slope * (next_level - level)
        level, slope = next_level, slope + change
    return None


def study_time(world: World, day: date) -> int:
    """Return the study time of a day without that of the student's other plans."""
    others = {
        minute
        for plan in world.request.busy
        if plan.date == day
        for minute in range(plan.start_minute, plan.end_minute)
    }
    return len(world.days[day].study - others)


def kept_minutes(world: World) -> Counter[date]:
    """Return the minutes of the group's kept study on each day."""
    kept: Counter[date] = Counter()
    for plan in world.request.kept:
        if plan.kind is PlanKind.STUDY:
            kept[plan.date] += plan.end_minute - plan.start_minute
    return kept


@dataclass(frozen=True)
class Problem:
    """The minutes of contents, the days that each may use, and what the days hold.

    ``days`` has the kind of each usable day, and ``floors`` the minimums, by position.
    """

    needs: Mapping[int, int]
    own: Mapping[int, frozenset[date]]
    days: Mapping[date, Held]
    floors: Mapping[int, Minimum]

    def level_of(self, subset: Collection[int]) -> Fraction | None:
        """Return the least level for a set of contents; ``None`` if no level is enough."""
        union = frozenset().union(*(self.own[p] for p in subset))
        need = sum(self.needs[p] for p in subset)
        need += sum(
            floor_on(floor, self.own[p], union)
            for p, floor in self.floors.items()
            if p not in subset
        )
        return level_for(need, Counter(self.days[day] for day in union))

    def level_of_minimums(self, day: date) -> Fraction | None:
        """Return the least level for the minimums of a day."""
        need = sum(floor.minutes for floor in self.floors.values() if day in floor.due)
        return level_for(need, {self.days[day]: 1})

    def least_level(self) -> Fraction | None:
        """Return the least level; ``None`` if not everything fits."""
        levels = [self.level_of_minimums(day) for day in self.days]
        levels += [self.level_of(subset) for subset in subsets(self.needs)]
        levels += [Fraction(day.kept, day.rate) for day in self.days.values() if day.rate]
        known = [level for level in levels if level is not None]
        return max(known, default=Fraction(0)) if len(known) == len(levels) else None


def floor_on(floor: Minimum, own: frozenset[date], days: Collection[date]) -> int:
    """Return the least minutes that a weakness content has on some days because of its minimum."""
    if floor.due:
        return floor.minutes * len(floor.due & frozenset(days))
    return floor.minutes * max(0, min(floor.sessions, len(own)) - len(own - frozenset(days)))


def subsets(contents: Collection[int]) -> Iterator[tuple[int, ...]]:
    """Yield every set of contents except the empty one."""
    ordered = sorted(contents)
    return chain.from_iterable(combinations(ordered, size) for size in range(1, len(ordered) + 1))


def problem_of(
    world: World, amounts: Mapping[int, Amounts], needs: Mapping[int, int], balance: Balance
) -> Problem:
    """Return the problem of a request at the shifts of its world.

    The reserve, and the days on which there is nothing else, count only if study time is not
    enough, and days without study time that are not holidays only if that is not enough either.
    """
    needs = {p: need for p, need in needs.items() if need}
    contents = {p: amounts[p].content for p in needs}
    own = {p: frozenset(world.own_days(content)) for p, content in contents.items()}
    floors = {p: floor for p, floor in minimums_of(world, amounts).items() if p in needs}
    room = {day: len(world.free(day, reserve=False)) for day in world.days}
    if not fits(needs, own, room):
        room = {day: world.room(day) for day in world.days}
        own = {p: frozenset(world.planned_days(content)) for p, content in contents.items()}
    if not fits(needs, own, room):
        own = {p: frozenset(world.open_days(content)) for p, content in contents.items()}
    return Problem(needs, own, held_days(world, own.values(), room, balance), floors)


def held_days(
    world: World, days: Iterable[frozenset[date]], room: Mapping[date, int], balance: Balance
) -> dict[date, Held]:
    """Return what each of the study days holds, and of the days that are in any of the sets."""
    kept = kept_minutes(world)
    held = {}
    for day in sorted(frozenset(world.study_days()).union(*days)):
        time = study_time(world, day)
        rate = min(time, 1) if balance is Balance.MINUTES else time
        held[day] = Held(rate, kept[day], room[day])
    return held


def least_level(
    world: World, amounts: Mapping[int, Amounts], needs: Mapping[int, int], balance: Balance
) -> Fraction | None:
    """Return the least possible highest level of a study day, ``None`` if not everything fits.

    If the minimums of goal 4 do not fit, which is possible because the reserve does not count for
    them, they are left aside.
    """
    problem = problem_of(world, amounts, needs, balance)
    found = problem.least_level()
    return found or Problem(problem.needs, problem.own, problem.days, {}).least_level()
