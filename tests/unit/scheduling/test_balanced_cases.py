"""``balanced`` on requests as tutors enter them, each with the whole kind that it stands for."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from statistics import mean

import pytest

from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Content, Factors, PlanKind, Request
from tests.unit.scheduling.build import (
    DAILY,
    block,
    book,
    checked_schedule,
    custom,
    make_request,
    on,
    reserve,
    study,
    worked_example,
)
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.day_layout import joinable_reviews
from tests.unit.scheduling.checking.explanations import fullness_of
from tests.unit.scheduling.checking.sittings import sittings
from tests.unit.scheduling.corpus import balanced


def group(*contents: Content, period: str, **options: object) -> Request:
    """Return a balanced request with the usual factors and without lunch."""
    usual = {"non_study_blocks": (), "factors": Factors(), **options}
    return balanced(make_request(*contents, period=period, **usual))


def minutes_of_study_days(request: Request, result: Schedule) -> Mapping[date, int]:
    """Return the minutes of study of every study day."""
    load = Counter(dict.fromkeys(Case(request, result).world.study_days(), 0))
    for row in result.plans:
        if row.kind is PlanKind.STUDY:
            load[row.date] += row.minutes
    return load


def books(count: int, weekly: int, pages: int = 180) -> list[Content]:
    """Return strategies of equal size."""
    return [book(1, pages, 4, weekly=weekly, position=i) for i in range(1, count + 1)]


# --- strategies-all-on-the-same-three-days -------------------------------------------

MONTH = "2026-06-01..2026-06-28"
EVENING = block(17, 22)


def test_four_strategies_of_three_days_get_six_days_of_about_two_hours() -> None:
    request = group(*books(4, weekly=3), period=MONTH, blocks=EVENING)
    load = minutes_of_study_days(request, checked_schedule(request))
    assert len(load) == 24
    assert all(abs(minutes - 120) <= 4 for minutes in load.values())


@pytest.mark.parametrize(
    ("count", "weekly", "review_days"), [(2, 3, 1), (6, 3, 1), (3, 2, 1), (6, 2, 1), (3, 4, 1)]
)
def test_equal_strategies_that_divide_the_cycle_fill_all_days_equally(
    count: int, weekly: int, review_days: int
) -> None:
    contents = books(count, weekly, pages=120)
    request = group(*contents, period=MONTH, blocks=EVENING, cycle=(6, review_days))
    load = minutes_of_study_days(request, checked_schedule(request))
    expected = count * 120 * 4 / 24
    assert all(abs(minutes - expected) <= 8 for minutes in load.values())


# --- four-hours-without-a-break ------------------------------------------------------

LONG_EVENINGS = group(
    book(1, 101, 7),
    book(1, 133, 4, weekly=4, position=2),
    book(1, 119, 4, weekly=4, position=3),
    book(1, 95, 6, weekly=4, position=4),
    period="2026-06-01..2026-06-14",
    blocks=EVENING,
)


@pytest.mark.parametrize("longest", [50, 60, 90, 100, 120])
@pytest.mark.parametrize("pause", [5, 10, 15])
def test_long_evenings_have_pauses(longest: int, pause: int) -> None:
    request = replace(LONG_EVENINGS, longest_sitting=longest, pause_minutes=pause)
    case = Case(request, checked_schedule(request))
    for day in case.world.study_days():
        assert all(one.minutes <= longest for one in sittings(case, day))


@pytest.mark.parametrize("sitting", [30, 100])
@pytest.mark.parametrize("minutes", [5, 7, 40])
def test_pauses_of_no_minutes_cut_no_session(sitting: int, minutes: int) -> None:
    request = balanced(
        make_request(
            book(1, 720 // minutes, minutes), book(1, 60, 4, position=2, weekly=3), cycle=(6, 1)
        )
    )
    result = checked_schedule(replace(request, longest_sitting=sitting, pause_minutes=0))
    rows = [row for content in (1, 2) for row in study(result, content)]
    spans = Counter((row.content, row.date, row.start_minute < 12 * 60) for row in rows)
    assert {*spans.values()} == {1}


def test_long_evenings_begin_their_rows_on_five_minute_marks() -> None:
    request = replace(LONG_EVENINGS, blocks=block(16, 23))
    result = checked_schedule(request)
    # Review days are full: their reviews are even shrunk.
    rows = [row for row in result.plans if row.kind is PlanKind.STUDY]
    assert [row for row in rows if row.start_minute % 5] == []


# --- tiny-rows-by-rule ---------------------------------------------------------------

WEEKS_14 = "2026-03-02..2026-06-07"


@pytest.mark.parametrize("shortest", [10, 15, 20, 30])
@pytest.mark.parametrize(("pages", "words"), [(12, 40), (30, 100), (5, 12)])
def test_small_contents_get_few_sessions_instead_of_short_ones(
    shortest: int, pages: int, words: int
) -> None:
    request = group(
        book(1, pages, 6),
        book(1, words, 3, weekly=3, position=2),
        period=WEEKS_14,
        blocks=block(18, 21),
        shortest_session=shortest,
    )
    case = Case(request, checked_schedule(request))
    found: Counter[tuple[int, date]] = Counter()
    for row in case.study:
        found[row.content, row.date] += row.minutes
    assert min(found.values()) >= min(shortest, *case.needs.values())
    if shortest >= 15:
        assert all(row.minutes >= 5 for row in case.reviews)


def test_small_weakness_is_studied_on_as_many_days_as_its_units_allow() -> None:
    request = group(book(1, 12, 6), period=WEEKS_14, blocks=block(18, 21))
    load = minutes_of_study_days(request, checked_schedule(request))
    assert sorted(minutes for minutes in load.values() if minutes) == [21, 21, 22, 22]


def test_small_weaknesses_are_studied_on_different_days() -> None:
    """Each has only one unit, and the days have the same time, so that no day has two of them."""
    small = [book(1, 1, 60, position=position) for position in (1, 2, 3)]
    request = group(*small, book(1, 12, 10, weekly=4, position=4), period="2026-06-01..2026-06-06",
                    blocks=block(17, 20))  # fmt: skip
    load = minutes_of_study_days(request, checked_schedule(request))
    assert max(load.values()) <= 80


# --- review-rows-of-one-minute -------------------------------------------------------


@pytest.mark.parametrize("minutes", [10, 20, 40])
@pytest.mark.parametrize("cycle", [(6, 1), (5, 2), (4, 2)])
def test_short_reviews_join_others(minutes: int, cycle: tuple[int, int]) -> None:
    request = group(
        book(1, 80, 5),
        book(1, 60, 4, weekly=3, position=2),
        book(1, 30, 4, weekly=3, position=3),
        period="2026-06-01..2026-06-28",
        blocks=block(19, 21, (1, 2, 3, 4, 5)) + block(13, 13 + minutes / 60, (0, 6)),
        cycle=cycle,
    )
    result = schedule(request)
    assert list(joinable_reviews(Case(request, result))) == []


def test_review_of_a_short_review_day_breaks_no_rule() -> None:
    request = group(
        book(1, 80, 5),
        book(1, 60, 4, weekly=3, position=2),
        book(1, 30, 4, weekly=3, position=3),
        period="2026-06-01..2026-06-14",
        blocks=block(19, 21, DAILY[1:]) + block(13, 13 + 1 / 6, DAILY[:1]),
    )
    checked_schedule(request)


# --- the rules that hold for both strategies -----------------------------------------

BOTH = {
    "one-long-unit-starves-and-its-days-stay-empty": group(
        custom(1, 1, 900),
        book(1, 120, 5, weekly=3, position=2),
        book(1, 60, 10, weekly=2, position=3),
        period="2026-06-01..2026-06-07",
        blocks=EVENING,
        factors=Factors(weakness=Decimal(1)),
    ),
    "overfull-pages-of-two-minutes-cut-into-one-minute-rows": group(
        book(1, 300, 2), period="2026-07-06..2026-07-09", blocks=block(21, 21.5)
    ),
    "weekend-self-study-never-opens": group(
        book(1, 730, 2),
        period="2026-07-01..2026-08-31",
        blocks=block(21, 21.5, DAILY[1:6]) + reserve(10, 12, (0, 6)),
    ),
    "only-self-study-blocks-give-nothing-placed": group(
        book(1, 200, 4), period="2026-07-01..2026-08-31", blocks=reserve(10, 14, (0, 6))
    ),
    "exam-date-inside-period-is-ignored": group(
        book(1, 200, 5),
        period="2026-09-01..2026-09-28",
        blocks=block(18, 21),
        target_date=on("2026-09-15"),
    ),
    "shortage-warned-though-everything-is-placed": group(
        custom(1, 12, 35),
        custom(1, 3, 60, weekly=2, position=2),
        period="2026-10-29..2026-11-04",
        blocks=block(17, 18) + block(20, 21),
    ),
}


@pytest.mark.parametrize("name", BOTH)
def test_balanced_keeps_the_rules_of_both_strategies(name: str) -> None:
    checked_schedule(BOTH[name])


def test_balanced_month_of_the_worked_example_has_no_day_far_above_the_mean() -> None:
    request = balanced(worked_example())
    result = checked_schedule(request)
    full = list(fullness_of(Case(request, result)).values())
    assert max(full) <= Fraction(13, 10) * mean(full)


# --- settings ------------------------------------------------------------------------


def test_given_shift_is_obeyed() -> None:
    contents = books(3, weekly=2)
    for shift in range(6):
        given = replace(contents[1], day_shift=shift)
        request = group(contents[0], given, contents[2], period=MONTH, blocks=EVENING)
        assert checked_schedule(request).day_shifts[2] == shift


def test_buffer_days_have_no_study_as_long_as_everything_fits_without_them() -> None:
    request = replace(LONG_EVENINGS, blocks=block(14, 22), buffer_days=2)
    result = checked_schedule(request)
    studied = {row.date for row in result.plans if row.kind is PlanKind.STUDY}
    assert max(studied) < on("2026-06-12")
    full = replace(request, blocks=block(18, 22))
    assert checked_schedule(full).unplaced == ()
