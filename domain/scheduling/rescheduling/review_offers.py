"""Missed reviews: each is offered on the next review day with room.

What is left of a part done review is offered like a missed one.

Offered are the units that are done and not planned for review elsewhere, after the reviews of all
cycles have been renewed. What is offered then lies in a later cycle than that of its units, and
stays there as long as they are due. The cost for each review is a few sums per review day.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from domain.scheduling.demand import Demand
from domain.scheduling.layout.review_units import Review
from domain.scheduling.rescheduling.review_places import ReviewPlaces
from domain.scheduling.rescheduling.timetable import Timetable
from domain.scheduling.result import PlanWarning
from domain.scheduling.review import unreviewed
from domain.scheduling.rows import Row
from domain.scheduling.spans import Span, merged, without
from domain.scheduling.types import KeptPlan, PlanKind


class ReviewOffers:
    """Adds reviews to a timetable in which those of all cycles have been renewed.

    ``demands`` and the plans in ``kept`` are by position, ``days`` are the review days that are
    planned, in order, and ``start`` is the first date of the period.
    """

    def __init__(
        self,
        demands: Mapping[int, Demand],
        kept: Mapping[int, Sequence[KeptPlan]],
        timetable: Timetable,
        places: ReviewPlaces,
        *,
        days: Sequence[int],
        start: date,
    ) -> None:
        self._demands, self._kept, self._days, self._start = demands, kept, days, start
        self._timetable, self._places = timetable, places
        self._free: dict[int, int] = {}
        self._reviewed: dict[int, list[Span]] = {}
        self._done: dict[int, list[tuple[Span, int]]] = {}

    def offer(self, row: Row, cycle: int, *, earliest: int = 0) -> Iterator[PlanWarning]:
        """Place a missed review of a cycle on the next review day with room.

        :param earliest: a day before which it is not placed.
        """
        demand = self._demands[row.content]
        due = self._still_due(row)
        if not due and self._is_begun(row):
            # What is missing of the unit cannot be planned alone.
            yield unreviewed(cycle, Review.of(demand, (row.first_unit, row.last_unit + 1), []))
        for units in due:
            review, minutes = self._places.whole(demand, units)
            if not minutes:
                yield unreviewed(cycle, review)
                continue
            first = max(earliest, self._first_day(demand, units))
            for day in self._days:
                if first <= day < demand.stop and self._free_minutes(day) >= minutes:
                    room = self._timetable.free(day)
                    self._add(row.content, self._places.offered(review, day, room))
                    break
            else:
                yield unreviewed(cycle, review)

    def _is_begun(self, row: Row) -> bool:
        """Whether another piece of the review of a unit is kept."""
        return row.parts > 1 and any(
            (plan.kind, plan.first_unit) == (PlanKind.REVIEW, row.first_unit) and plan.parts > 1
            for plan in self._kept.get(row.content, ())
        )

    def restore(self, row: Row, cycle: int, *, may_stay: bool) -> Iterator[PlanWarning]:
        """Place a review again that a renewal has dropped.

        :param may_stay: whether it stays in its place if that is free and all of it is still due.
        """
        free, units = self._timetable.free(row.day), (row.first_unit, row.last_unit + 1)
        if (
            may_stay
            and self._still_due(row) == [units]
            and not without([(row.start, row.stop)], merged([*free.study, *free.reserve]))
        ):
            self._add(row.content, [row])
        else:
            yield from self.offer(row, cycle)

    def _free_minutes(self, day: int) -> int:
        if day not in self._free:
            self._free[day] = self._timetable.free(day).minutes
        return self._free[day]

    def _add(self, content: int, rows: Sequence[Row]) -> None:
        planned = self._planned_units(content)
        self._timetable.add(rows)
        for row in rows:
            self._free.pop(row.day, None)
            planned.append((row.first_unit, row.last_unit + 1))

    def _still_due(self, row: Row) -> list[Span]:
        """Return the units of a review that are done before its day and not planned for review.

        What is done later belongs to the cycle of that day.
        """
        demand = self._demands[row.content]
        content = demand.content
        span = max(row.first_unit, content.first_unit), min(row.last_unit, content.last_unit) + 1
        if span[0] >= span[1]:
            return []
        studied = merged(units for units, day in self._studied(demand) if day < row.day)
        done = without([span], without([span], studied))
        return without(done, merged(self._planned_units(row.content)))

    def _planned_units(self, content: int) -> list[Span]:
        """Return the units of the reviews of a content, kept and planned."""
        if content not in self._reviewed:
            planned = self._timetable.of(content, PlanKind.REVIEW)
            kept = (plan for plan in self._kept.get(content, ()) if plan.kind is PlanKind.REVIEW)
            self._reviewed[content] = [
                *((row.first_unit, row.last_unit + 1) for row in planned),
                *((plan.first_unit, plan.last_kept_unit + 1) for plan in kept),
            ]
        return self._reviewed[content]

    def _first_day(self, demand: Demand, units: Span) -> int:
        """Return the first day after the study of units, some of which may be pinned to later."""
        studied = self._studied(demand)
        return 1 + max(day for one, day in studied if one[0] < units[1] and units[0] < one[1])

    def _studied(self, demand: Demand) -> list[tuple[Span, int]]:
        """Return the ranges of a content that are kept, without units of which a piece is not."""
        content = demand.content.position
        if content not in self._done:
            self._done[content] = [
                ((plan.first_unit, plan.last_kept_unit + 1), (plan.date - self._start).days)
                for plan in self._kept.get(content, ())
                if plan.kind is PlanKind.STUDY and plan.first_unit not in demand.kept_pieces
            ]
        return self._done[content]
