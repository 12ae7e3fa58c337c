"""Checks of which units are reviewed, of the even deal, and of the reported quality."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import ceil

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import Balance, KeptPlan, PlanKind
from tests.unit.scheduling.checking.amounts import half_up, runs
from tests.unit.scheduling.checking.case import Case, Slot, listed, name, units
from tests.unit.scheduling.checking.flows import fits, least_peak
from tests.unit.scheduling.checking.levels import least_level
from tests.unit.scheduling.checking.units import check_pieces, coverage


def check_reviews(case: Case) -> Iterator[str]:
    """Check the reviews of every cycle against the units that were studied in it."""
    studied = Studied(case)
    for cycle in sorted(studied.cycles | {row.cycle for row in case.reviews}):
        for position in case.contents:
            yield from _content(case, studied, cycle, position)


class Studied:
    """The units of each content that each cycle studied, and when each was completed."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.new: dict[tuple[int, int], dict[int, date]] = defaultdict(dict)
        self.kept: dict[tuple[int, int], dict[int, date]] = defaultdict(dict)
        for row in case.study:
            if row.parts == 1:
                self.new[row.cycle, row.content].update(dict.fromkeys(units(row), row.date))
        for plan in case.request.kept:
            if plan.kind is PlanKind.STUDY and plan.parts == 1:
                kept = range(plan.first_unit, plan.last_kept_unit + 1)
                cycle = case.world.cycle_of(plan.date)
                self.kept[cycle, plan.content].update(dict.fromkeys(kept, plan.date))
        self._add_pieces()

    def _add_pieces(self) -> None:
        """Add the units in pieces, unless one is unplaced, on the last day of a piece."""
        unplaced = {
            (item.content, unit)
            for item in self.case.schedule.unplaced
            for unit in range(item.first_unit, item.last_unit + 1)
        }
        pieces: dict[tuple[int, int], list[ScheduledPlan | KeptPlan]] = defaultdict(list)
        both: list[ScheduledPlan | KeptPlan] = [*self.case.study, *self.case.request.kept]
        for plan in both:
            if plan.kind is PlanKind.STUDY and plan.parts > 1:
                pieces[plan.content, plan.first_unit].append(plan)
        for (position, unit), own in pieces.items():
            if (position, unit) not in unplaced:
                last = max(own, key=lambda piece: piece.date)
                is_new = any(isinstance(piece, ScheduledPlan) for piece in own)
                found = self.new if is_new else self.kept
                found[self.case.world.cycle_of(last.date), position][unit] = last.date

    @cached_property
    def cycles(self) -> set[int]:
        """The cycles in which units are studied."""
        return {cycle for cycle, _ in (*self.new, *self.kept)}

    def units(self, cycle: int, position: int) -> dict[int, date]:
        """Return the dates of all units, new or kept, of a content that the cycle studied."""
        return {**self.kept[cycle, position], **self.new[cycle, position]}

    def reviewable(self, cycle: int, position: int) -> list[int]:
        """Return the units that are studied before the last review day that the content has.

        It is the last one that the cycle has left before the content's deadline.
        """
        days = self.case.world.review_days(cycle, self.case.contents[position])
        last = max(days, default=date.min)
        return sorted(unit for unit, day in self.units(cycle, position).items() if day < last)


def _content(case: Case, studied: Studied, cycle: int, position: int) -> Iterator[str]:
    rows = [row for row in case.reviews if (row.cycle, row.content) == (cycle, position)]
    when = studied.units(cycle, position)
    for row in rows:
        early = [unit for unit in units(row) if when.get(unit, date.max) >= row.date]
        if early:
            yield f"{name(row)} covers units {listed(early)} that its cycle has not studied before"
    pieces = kept_pieces(case, cycle, position)
    yield from check_pieces(rows, pieces)
    yield from _coverage(case, studied, cycle, position)
    # Units that the cycle studies after its first review, in a reserve, divide its ranges, and so
    # do those that a kept review or a kept piece of one covers.
    begun = min((row.date for row in rows), default=date.max)
    kept = kept_reviews(case, cycle, position) + Counter(list(pieces))
    for first, last in runs(unit for unit, day in when.items() if day < begun and unit not in kept):
        within = [row for row in rows if first <= row.first_unit and row.last_unit <= last]
        yield from _one_row_per_span(case, within)


def _coverage(case: Case, studied: Studied, cycle: int, position: int) -> Iterator[str]:
    rows = [row for row in case.reviews if (row.cycle, row.content) == (cycle, position)]
    covered = coverage(rows)
    kept = kept_reviews(case, cycle, position)
    unreviewed = _unreviewed(case, position)
    # Kept reviews are not those of this schedule, so they may cover a unit twice.
    twice = {unit for unit, times in covered.items() if times > 1 or kept[unit]}
    if twice:
        yield f"units {listed(twice)} of content {position} are reviewed twice in cycle {cycle}"
    wanted = set(studied.reviewable(cycle, position))
    if case.request.review_days and case.study:
        wanted |= set(studied.new[cycle, position])
    missing = wanted - set(covered) - set(kept) - unreviewed
    if missing:
        yield (
            f"units {listed(missing)} of content {position} have neither a review nor a warning "
            f"in cycle {cycle}"
        )
    both = unreviewed & set(covered) & set(studied.units(cycle, position))
    if both:
        yield f"units {listed(both)} of content {position} are reviewed but reported as unreviewed"


def kept_reviews(case: Case, cycle: int, position: int) -> Counter[int]:
    """Count how often the kept reviews of a cycle cover each unit of a content.

    All pieces of the review of a unit together cover it once, and some of them do not.
    """
    begun = kept_pieces(case, cycle, position)
    plans = _kept_plans(case, cycle, position)
    pieces = {plan.first_unit for plan in plans if plan.parts > 1}
    return Counter(pieces - begun.keys()) + Counter(
        unit
        for plan in plans
        if plan.parts == 1
        for unit in range(plan.first_unit, plan.last_kept_unit + 1)
    )


def kept_pieces(case: Case, cycle: int, position: int) -> dict[int, dict[int, int]]:
    """Return the minutes of the kept pieces of reviews of which others are missing, by number."""
    found: dict[int, dict[int, int]] = defaultdict(dict)
    parts: dict[int, int] = {}
    for plan in _kept_plans(case, cycle, position):
        if plan.parts > 1:
            found[plan.first_unit][plan.part] = plan.end_minute - plan.start_minute
            parts[plan.first_unit] = max(plan.parts, parts.get(plan.first_unit, 0))
    factor, minutes = Fraction(case.request.factors.review), case.amounts[position].minutes
    return {
        unit: own
        for unit, own in found.items()
        if len(own) < parts[unit] and sum(own.values()) < half_up(factor * minutes.get(unit, 0))
    }


def _kept_plans(case: Case, cycle: int, position: int) -> list[KeptPlan]:
    reviews = (plan for plan in case.request.kept if plan.kind is PlanKind.REVIEW)
    return [
        plan
        for plan in reviews
        if plan.content == position and case.world.cycle_of(plan.date) == cycle
    ]


def _unreviewed(case: Case, position: int) -> set[int]:
    return {
        unit
        for data in case.warnings("unreviewed")
        if data["content"] == position
        for unit in range(int(str(data["first_unit"])), int(str(data["last_unit"])) + 1)
    }


def _one_row_per_span(case: Case, rows: list[ScheduledPlan]) -> Iterator[str]:
    """Check that the review of a contiguous range is divided only at ends of spans and pauses."""
    used: dict[Slot | None, ScheduledPlan] = {}
    for before, after in pairwise(rows):
        continued = before.last_unit == after.first_unit and before.part + 1 == after.part
        if after.first_unit <= before.last_unit and not continued:
            yield f"{name(after)} is not in ascending order after {name(before)}"
    for row in rows:
        slot = case.slot_of(row)
        is_pause = case.is_balanced and slot in used and row.start_minute > used[slot].end_minute
        if slot in used and slot and row.parts == used[slot].parts == 1 and not is_pause:
            yield f"{name(used[slot])} and {name(row)} should be one row"
        used[slot] = row


def even_counts(total: int, days: int) -> list[int]:
    """Return the number of units that the even deal gives to each day.

    The cumulative counts are ``total * day / days``, rounded half up. If there are fewer units than
    days, each unit is on the day in the middle of its equal share of the days.
    """
    if not days:
        return []
    if total < days:
        used = [(2 * unit + 1) * days // (2 * total) for unit in range(total)]
        return [used.count(day) for day in range(days)]
    ends = [(2 * total * day + days) // (2 * days) for day in range(days + 1)]
    return [end - start for start, end in pairwise(ends)]


def check_evenness(case: Case) -> Iterator[str]:
    """Check the even deal, the warnings about shortages, and the quality.

    ``balanced`` has no even deal, so only which days may be reported as a shortage is checked.
    """
    if not case.is_balanced:
        yield from _deal(case)
    yield from _shortage(case)
    yield from _quality(case)


def even_deal(case: Case) -> dict[int, dict[date, list[int]]]:
    """Return the even deal of the remaining units: content → own day → units."""
    deal: dict[int, dict[date, list[int]]] = {}
    for position, content in case.contents.items():
        days = case.world.own_days(content)
        rest = list(case.amounts[position].remaining)
        deal[position] = {}
        for day, count in zip(days, even_counts(len(rest), len(days)), strict=True):
            deal[position][day], rest = rest[:count], rest[count:]
    return deal


def _deal(case: Case) -> Iterator[str]:
    deal = even_deal(case)
    if not all(_surely_fits(case, deal, day) for day in case.world.study_days()):
        return
    for position, days in deal.items():
        if not days:
            continue
        pieces = Counter(row.first_unit for row in case.study_of(position) if row.parts > 1)
        if any(count > 1 for count in pieces.values()):  # the other pieces of one may be kept
            yield f"content {position} is split although the even deal fits"
        found = Counter(dict.fromkeys(days, 0))
        for row in case.study_of(position):
            found[row.date] += len(units(row))
        expected = {day: len(part) for day, part in days.items()}
        if dict(found) != expected:
            yield (
                f"content {position}: the even deal {list(expected.values())} fits, "
                f"but the days have {[found[day] for day in sorted(found)]}"
            )


def _surely_fits(case: Case, deal: dict[int, dict[date, list[int]]], day: date) -> bool:
    """Whether a day's deal fits into its study time however the units are arranged.

    Every span except the last may waste almost the longest unit. The condition is sufficient and
    not necessary: if a day does not meet it, the even deal is not checked at all.
    """
    dealt_units = {p: days[day] for p, days in deal.items() if days.get(day)}
    if not dealt_units:
        return True
    longest = max(case.amounts[p].left[unit] for p, part in dealt_units.items() for unit in part)
    count = sum(1 for slot in case.slots[day] if not slot[3])
    room = len(case.world.free(day, reserve=False))
    return day_need(case, deal, day) <= room - (count - 1) * (longest - 1)


def day_need(
    case: Case, deal: dict[int, dict[date, list[int]]], day: date, *, wrap_ups: bool = True
) -> int:
    """Return the minutes dealt to a day, with or without the wrap-ups."""
    return sum(
        case.amounts[p].cost_left(days[day]) + (case.contents[p].wrap_up_minutes if wrap_ups else 0)
        for p, days in deal.items()
        if days.get(day)
    )


def _shortage(case: Case) -> Iterator[str]:
    """Check that a shortage is reported for each day that is dealt more than its study time.

    It is reported only if something is unplaced or in the reserve. The reported need may include
    the wrap-ups or not.
    """
    deal = even_deal(case)
    reported = {str(data["date"]): data for data in case.warnings("shortage")}
    known = {str(day) for day in case.world.study_days()}
    if set(reported) - known:
        yield f"a shortage is reported for {set(reported) - known}, which are not study days"
    if not case.schedule.unplaced and not any(row.reserve for row in case.study):
        if reported:
            yield f"a shortage is reported for {set(reported)}, but all study is in study time"
        return
    for day in case.world.study_days():
        free = len(case.world.free(day, reserve=False))
        least, most = (day_need(case, deal, day, wrap_ups=w) for w in (False, True))
        data = reported.get(str(day))
        if data is None and least > free:
            yield f"{day} was dealt {least} min and has {free}, but no shortage is reported"
        if data is not None and most <= free:
            yield f"{day} was dealt {most} min and has {free}, but a shortage is reported"
        if data is not None and (data["free"] != free or data["need"] not in (least, most)):
            yield f"the shortage of {day} is {least} or {most} of {free} min, reported as {data}"


def _quality(case: Case) -> Iterator[str]:
    days = case.world.study_days()
    kept = [p for p in case.request.kept if p.kind is PlanKind.STUDY and p.date >= case.world.first]
    load = Counter(dict.fromkeys(days, 0))
    fixed = dict.fromkeys(days, 0)
    for row in case.study:
        load[row.date] += row.minutes
    for plan in kept:
        load[plan.date] += plan.end_minute - plan.start_minute
        if plan.date in fixed:
            fixed[plan.date] += plan.end_minute - plan.start_minute
    quality = case.schedule.quality
    loads = [load[day] for day in days] or [0]
    if (quality.peak, quality.spread) != (max(loads), max(loads) - min(loads)):
        yield f"peak {max(loads)} and spread {max(loads) - min(loads)} are reported as {quality}"
    needs = {p: a.cost_left(case.placed(p)) for p, a in case.amounts.items() if case.placed(p)}
    # The spare days are among the days of the bound only if the schedule uses them.
    usable = case.open_days if case.on_spare_days else case.planned_days
    outside = sum(row.minutes for row in case.study if row.date not in fixed)
    possible = fits(needs, usable, case.room)  # ``least_peak`` does not end otherwise
    bound = least_peak(needs, usable, case.room, fixed, outside) if possible else 0
    # Under ``balanced``, the bound may include the minimums of goal 4.
    most = bound
    if case.is_balanced and possible:
        level = least_level(case.world, case.amounts, needs, Balance.MINUTES)
        most = max(bound, ceil(level or 0))
    if not bound <= quality.least_peak <= most:
        yield f"the least peak is {bound}, but is reported as {quality.least_peak}"
    if quality.peak < quality.least_peak:
        yield f"the peak {quality.peak} is below the least peak {quality.least_peak}"
    outside = sum(row.minutes for row in case.study if row.reserve)
    outside += sum(plan.end_minute - plan.start_minute for plan in kept if plan.reserve)
    if quality.reserve != outside:
        yield f"{outside} min of study use the reserve, but {quality.reserve} are reported"
