"""A day gets only so many minutes, unless the days after it do not hold the rest."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import accumulate, chain, product
from typing import Any

import pytest

from domain.scheduling.difference import place_of
from domain.scheduling.rescheduling import standing
from domain.scheduling.rescheduling.catching_up import AT_ONCE
from domain.scheduling.rescheduling.reschedule import CatchUp
from domain.scheduling.rounding import even_deal
from tests.unit.scheduling.build import block, book, make_request, off, on
from tests.unit.scheduling.lives import Life, next_day, places


def minutes_after_missing(missed: date, how: CatchUp, minutes_per_day: int = 180) -> list[int]:
    """Return the minutes of each later day of a book with an hour a day on twelve days."""
    life = Life(
        make_request(
            book(1, 144, 5),
            period="01-06..01-17",
            cycle=(6, 0),
            blocks=block(10, 10 + minutes_per_day / 60),
            non_study_blocks=(),
        )
    )
    life.do(missed)
    found = life.reschedule(next_day(missed), how=how)
    assert found.unplaced == ()
    minutes: Counter[date] = Counter()
    for plan in found.plans:
        minutes[plan.date] += plan.end_minute - plan.start_minute
    return [minutes[day] for day in sorted(minutes)]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (CatchUp.SOONEST, [90, 90, 60, 60, 60, 60, 60, 60, 60, 60]),
        (CatchUp.SPREAD, [75, 75, 75, 75, 60, 60, 60, 60, 60, 60]),
    ],
)
def test_day_gets_at_most_its_limit(how: CatchUp, expected: list[int]) -> None:
    assert minutes_after_missing(on("01-07"), how) == expected


@pytest.mark.parametrize("how", list(CatchUp))
def test_limit_is_exceeded_only_by_what_later_days_do_not_hold(how: CatchUp) -> None:
    limit = {CatchUp.SOONEST: 90, CatchUp.SPREAD: 75}[how]
    assert minutes_after_missing(on("01-16"), how) == [120]
    assert minutes_after_missing(on("01-15"), how) == [max(limit, 120 - (limit - 60)), limit]


@pytest.mark.parametrize(("how", "fourths"), [(CatchUp.SOONEST, 6), (CatchUp.SPREAD, 5)])
@pytest.mark.parametrize("spans", [(45, 45), (50, 35), (35, 50), (25, 25, 25, 25), (70, 20)])
def test_limit_is_not_exceeded_if_later_days_hold_the_rest_in_spans_whose_ends_are_wasted(
    how: CatchUp, fourths: int, spans: tuple[int, ...]
) -> None:
    starts = range(10, 10 + len(spans))
    blocks = [block(hour, hour + length / 60) for hour, length in zip(starts, spans, strict=True)]
    tried = 0
    for minutes, units, missed in product((7, 8, 15, 20), (9, 12, 18, 24, 30, 36), (1, 2)):
        request = make_request(
            book(1, units, minutes),
            period="01-06..01-11",
            cycle=(6, 0),
            blocks=tuple(chain.from_iterable(blocks)),
            non_study_blocks=(),
        )
        life = Life(request)
        if life.baseline.unplaced or any(plan.parts > 1 for plan in life.planned):
            continue
        today = request.period_start + timedelta(missed)
        limits = {
            day: (life.baseline.given(day) if how is CatchUp.SPREAD else max(life.baseline.minutes))
            * fourths
            // 4
            for day in (today + timedelta(later) for later in range(6 - missed))
        }
        held = sum(length // minutes for length in spans)
        left = units - sum(min(held, limit // minutes) for limit in limits.values())
        found = life.reschedule(today, how=how)
        load: Counter[date] = Counter()
        for plan in found.plans:
            load[plan.date] += plan.minutes
        if left <= 0 and any(load.values()):
            tried += 1
            assert {day: load[day] for day in limits if load[day] > limits[day]} == {}
    assert tried


def test_free_time_is_a_limit_too() -> None:
    assert minutes_after_missing(on("01-07"), CatchUp.SOONEST, 70)[:7] == [70] * 6 + [60]


def test_rest_of_a_plan_that_is_part_done_in_advance_is_due_on_its_day() -> None:
    """The exclusion moves the units of one day only, and not those before the part done plan."""
    request = make_request(
        book(1, 144, 5), period="01-06..01-17", cycle=(6, 0), blocks=block(10, 13)
    )
    life = Life(request)
    advance = next(plan for plan in life.planned if plan.date == on("01-13"))
    life.planned.remove(advance)
    life.done.append(advance.as_kept(advance.first_unit))
    excluded = replace(request, exclusions=off("01-08"))
    before = {place_of(plan) for plan in life.planned if on("01-10") <= plan.date < on("01-13")}
    found = life.reschedule(on("01-06"), request=excluded)
    assert before <= places(found.plans)
    assert found.unplaced == ()


class Counting(list[int]):
    """Counts of units whose reads are counted."""

    reads = 0

    def __getitem__(self, index: Any) -> Any:
        Counting.reads += 1
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[int]:
        for count in super().__iter__():
            Counting.reads += 1
            yield count


@pytest.mark.parametrize(("units", "days"), [(0, 3), (5, 0), (3, 7), (7, 7), (2000, 600)])
def test_units_that_were_never_planned_are_due_evenly(
    units: int, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "even_deal", lambda *numbers: Counting(even_deal(*numbers)))
    monkeypatch.setattr(Counting, "reads", 0)
    due = standing.even_due(units, days)
    assert Counting.reads <= units * (days.bit_length() + 1)
    if days:
        per_day = [due.count(day) for day in range(days)]
        assert list(accumulate(per_day)) == even_deal(units, days)
    else:
        assert due == [AT_ONCE] * units


@pytest.mark.parametrize(("minutes", "given"), [(65, 5), (60, 0)])
def test_wrap_up_that_is_shortened_is_reported(minutes: int, given: int) -> None:
    """The days hold three pages of 20 minutes, of which they get two and a wrap-up at first."""
    content = book(1, 8, 20, wrap_up_minutes=10)
    blocks = block(10, 10 + minutes / 60)
    life = Life(make_request(content, period="01-06..01-09", cycle=(6, 0), blocks=blocks))
    life.do(on("01-06"))
    found = life.reschedule(on("01-07"), how=CatchUp.SPREAD)
    warnings = [(one.code, one.data["date"], one.data["given"]) for one in found.warnings]
    shortened = [plan for plan in found.plans if plan.wrap_up_minutes < 10]
    assert [plan.wrap_up_minutes for plan in shortened] == [given] * 2
    assert warnings == [("wrap_up_shrunk", f"{plan.date}", given) for plan in shortened]
    assert life.reschedule(on("01-07")).warnings == ()
