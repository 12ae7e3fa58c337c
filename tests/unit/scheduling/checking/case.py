"""A request with its schedule, what all checks derive from them, and checks of dates and times."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import pairwise

from domain.scheduling.result import Schedule, ScheduledPlan
from domain.scheduling.types import (
    MINUTES_PER_DAY,
    Allocation,
    Content,
    PlanKind,
    Request,
    Strategy,
)
from tests.unit.scheduling.checking.amounts import Amounts, amounts_of
from tests.unit.scheduling.checking.world import World, spans

Slot = tuple[date, int, int, bool]
"""A free span: its date, start minute and end minute, and whether it is reserve."""


@dataclass(frozen=True)
class Case:
    """A request and its schedule."""

    request: Request
    schedule: Schedule
    uses_buffer: bool = False
    """Whether the buffer days are days of the contents although no row is on them."""

    @cached_property
    def world(self) -> World:
        """The calendar of the request, with the shifts that the schedule has chosen.

        If everything is placed, all buffer days are no days of the contents, unless any is used: a
        schedule keeps all of them free, or none.
        """
        world = World(self.request, self.schedule.day_shifts)
        count = self.request.buffer_days
        if not self.is_balanced or self.schedule.unplaced or self.uses_buffer:
            return world
        shut = {p: set(world.buffer_days(one, count)) for p, one in self.contents.items()}
        is_used = any(row.date in shut[row.content] for row in self.study)
        return world if is_used else replace(world, buffer=count)

    @property
    def is_balanced(self) -> bool:
        """Whether the strategy of the request is ``balanced``."""
        return self.request.strategy is Strategy.BALANCED

    @cached_property
    def amounts(self) -> dict[int, Amounts]:
        """The units and minutes of the contents, by position."""
        return amounts_of(self.request)

    @cached_property
    def contents(self) -> dict[int, Content]:
        """The contents, by position."""
        return {content.position: content for content in self.request.contents}

    @cached_property
    def rows(self) -> list[ScheduledPlan]:
        """All rows by time, regardless of their order in the schedule."""
        return sorted(
            self.schedule.plans, key=lambda row: (row.date, row.start_minute, row.sequence)
        )

    @cached_property
    def study(self) -> list[ScheduledPlan]:
        """The new study rows by time."""
        return [row for row in self.rows if row.kind is PlanKind.STUDY]

    @cached_property
    def reviews(self) -> list[ScheduledPlan]:
        """The new review rows by time."""
        return [row for row in self.rows if row.kind is PlanKind.REVIEW]

    @cached_property
    def on_spare_days(self) -> list[ScheduledPlan]:
        """The new study rows on days without study time."""
        spare = {day.date for day in self.world.days.values() if day.kind == "no_time"}
        return [row for row in self.study if row.date in spare]

    def study_of(self, position: int) -> list[ScheduledPlan]:
        """Return the new study rows of a content by time."""
        return [row for row in self.study if row.content == position]

    def placed(self, position: int) -> list[int]:
        """Return the distinct units of the new study rows of a content, in order."""
        return sorted({unit for row in self.study_of(position) for unit in units(row)})

    @cached_property
    def slots(self) -> dict[date, list[Slot]]:
        """The free spans of every day before any new row is placed."""
        return {
            day: sorted(
                (day, start, end, reserve)
                for reserve in (False, True)
                for start, end in spans(self.world.free(day, reserve=reserve))
            )
            for day in self.world.days
        }

    def rows_on(self, day: date) -> list[ScheduledPlan]:
        """Return the rows of a day by time."""
        return self._rows_by_day.get(day, [])

    @cached_property
    def _rows_by_day(self) -> dict[date, list[ScheduledPlan]]:
        found: dict[date, list[ScheduledPlan]] = defaultdict(list)
        for row in self.rows:
            found[row.date].append(row)
        return found

    @cached_property
    def own_days(self) -> dict[int, list[date]]:
        """The study days of each content, by position."""
        return {p: self.world.own_days(content) for p, content in self.contents.items()}

    def slot_of(self, row: ScheduledPlan) -> Slot | None:
        """Return the free span that contains a row, or ``None``."""
        for slot in self.slots.get(row.date, []):
            _, start, end, reserve = slot
            if start <= row.start_minute and row.end_minute <= end and reserve == row.reserve:
                return slot
        return None

    @cached_property
    def open_days(self) -> dict[int, list[date]]:
        """The days that each content may use, by position, the spare days included."""
        return {p: self.world.open_days(content) for p, content in self.contents.items()}

    @cached_property
    def planned_days(self) -> dict[int, list[date]]:
        """The days that each content may use, by position, without the spare days."""
        return {p: self.world.planned_days(content) for p, content in self.contents.items()}

    @cached_property
    def needs(self) -> dict[int, int]:
        """The remaining minutes of each content, by position."""
        return {p: amounts.cost_left(amounts.remaining) for p, amounts in self.amounts.items()}

    def first_unplaced(self, position: int) -> int | None:
        """Return the first remaining unit of a content that the schedule does not place."""
        placed = set(self.placed(position))
        rest = (unit for unit in self.amounts[position].remaining if unit not in placed)
        return next(rest, None)

    @cached_property
    def room(self) -> dict[date, int]:
        """The free minutes of every day, study time and reserve."""
        return {day: self.world.room(day) for day in self.world.days}

    def warnings(self, code: str) -> Iterator[dict[str, object]]:
        """Return the data of each warning with a code."""
        return (dict(warning.data) for warning in self.schedule.warnings if warning.code == code)


def units(row: ScheduledPlan) -> range:
    """Return the units of a row."""
    return range(row.first_unit, row.last_unit + 1)


def name(row: ScheduledPlan) -> str:
    """Return the description of a row in a violation."""
    piece = f" part {row.part}/{row.parts}" if row.parts > 1 else ""
    where = f"{row.date} {clock(row.start_minute)}-{clock(row.end_minute)}"
    return f"{row.kind} {row.content}:{row.first_unit}-{row.last_unit}{piece} on {where}"


def clock(minute: int) -> str:
    """Return a minute of the day as HH:MM."""
    return f"{minute // 60:02}:{minute % 60:02}"


def listed(numbers: Collection[int]) -> str:
    """Return the first eight numbers as text, with an ellipsis if there are more."""
    head = ", ".join(str(number) for number in sorted(numbers)[:8])
    return head + (" …" if len(numbers) > 8 else "")


def check_places(case: Case) -> Iterator[str]:
    """Check the order of the rows, and the date and time of each row."""
    yield from _sequence(case)
    for row in case.rows:
        yield from _span(row)
        yield from _day(case, row)
        yield from _free_time(case, row)
    yield from _overlaps(case)
    yield from _gaps(case)
    yield from _order_within_days(case)
    yield from _strategy_days(case)
    yield from _idle_study_time(case)


def _sequence(case: Case) -> Iterator[str]:
    plans = case.schedule.plans
    if [row.sequence for row in plans] != list(range(1, len(plans) + 1)):
        yield "the sequence numbers do not count the rows from 1"
    if any((a.date, a.start_minute) > (b.date, b.start_minute) for a, b in pairwise(plans)):
        yield "the rows are not in order of time"
    for earlier, later in pairwise(case.rows):
        if earlier.week > later.week or earlier.cycle > later.cycle:
            yield f"the week or cycle decreases from {name(earlier)} to {name(later)}"


def _span(row: ScheduledPlan) -> Iterator[str]:
    if not 0 <= row.start_minute < row.end_minute <= MINUTES_PER_DAY:
        yield f"{name(row)} has no minutes or exceeds its day"
    if not 0 <= row.wrap_up_minutes <= row.minutes:
        yield f"{name(row)} has an impossible wrap-up of {row.wrap_up_minutes} min"


def _day(case: Case, row: ScheduledPlan) -> Iterator[str]:
    day = case.world.days.get(row.date)
    if day is None or row.date < case.world.first:
        yield f"{name(row)} lies outside the period or before today"
        return
    expected = (day.week, day.cycle, day.cycle_day)
    if (row.week, row.cycle, row.cycle_day) != expected:
        yield f"{name(row)} does not have the week, cycle and cycle day {expected}"
    if row.kind is PlanKind.REVIEW and day.kind != "review" and not _is_owed(case, row):
        yield f"{name(row)} is not on a review day"
    if row.date >= case.world.stop(case.contents[row.content]):
        yield f"{name(row)} is on or after the deadline of its content"
    if day.kind == "no_time" and not row.reserve:
        yield f"{name(row)} is on a day without study time, but not in its reserve"
    if row.kind is PlanKind.STUDY and row.date not in case.open_days.get(row.content, []):
        yield f"{name(row)} is not on a day of its content"
    if day.kind == "holiday" and not _may_use_holidays(case, row):
        yield f"{name(row)} is on a holiday that is not open to its content"


def _is_owed(case: Case, row: ScheduledPlan) -> bool:
    """Whether a review is on a buffer day because its cycle has no review day left."""
    content = case.contents[row.content]
    has_review_day = bool(case.world.review_days(row.cycle, content))
    is_buffer = row.date in case.world.buffer_days(content, case.world.buffer)
    return is_buffer and bool(case.request.review_days) and not has_review_day


def _may_use_holidays(case: Case, row: ScheduledPlan) -> bool:
    content = case.contents[row.content]
    return row.reserve and content.allocation is Allocation.WEAKNESS


def _free_time(case: Case, row: ScheduledPlan) -> Iterator[str]:
    outside = set(range(row.start_minute, row.end_minute)) - case.world.free(
        row.date, reserve=row.reserve
    )
    if outside:
        kind = "reserve" if row.reserve else "study time"
        yield f"{name(row)} uses {len(outside)} min that are not free {kind}"


def _overlaps(case: Case) -> Iterator[str]:
    for first, second in pairwise(case.rows):
        if first.date == second.date and second.start_minute < first.end_minute:
            yield f"{name(first)} and {name(second)} overlap"


def _gaps(case: Case) -> Iterator[str]:
    """Check that a row begins with its span or at the end of another row.

    Free time is used from its earliest minute on, so no gap is left before a row. The days of
    ``balanced`` have gaps for which its own rules give the reasons.
    """
    if case.is_balanced:
        return
    ends = {(row.date, row.end_minute) for row in case.rows}
    for row in case.rows:
        slot = case.slot_of(row)
        if slot and row.start_minute != slot[1] and (row.date, row.start_minute) not in ends:
            yield f"{name(row)} has a gap before it"


def _order_within_days(case: Case) -> Iterator[str]:
    """Check the order of contents on days that use a single span.

    With several spans, a later content may fill the end of an earlier span, so the order differs.
    The days of ``balanced`` have an order of their own.
    """
    if case.is_balanced:
        return
    by_day: dict[object, list[ScheduledPlan]] = defaultdict(list)
    for row in case.study:
        by_day[row.date].append(row)
    for day, rows in by_day.items():
        if len({case.slot_of(row) for row in rows}) == 1:
            ranks = [_rank(case, row) for row in rows]
            if ranks != sorted(ranks):
                yield f"the rows of {day} are not ordered by allocation and position"


def _rank(case: Case, row: ScheduledPlan) -> tuple[bool, int]:
    return case.contents[row.content].allocation is not Allocation.WEAKNESS, row.content


def _strategy_days(case: Case) -> Iterator[str]:
    """Check the number of days per cycle; days without study time do not count."""
    for position, content in case.contents.items():
        if content.allocation is not Allocation.STRATEGY:
            continue
        used: dict[int, set[object]] = defaultdict(set)
        for row in case.study_of(position):
            if row not in case.on_spare_days:
                used[row.cycle].add(row.date)
        for cycle, days in used.items():
            if len(days) > (content.weekly_days or 0):
                yield f"content {position} is studied on {len(days)} days of cycle {cycle}"


def _idle_study_time(case: Case) -> Iterator[str]:
    """Check that a content uses the study time of all its days before the reserve.

    This is checked only if all units of the content have the same minutes and none is cut. Requests
    with wrap-ups are not checked, because a session may use the reserve for a complete wrap-up.
    """
    if any(content.wrap_up_minutes for content in case.request.contents):
        return
    for position, amounts in case.amounts.items():
        rows = case.study_of(position)
        if not any(row.reserve for row in rows) or any(row.parts > 1 for row in rows):
            continue
        if not amounts.is_uniform:
            continue
        unit = amounts.left[amounts.remaining[0]]
        for day in case.world.own_days(case.contents[position]):
            used = {
                m
                for row in case.rows
                if row.date == day
                for m in range(row.start_minute, row.end_minute)
            }
            idle = case.world.free(day, reserve=False) - used
            if any(end - start >= unit for start, end in spans(idle)):
                yield f"content {position} uses the reserve while study time of {day} is idle"
