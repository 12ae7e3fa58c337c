"""Where the reviews of a content in a cycle go after their units have changed.

They shrink or grow in their place, and move if that does not hold them. If fewer rows change so,
the rows of which all units are still reviewed stay instead, and the other units are placed beside
them, unless these would have to be shortened. In a group with ``comfort``, what begins
elsewhere has pauses to other rows and five-minute marks, as far as the days have the room.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from fractions import Fraction

from domain.scheduling.demand import Demand
from domain.scheduling.layout.comfort import Comfort
from domain.scheduling.layout.day_sessions import SHORTEST_REVIEW
from domain.scheduling.layout.review_units import Review
from domain.scheduling.layout.reviews import lay_out_reviews
from domain.scheduling.placement import Room
from domain.scheduling.rescheduling.session import OpenDay, within
from domain.scheduling.rescheduling.timetable import Timetable
from domain.scheduling.result import PlanWarning
from domain.scheduling.review import set_minutes
from domain.scheduling.rows import Row
from domain.scheduling.spans import Span, without
from domain.scheduling.types import MINUTES_PER_DAY


class ReviewPlaces:
    """Finds rows for reviews in the time that a timetable leaves free, without adding them."""

    def __init__(self, timetable: Timetable, comfort: Comfort | None, factor: Fraction) -> None:
        self._timetable = timetable
        self._comfort = comfort
        self._factor = factor

    def renewed(
        self, cycle: int, reviews: Sequence[Review], days: Sequence[int], old: Sequence[Row]
    ) -> tuple[list[Row], list[PlanWarning]]:
        """Return the rows of reviews of one content, and a warning if they are shortened.

        The minutes of the reviews are set. ``old`` has the rows that they had, whose time is free.
        """
        free = self._free(days)
        warnings = self._set_minutes(cycle, reviews, free)
        planned = [review for review in reviews if review.minutes]
        rows = self._placed(planned, free, old)
        if not warnings and (changes := _changes(rows, old)) > 1:
            beside = self._beside(cycle, planned, days, old)
            if beside is not None and _changes(beside, old) < changes:
                rows = beside
        return rows, warnings

    def whole(self, demand: Demand, units: Span) -> tuple[Review, int]:
        """Return the review of a range of units, and its minutes if none are missing."""
        review = Review.of(demand, units, [])
        review.minutes = int(review.study * self._factor + Fraction(1, 2))
        return review, review.minutes

    def offered(self, review: Review, day: int, room: Room) -> list[Row]:
        """Return the rows of a review in the free time of one day."""
        review.days = [day]
        return self._laid_out([review], {day: room}, self._comfort, {})

    def _beside(
        self, cycle: int, reviews: Sequence[Review], days: Sequence[int], old: Sequence[Row]
    ) -> list[Row] | None:
        """Return the rows of which all units are still reviewed, and rows for the other units.

        ``None`` if no row stays, or if the others do not fit unshortened.
        """
        units = [review.units for review in reviews]
        staying = _complete(
            [
                row
                for row in old
                if row.day in days and not without([(row.first_unit, row.last_unit + 1)], units)
            ]
        )
        if not staying:
            return None
        rest = [
            Review.of(reviews[0].demand, span, days)
            for span in without(units, [(row.first_unit, row.last_unit + 1) for row in staying])
        ]
        self._timetable.add(staying)
        free = self._free(days)
        self._timetable.remove(staying)
        is_shortened = self._set_minutes(cycle, rest, free)
        shortest = SHORTEST_REVIEW if self._comfort else 1
        if is_shortened or any(review.minutes < shortest for review in rest):
            return None
        whole = _spans_of(free, sum(review.minutes for review in rest))
        return [*staying, *self._placed(rest, whole or free, old)]

    def _free(self, days: Sequence[int]) -> dict[int, Room]:
        return {day: self._timetable.free(day) for day in days}

    def _set_minutes(
        self, cycle: int, reviews: Sequence[Review], free: Mapping[int, Room]
    ) -> list[PlanWarning]:
        minutes = {day: room.minutes for day, room in free.items()}
        return set_minutes(self._factor, cycle, reviews, minutes)

    def _placed(
        self, reviews: Sequence[Review], free: Mapping[int, Room], old: Sequence[Row]
    ) -> list[Row]:
        """Return the rows of reviews, from the place of the old rows on if it holds them.

        ``free`` has the free time of the review days of their cycle.
        """
        need = sum(review.minutes for review in reviews)
        if not need:
            return []
        if old:
            place = min(old)
            rooms = {
                day: room if day > place.day else within(room, (place.start, MINUTES_PER_DAY))
                for day, room in free.items()
                if day >= place.day
            }
            if sum(room.minutes for room in rooms.values()) >= need:
                for review in reviews:
                    review.days = list(rooms)
                edges = {minute for row in old for minute in (row.start, row.stop)}
                return self._laid_out(reviews, rooms, None, {place.day: edges})
        return self._laid_out(reviews, free, self._comfort, {})

    def _laid_out(
        self,
        reviews: Sequence[Review],
        rooms: Mapping[int, Room],
        comfort: Comfort | None,
        own: Mapping[int, Container[int]],
    ) -> list[Row]:
        """Return the rows of reviews, with pauses before and after other rows if that cuts nothing.

        ``own`` has the minutes of a day at which the old rows begin or end.
        """
        need = sum(review.minutes for review in reviews)
        ways = [rooms]
        if self._comfort is not None:
            eased = {day: self._eased(day, room, own.get(day, ())) for day, room in rooms.items()}
            if sum(room.minutes for room in eased.values()) >= need:
                ways.insert(0, eased)
        return min((lay_out_reviews(reviews, list(way), way, comfort) for way in ways), key=len)

    def _eased(self, day: int, room: Room, own: Container[int]) -> Room:
        open_day = OpenDay(room, self._timetable.room(day), self._comfort)
        return next(open_day.rooms(room, own))


def _changes(rows: Sequence[Row], old: Sequence[Row]) -> int:
    """Return at how many minutes rows begin that are new, or changed, or gone."""
    return len({(row.day, row.start) for row in set(rows).symmetric_difference(old)})


def _spans_of(free: Mapping[int, Room], minutes: int) -> dict[int, Room]:
    """Return the rooms with only the spans of study time that hold so many minutes, if any do."""
    rooms = {
        day: Room([span for span in room.study if span[1] - span[0] >= minutes], ())
        for day, room in free.items()
    }
    return rooms if any(room.study for room in rooms.values()) else {}


def _complete(rows: Sequence[Row]) -> list[Row]:
    """Return the rows without the pieces of units of which other pieces are not among them."""
    pieces = Counter(row.first_unit for row in rows if row.parts > 1)
    return [row for row in rows if row.parts == 1 or pieces[row.first_unit] >= row.parts]
