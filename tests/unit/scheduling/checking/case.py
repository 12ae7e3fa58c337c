"""A request with its schedule, the views of them that checks need, and where its rows may lie."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise

from domain.scheduling.planning import Content, Request
from domain.scheduling.schedule import Schedule, ScheduledPlan
from domain.scheduling.vocabulary import MINUTES_PER_DAY, Allocation, PlanKind
from tests.unit.scheduling.checking.world import Amounts, World, amounts_of, spans

Slot = tuple[date, int, int, bool]


@dataclass(frozen=True)
class Case:
    """What a check looks at."""

    request: Request
    schedule: Schedule

    @cached_property
    def world(self) -> World:
        """The calendar."""
        return World(self.request)

    @cached_property
    def amounts(self) -> dict[int, Amounts]:
        """Units and minutes by position."""
        return amounts_of(self.request)

    @cached_property
    def contents(self) -> dict[int, Content]:
        """Contents by position."""
        return {content.position: content for content in self.request.contents}

    @cached_property
    def rows(self) -> list[ScheduledPlan]:
        """All rows by time, whatever order the schedule gave them."""
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

    def study_of(self, position: int) -> list[ScheduledPlan]:
        """The study rows of one content by time."""
        return [row for row in self.study if row.content == position]

    def placed(self, position: int) -> list[int]:
        """The units of a content that new study rows carry, each once."""
        return sorted({unit for row in self.study_of(position) for unit in units(row)})

    @cached_property
    def slots(self) -> dict[date, list[Slot]]:
        """The free spans of every day before anything new is placed."""
        return {
            day: sorted(
                (day, start, end, reserve)
                for reserve in (False, True)
                for start, end in spans(self.world.free(day, reserve=reserve))
            )
            for day in self.world.days
        }

    def slot_of(self, row: ScheduledPlan) -> Slot | None:
        """The free span that a row lies in."""
        for slot in self.slots.get(row.date, []):
            _, start, end, reserve = slot
            if start <= row.start_minute and row.end_minute <= end and reserve == row.reserve:
                return slot
        return None

    @cached_property
    def open_days(self) -> dict[int, list[date]]:
        """The days that each content may use."""
        return {p: self.world.open_days(content) for p, content in self.contents.items()}

    @cached_property
    def room(self) -> dict[date, int]:
        """What every day holds."""
        return {day: self.world.room(day) for day in self.world.days}

    def warnings(self, code: str) -> Iterator[dict[str, object]]:
        """The data of the warnings of one code."""
        return (dict(warning.data) for warning in self.schedule.warnings if warning.code == code)


def units(row: ScheduledPlan) -> range:
    """The units of a row."""
    return range(row.first_unit, row.last_unit + 1)


def name(row: ScheduledPlan) -> str:
    """How a violation names a row."""
    piece = f" part {row.part}/{row.parts}" if row.parts > 1 else ""
    where = f"{row.date} {clock(row.start_minute)}-{clock(row.end_minute)}"
    return f"{row.kind} {row.content}:{row.first_unit}-{row.last_unit}{piece} on {where}"


def clock(minute: int) -> str:
    """HH:MM."""
    return f"{minute // 60:02}:{minute % 60:02}"


def listed(numbers: Collection[int]) -> str:
    """Some numbers for a sentence, not too many."""
    head = ", ".join(str(number) for number in sorted(numbers)[:8])
    return head + (" …" if len(numbers) > 8 else "")


def check_places(case: Case) -> Iterator[str]:
    """Everything that a row's date and time can get wrong."""
    yield from _sequence(case)
    for row in case.rows:
        yield from _span(row)
        yield from _day(case, row)
        yield from _free_time(case, row)
    yield from _overlaps(case)
    yield from _gaps(case)
    yield from _order_in_a_day(case)
    yield from _strategy_days(case)
    yield from _idle_study_time(case)


def _sequence(case: Case) -> Iterator[str]:
    plans = case.schedule.plans
    if [row.sequence for row in plans] != list(range(1, len(plans) + 1)):
        yield "the sequence numbers do not count the rows from 1"
    if any((a.date, a.start_minute) > (b.date, b.start_minute) for a, b in pairwise(plans)):
        yield "the rows do not stand in order of time"
    for earlier, later in pairwise(case.rows):
        if earlier.week > later.week or earlier.cycle > later.cycle:
            yield f"week or cycle falls from {name(earlier)} to {name(later)}"


def _span(row: ScheduledPlan) -> Iterator[str]:
    if not 0 <= row.start_minute < row.end_minute <= MINUTES_PER_DAY:
        yield f"{name(row)} has no minute or leaves its day"
    if not 0 <= row.wrap_up_minutes <= row.minutes:
        yield f"{name(row)} has an impossible wrap-up of {row.wrap_up_minutes} min"


def _day(case: Case, row: ScheduledPlan) -> Iterator[str]:
    day = case.world.days.get(row.date)
    if day is None or row.date < case.world.first:
        yield f"{name(row)} lies outside the period or before today"
        return
    expected = (day.week, day.cycle, day.cycle_day)
    if (row.week, row.cycle, row.cycle_day) != expected:
        yield f"{name(row)} does not carry the week, cycle and cycle day {expected}"
    if row.kind is PlanKind.REVIEW and day.kind != "review":
        yield f"{name(row)} is not on a review day"
    if row.kind is PlanKind.STUDY and row.date not in case.open_days.get(row.content, []):
        yield f"{name(row)} is not on a day of its content"
    if day.kind == "holiday" and not _may_use_holidays(case, row):
        yield f"{name(row)} is on a holiday that is not open to it"


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
    """A row begins with its span or where another row ends: time goes from the earliest on."""
    ends = {(row.date, row.end_minute) for row in case.rows}
    for row in case.rows:
        slot = case.slot_of(row)
        if slot and row.start_minute != slot[1] and (row.date, row.start_minute) not in ends:
            yield f"{name(row)} leaves a gap before it"


def _order_in_a_day(case: Case) -> Iterator[str]:
    """With one span there is no leftover to fill, so the order of contents is plain."""
    by_day: dict[object, list[ScheduledPlan]] = defaultdict(list)
    for row in case.study:
        by_day[row.date].append(row)
    for day, rows in by_day.items():
        if len({case.slot_of(row) for row in rows}) == 1:
            ranks = [_rank(case, row) for row in rows]
            if ranks != sorted(ranks):
                yield f"on {day} weakness, then strategy by position, is not the order of the rows"


def _rank(case: Case, row: ScheduledPlan) -> tuple[bool, int]:
    return case.contents[row.content].allocation is not Allocation.WEAKNESS, row.content


def _strategy_days(case: Case) -> Iterator[str]:
    for position, content in case.contents.items():
        if content.allocation is not Allocation.STRATEGY:
            continue
        used: dict[int, set[object]] = defaultdict(set)
        for row in case.study_of(position):
            used[row.cycle].add(row.date)
        for cycle, days in used.items():
            if len(days) > (content.weekly_days or 0):
                yield f"content {position} is studied on {len(days)} days of cycle {cycle}"


def _idle_study_time(case: Case) -> Iterator[str]:
    """Study time of all own days comes first: plain to see where units are alike and whole.

    Only without wrap-ups, for a session may go to the reserve to keep its wrap-up whole.
    """
    if any(content.wrap_up_minutes for content in case.request.contents):
        return
    for position, amounts in case.amounts.items():
        rows = case.study_of(position)
        if not any(row.reserve for row in rows) or any(row.parts > 1 for row in rows):
            continue
        if not amounts.is_uniform:
            continue
        unit = amounts.minutes[amounts.remaining[0]]
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
