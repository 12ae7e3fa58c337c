"""A request with its schedule, and the few views of them that every check needs."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from domain.scheduling.planning import Content, Request
from domain.scheduling.schedule import Schedule, ScheduledPlan
from domain.scheduling.vocabulary import PlanKind
from tests.unit.scheduling.checking.amounts import Amounts, amounts_of
from tests.unit.scheduling.checking.calendar import World, spans

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

    def notices(self, code: str) -> Iterator[dict[str, object]]:
        """The data of the warnings of one code."""
        return (dict(notice.data) for notice in self.schedule.warnings if notice.code == code)


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
