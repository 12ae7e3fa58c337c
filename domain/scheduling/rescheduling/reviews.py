"""Reviews follow what they review: those of a cycle change only if its set of units changes.

A unit belongs to the cycle in which it is studied. Where a changed review goes is decided in
``review_places``, and when a missed one is caught up in ``review_offers``.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from fractions import Fraction
from functools import cached_property
from itertools import chain
from math import inf
from typing import TypeAlias

from domain.scheduling.begun_reviews import begun_reviews
from domain.scheduling.calendar import DayKind
from domain.scheduling.demand import Demand, Problem
from domain.scheduling.layout.comfort import comfort_of
from domain.scheduling.layout.review_units import Review
from domain.scheduling.rescheduling.review_offers import ReviewOffers
from domain.scheduling.rescheduling.review_places import ReviewPlaces
from domain.scheduling.rescheduling.standing import (
    behind_reviews,
    counted_whole,
    kept_by_content,
    unfinished_units,
    within_period,
)
from domain.scheduling.rescheduling.timetable import RowsByContent, Timetable
from domain.scheduling.result import PlanWarning
from domain.scheduling.review import (
    Studied,
    kept_within,
    not_among,
    studied_by_cycle,
    timely_reviews,
    unreviewed,
)
from domain.scheduling.rows import Row, row_of
from domain.scheduling.spans import Span, merged, without
from domain.scheduling.types import KeptPlan, PlanKind

Key: TypeAlias = tuple[int, int]
"""A cycle and the position of a content."""


class Follow:
    """Changes the reviews in a timetable after the study rows have changed.

    ``demands`` are by position. Only cycles are compared of which a study row has changed.
    """

    def __init__(
        self, problem: Problem, demands: Mapping[int, Demand], timetable: Timetable
    ) -> None:
        self.problem = problem
        self.demands = demands
        self.timetable = timetable
        factor = Fraction(problem.request.factors.review)
        self._places = ReviewPlaces(timetable, comfort_of(problem.request), factor)
        self._cycles = [day.cycle for day in problem.days]
        self._kept = kept_by_content(problem.request)
        pieces = begun_reviews(kept_within(problem.request), problem)
        begun = {unit for found in pieces.values() for unit in found}
        # The rest of a review of which a piece is kept, and not all, stands as it is.
        self._reviews: dict[int, list[Row]] = defaultdict(list)
        for content, rows in timetable.reviews().items():
            for row in rows:
                if row.parts == 1 or (content, row.first_unit) not in begun:
                    self._reviews[content].append(row)
        self._review_days = [
            day for day in sorted(problem.rooms) if problem.days[day].kind is DayKind.REVIEW
        ]
        self._buffer: dict[int, set[int]] = defaultdict(set)
        """The study days on which a cycle without review days is reviewed, by cycle."""
        self._lacking: list[tuple[int, Review]] = []
        """Reviews that have no minutes, each with its cycle."""

    def follow(
        self, before: RowsByContent, after: RowsByContent, hit: Sequence[Row], missed: Sequence[Row]
    ) -> list[PlanWarning]:
        """Change the reviews whose units differ, then offer the missed ones again.

        What is left of part done reviews is offered like them, in every reschedule until it is
        planned. ``before`` and ``after`` have the study rows by content; those before include
        missed ones. ``hit`` has the reviews that lost their time.
        """
        self._find_buffer(hit)
        changed = {one for one in self.demands if before.get(one, ()) != after.get(one, ())}
        touched = self._touched(before, after, changed)
        hit_keys = {self._key(row) for row in hit}
        keys = hit_keys.union(self._keys_behind_reviews(after))
        planned = list(self._reviews_in_doubt(changed, after))
        new = self._studied(after, touched.union(keys, (key for key, _ in planned)))
        old = self._studied(before, touched, is_whole=True)
        keys.update(key for key in touched if self._differs(old, new, key))
        keys.update(key for key, row in planned if _is_early(row, _ranges(new, key)))
        others = [one for key in sorted(keys) for one in self._of_other_cycles(key, new, hit)]
        warnings = [
            found
            for key in sorted(keys)
            for found in self._renew(key, new, {} if key in hit_keys else old)
        ]
        offers = self._offers()
        for row in others:
            was_planned = row in self._reviews.get(row.content, ())
            warnings += offers.restore(row, self._key(row)[0], may_stay=was_planned)
        for row in missed:
            warnings += offers.offer(row, self._key(row)[0])
        warnings += self._offered_rests(offers, missed)
        return [*warnings, *self._unreviewed()]

    def offer_rests(self) -> list[PlanWarning]:
        """Offer only what is left of part done reviews, and return what could not be placed."""
        return [*self._offered_rests(self._offers(), ())]

    def has_early_review(self, rows: RowsByContent) -> bool:
        """Whether a review that may be changed is not after the study of all its units."""
        return any(self._may_be_early(reviews, rows) for reviews in self._reviews.values())

    def _offers(self) -> ReviewOffers:
        return ReviewOffers(
            self.demands,
            self._kept,
            self.timetable,
            self._places,
            days=self._review_days,
            start=self.problem.request.period_start,
        )

    def _offered_rests(self, offers: ReviewOffers, missed: Iterable[Row]) -> Iterator[PlanWarning]:
        for row in sorted(self._rests(missed)):
            yield from offers.offer(row, self._key(row)[0], earliest=row.day)

    def _find_buffer(self, hit: Iterable[Row]) -> None:
        """Find the study days that had reviews."""
        days, rooms = self.problem.days, self.problem.rooms
        for row in (*chain.from_iterable(self._reviews.values()), *hit):
            if row.day in rooms and days[row.day].kind is DayKind.STUDY:
                self._buffer[self._cycles[row.day]].add(row.day)

    def _rests(self, missed: Iterable[Row]) -> Iterator[Row]:
        """Yield what is left of the part done reviews, as rows on their days.

        Without the units of ``missed`` and of renewed reviews, which have been tried already.
        """
        tried: dict[int, list[Span]] = defaultdict(list)
        for row in missed:
            tried[row.content].append((row.first_unit, row.last_unit + 1))
        for _, review in self._lacking:
            tried[review.content].append(review.units)
        start = self.problem.request.period_start
        for content in self._kept.keys() & self.demands.keys():
            for plan in self._kept[content]:
                if plan.kind is PlanKind.REVIEW and plan.done_through is not None:
                    rest = plan.done_through + 1, plan.last_unit + 1
                    for first, stop in without([rest], tried[content]):
                        row = row_of(plan, (plan.date - start).days)
                        yield row._replace(first_unit=first, last_unit=stop - 1)

    def _unreviewed(self) -> Iterator[PlanWarning]:
        """Yield a warning for what the renewed reviews lack, unless it was offered after that."""
        for cycle, review in self._lacking:
            planned = self.timetable.of(review.content, PlanKind.REVIEW)
            spans = [(row.first_unit, row.last_unit + 1) for row in planned]
            for units in without([review.units], spans):
                yield unreviewed(cycle, Review.of(review.demand, units, []))

    def _of_other_cycles(self, key: Key, studied: Studied, hit: Iterable[Row]) -> Iterator[Row]:
        """Yield what the reviews of a key have of units that are studied in other cycles.

        They were missed there, and have been offered again. The renewal of this key drops them.
        """
        own = merged(units for units, _ in _ranges(studied, key))
        for row in (*self._reviews.get(key[1], ()), *hit):
            if self._key(row) == key:
                for first, stop in without([(row.first_unit, row.last_unit + 1)], own):
                    yield row._replace(first_unit=first, last_unit=stop - 1)

    def _reviews_in_doubt(
        self, changed: Container[int], after: RowsByContent
    ) -> Iterator[tuple[Key, Row]]:
        """Yield the planned reviews that may be early, each with its key."""
        for content, reviews in self._reviews.items():
            if content in changed or self._may_be_early(reviews, after):
                for row in reviews:
                    yield self._key(row), row

    def _keys_behind_reviews(self, after: RowsByContent) -> Iterator[Key]:
        """Yield the keys of study that was moved by hand behind a review of the same units."""
        start = self.problem.request.period_start
        for content, day in behind_reviews(self._reviews, after, self._kept, start):
            yield self._cycles[within_period(day, self._cycles)], content

    def _touched(
        self, before: RowsByContent, after: RowsByContent, changed: Iterable[int]
    ) -> set[Key]:
        """Return the keys of which the units may differ.

        :param changed: the contents of which study rows differ.
        """
        touched: set[Key] = set()
        cut: set[int] = set()
        for content, own in self._kept.items():
            part_done = [plan for plan in own if plan.done_through is not None]
            touched.update(map(self._kept_key, part_done))
            if any(plan.parts > 1 for plan in part_done):
                cut.add(content)
        for content in changed:
            differing = set(before.get(content, ())).symmetric_difference(after.get(content, ()))
            touched.update(map(self._key, differing))
            if any(row.parts > 1 for row in differing):
                cut.add(content)
        # A unit in pieces belongs to the cycle of its last piece, whichever of them has changed.
        for content in cut:
            touched.update(self._keys_of_pieces(content, before, after))
        return touched

    def _keys_of_pieces(
        self, content: int, before: RowsByContent, after: RowsByContent
    ) -> Iterator[Key]:
        for row in chain(before.get(content, ()), after.get(content, ())):
            if row.parts > 1:
                yield self._key(row)
        for plan in self._kept.get(content, ()):
            if plan.parts > 1:
                yield self._kept_key(plan)

    def _studied(
        self, rows: RowsByContent, keys: AbstractSet[Key], *, is_whole: bool = False
    ) -> Studied:
        """Return what is studied of the keys; what has other keys may be missing.

        :param is_whole: whether part done plans count as a whole.
        """
        if not keys:
            return {}
        days = self.problem.days
        contents = {content for _, content in keys}
        own = [
            row if 0 <= row.day < len(days) else row._replace(day=within_period(row.day, days))
            for content in contents
            for row in rows.get(content, ())
            if row.parts > 1 or self._key(row) in keys
        ]
        kept = [
            (counted_whole(plan) if is_whole else plan, self._kept_day(plan))
            for content in contents
            for plan in self._kept.get(content, ())
            if plan.parts > 1 or self._kept_key(plan) in keys
        ]
        return studied_by_cycle(kept, self.problem.demands, days, own)

    def _may_be_early(self, reviews: Sequence[Row], rows: RowsByContent) -> bool:
        """Whether a review is not after the last day on which its units are studied, if any are.

        ``reviews`` are those of one content.
        """
        content = reviews[0].content
        demand = self.demands[content]
        first = demand.content.first_unit
        last_days: list[float] = [inf] * len(demand.minutes)
        studied = [(row.day, row.first_unit, row.last_unit) for row in rows.get(content, ())]
        start = self.problem.request.period_start
        studied += [
            ((plan.date - start).days, plan.first_unit, plan.last_kept_unit)
            for plan in self._kept.get(content, ())
            if plan.kind is PlanKind.STUDY
        ]
        for day, low, high in sorted(studied):
            units = slice(max(0, low - first), max(0, high + 1 - first))
            last_days[units] = [day] * len(last_days[units])
        for unit in unfinished_units(demand, rows.get(content, ())):
            last_days[unit - first] = inf
        return any(
            max(last_days[max(0, row.first_unit - first) : row.last_unit + 1 - first], default=0)
            >= row.day
            for row in reviews
        )

    def _renew(self, key: Key, studied: Studied, known: Studied) -> Iterator[PlanWarning]:
        cycle, position = key
        demand = self.demands[position]
        old = [row for row in self._reviews.get(position, ()) if self._key(row) == key]
        self.timetable.remove(old)
        days = [
            day for day in self._review_days if day < demand.stop and self._cycles[day] == cycle
        ] or [day for day in sorted(self._buffer[cycle]) if day < demand.stop]
        reviews, late = timely_reviews([demand], studied.get(cycle, {}), days)
        if not days and not old:
            # What the cycle had before has no review since it was planned, and was reported then.
            late = not_among(late, _ranges(known, key))
        rows, warnings = self._places.renewed(cycle, reviews, days, old)
        self.timetable.add(rows)
        yield from warnings
        self._lacking += [(cycle, one) for one in [*reviews, *late] if not one.minutes]

    @cached_property
    def _first_review_day(self) -> dict[int, int]:
        """The first review day of each cycle that has one."""
        days = enumerate(self.problem.days)
        reviews = [(index, day.cycle) for index, day in days if day.kind is DayKind.REVIEW]
        return {cycle: index for index, cycle in reversed(reviews)}

    def _differs(self, old: Studied, new: Studied, key: Key) -> bool:
        before, after = _ranges(old, key), _ranges(new, key)
        return sorted(before) != sorted(after) and self._units(before, key) != self._units(
            after, key
        )

    def _units(self, ranges: Sequence[tuple[Span, int]], key: Key) -> tuple[list[Span], list[Span]]:
        """Return the units that a cycle has studied before its first review day, and the others.

        The others, on a day without study time after it, are not reviewed.
        """
        cycle, _ = key
        first = self._first_review_day.get(cycle, len(self.problem.days))
        timely = merged(units for units, day in ranges if day < first)
        return timely, merged(units for units, day in ranges if day >= first)

    def _key(self, row: Row) -> Key:
        return self._cycles[within_period(row.day, self._cycles)], row.content

    def _kept_key(self, plan: KeptPlan) -> Key:
        return self._cycles[self._kept_day(plan)], plan.content

    def _kept_day(self, plan: KeptPlan) -> int:
        return within_period((plan.date - self.problem.request.period_start).days, self._cycles)


def _is_early(review: Row, studied: Iterable[tuple[Span, int]]) -> bool:
    """Whether units of a planned review are not studied before it in its cycle.

    A plan that was missed by hand leaves such a review behind, in whatever cycle its units are
    caught up.
    """
    before = merged(units for units, day in studied if day < review.day)
    return bool(without([(review.first_unit, review.last_unit + 1)], before))


def _ranges(studied: Studied, key: Key) -> Sequence[tuple[Span, int]]:
    cycle, position = key
    return studied.get(cycle, {}).get(position, ())
