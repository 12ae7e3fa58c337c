"""The units of each content that remain to be planned, and the days it may use."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from domain.scheduling.allocation import own_days
from domain.scheduling.calendar import Day, DayKind
from domain.scheduling.minutes import unit_minutes
from domain.scheduling.planning import Content, KeptPlan, Request
from domain.scheduling.vocabulary import Allocation, PlanKind


@dataclass(slots=True)
class Demand:
    """The remaining units of one content, without gaps.

    ``units`` has their numbers, and ``prefix[i]`` is the number of minutes of the first ``i``
    units. For a unit of which some pieces are kept, ``kept_pieces`` has the numbers of these
    pieces. ``days`` has the content's study days from today on, and ``holidays`` the designated
    holidays whose reserve it may use, both as ascending indexes into the calendar.
    """

    content: Content
    minutes: list[int]
    """Minutes of every unit of the content's range, remaining or not."""
    units: list[int]
    prefix: list[int]
    days: list[int]
    holidays: list[int]
    longest: int
    """Minutes of the longest remaining unit, 0 if no unit remains."""
    kept_pieces: dict[int, set[int]] = field(default_factory=dict)

    @property
    def own(self) -> list[int]:
        """All days the content may use, ascending."""
        return sorted(self.days + self.holidays) if self.holidays else self.days

    def limited(self, count: int) -> "Demand":
        """Return the same demand with only its first ``count`` units."""
        return Demand(
            self.content,
            self.minutes,
            self.units[:count],
            self.prefix[: count + 1],
            self.days,
            self.holidays,
            self.longest,
            self.kept_pieces,
        )


def demands(request: Request, days: Sequence[Day], first_day: int) -> list[Demand]:
    """Return one demand per content, in the order of placing."""
    kept: dict[int, list[KeptPlan]] = defaultdict(list)
    for plan in request.kept:
        if plan.kind is PlanKind.STUDY:
            kept[plan.content].append(plan)
    open_holidays = [
        index
        for index, day in enumerate(days)
        if index >= first_day and day.kind is DayKind.HOLIDAY and day.reserve
    ]
    return [
        _demand(
            content,
            unit_minutes(content, request.factors),
            [index for index in own_days(content, days) if index >= first_day],
            open_holidays if content.allocation is Allocation.WEAKNESS else [],
            kept[content.position],
        )
        for content in sorted(request.contents, key=placing_order)
    ]


def placing_order(content: Content) -> tuple[bool, int]:
    """Return the sort key for the order of placing: weakness before strategy, then by position."""
    return content.allocation is not Allocation.WEAKNESS, content.position


def _demand(
    content: Content,
    minutes: list[int],
    days: list[int],
    holidays: list[int],
    kept: Iterable[KeptPlan],
) -> Demand:
    whole, pieces = _kept_units(kept)
    left = dict(enumerate(minutes, content.first_unit))
    for unit in whole:
        left.pop(unit, None)
    for unit, kept_lengths in pieces.items():
        if unit in left:
            left[unit] -= sum(kept_lengths.values())
            if left[unit] <= 0:
                del left[unit]
    return Demand(
        content,
        minutes,
        list(left),
        [0, *accumulate(left.values())],
        days,
        holidays,
        max(left.values(), default=0),
        {unit: set(numbers) for unit, numbers in pieces.items() if unit in left},
    )


def _kept_units(kept: Iterable[KeptPlan]) -> tuple[set[int], dict[int, dict[int, int]]]:
    """Return the units that are kept completely, and the minutes of kept pieces by unit and number.

    A unit is kept completely if a plan keeps it uncut or if all of its pieces are kept.
    """
    whole: set[int] = set()
    pieces: dict[int, dict[int, int]] = defaultdict(dict)
    expected: dict[int, int] = {}
    for plan in kept:
        if plan.parts == 1:
            whole.update(range(plan.first_unit, plan.last_kept_unit + 1))
        elif plan.last_kept_unit >= plan.first_unit:
            minutes = plan.end_minute - plan.start_minute - plan.wrap_up_minutes
            pieces[plan.first_unit][plan.part] = minutes
            expected[plan.first_unit] = plan.parts
    whole.update(unit for unit, numbers in pieces.items() if len(numbers) >= expected[unit])
    return whole, pieces
