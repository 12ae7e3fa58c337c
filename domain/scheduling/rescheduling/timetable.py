"""The rows that stand, by day and content, and the time that they leave free."""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import TypeAlias

from domain.scheduling.placement import Room
from domain.scheduling.rows import Row
from domain.scheduling.spans import contains, merged, without
from domain.scheduling.types import Content, PlanKind

RowsByContent: TypeAlias = Mapping[int, Sequence[Row]]
"""Rows by the position of their content."""


class Timetable:
    """The planned rows of all contents in the rooms that kept and other plans leave."""

    def __init__(
        self,
        rooms: Mapping[int, Room],
        rows: Iterable[Row],
        base: Mapping[int, int],
        wrapped_up: Container[tuple[int, int]] = (),
    ) -> None:
        self._rooms = rooms
        self._base = base
        self._wrapped_up = wrapped_up
        self._longest: dict[int, int] = {}
        self._rows: dict[int, list[Row]] = defaultdict(list)
        self.add(rows)

    def copy(self) -> "Timetable":
        """Return a timetable with the same rows, which can be changed separately."""
        copied = Timetable(self._rooms, (), self._base, self._wrapped_up)
        copied._longest = self._longest
        copied._rows.update((day, list(rows)) for day, rows in self._rows.items())
        return copied

    def with_others(self, rooms: Mapping[int, Room], rows: Iterable[Row]) -> "Timetable":
        """Return a timetable of the same kept plans with other rooms and rows."""
        return Timetable(rooms, rows, self._base, self._wrapped_up)

    @property
    def rows(self) -> list[Row]:
        """All rows in order of time."""
        return sorted(row for rows in self._rows.values() for row in rows)

    def of(self, content: int, kind: PlanKind) -> list[Row]:
        """Return the rows of a content in order of time."""
        return sorted(
            row
            for rows in self._rows.values()
            for row in rows
            if row.content == content and row.kind is kind
        )

    def reviews(self) -> dict[int, list[Row]]:
        """Return the reviews of each content that has some."""
        found: dict[int, list[Row]] = {}
        for rows in self._rows.values():
            for row in rows:
                if row.kind is PlanKind.REVIEW:
                    found.setdefault(row.content, []).append(row)
        return found

    def remove(self, rows: Iterable[Row]) -> None:
        """Remove rows; their time becomes free."""
        for row in rows:
            self._rows[row.day].remove(row)

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        for row in rows:
            self._rows[row.day].append(row)

    def free(self, day: int, ignored: Collection[int] = (), *, reserve: bool = True) -> Room:
        """Return the free time of a day, as if the study rows of ``ignored`` contents were not
        there."""
        room = self._rooms.get(day)
        if room is None:
            return Room((), ())
        holes = [
            (row.start, row.stop)
            for row in self._rows.get(day, ())
            if row.content not in ignored or row.kind is not PlanKind.STUDY
        ]
        study = without(room.study, holes) if holes else room.study
        if not reserve:
            return Room(study, ())
        return Room(study, without(room.reserve, holes) if holes else room.reserve)

    def room(self, day: int) -> Room:
        """Return the free time of a day, as if no rows were there."""
        return self._rooms.get(day) or Room((), ())

    def longest(self, day: int) -> int:
        """Return the length of the longest span of a day, as if no rows were there."""
        if day not in self._longest:
            self._longest[day] = max(self.room(day).lengths(), default=0)
        return self._longest[day]

    def minutes(self, day: int, content: int) -> int:
        """Return the minutes of study of a content on a day, wrap-up included."""
        return sum(
            row.stop - row.start
            for row in self._rows.get(day, ())
            if row.content == content and row.kind is PlanKind.STUDY
        )

    def wrap_up(self, day: int, content: Content) -> int:
        """Return the minutes of wrap-up of a content on a day, 0 if a kept plan has it."""
        return 0 if (day, content.position) in self._wrapped_up else content.wrap_up_minutes

    def load(self, day: int, content: int) -> int:
        """Return the minutes of study on a day, kept and planned, without those of ``content``."""
        return self._base.get(day, 0) + sum(
            row.stop - row.start
            for row in self._rows.get(day, ())
            if row.kind is PlanKind.STUDY and row.content != content
        )

    def is_idle(self, row: Row) -> bool:
        """Whether a row lies in time that is open, and that no row has."""
        return holds(self.free(row.day), row)

    def is_free(self, row: Row) -> bool:
        """Whether a row lies in time that is open, apart from the other rows."""
        return holds(self.room(row.day), row)


def holds(room: Room, row: Row) -> bool:
    """Whether a row lies within adjacent spans of a room."""
    span = (row.start, row.stop)
    if contains(room.study, span):
        return True
    return bool(room.reserve) and contains(merged([*room.study, *room.reserve]), span)


def study_by_content(rows: Iterable[Row]) -> RowsByContent:
    """Return the study rows among rows, by content in the given order."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        if row.kind is PlanKind.STUDY:
            found.setdefault(row.content, []).append(row)
    return found
