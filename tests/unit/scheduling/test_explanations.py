"""Certificates, repairs and measures of quality are those of the schedule, and of no other."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain.errors import DomainError
from domain.scheduling.demand import Problem, problem_of, study_times
from domain.scheduling.explanation import repairs
from domain.scheduling.result import Certificate, Quality, Repair, RepairKind, Schedule, Unplaced
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Factors, Request, SpecialDay, Strategy, UnplacedReason
from tests.unit.scheduling.build import (
    block,
    book,
    busy,
    custom,
    lecture,
    make_request,
    on,
    reserve,
    row,
)
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.explanations import (
    check_certificate,
    check_measures,
    check_repairs,
    repaired,
    variation,
)
from tests.unit.scheduling.corpus import balanced, corpus, group_of
from tests.unit.scheduling.kept_strategies import kept_requests
from tests.unit.scheduling.odd_groups import odd_group
from tests.unit.scheduling.strategies import any_requests, tight_requests
from tests.unit.scheduling.test_oracle import long_rooms, tiny_request

OVERFULL = make_request(
    custom(1, 4, 30), period="01-06..01-07", blocks=block(10, "10:40"), cycle=(6, 0)
)
"""120 minutes for two days of 40 minutes, each of which holds one unit."""
CERTIFICATE = Certificate((1,), (on("01-06"), on("01-07")), 120, 80)
REPAIRS = (
    Repair(RepairKind.MINUTES_PER_DAY, 20, None),
    Repair(RepairKind.DAYS, 1, None),
    Repair(RepairKind.UNITS, 2, 1),
)
QUALITY = Quality(
    peak=30,
    least_peak=30,
    spread=0,
    reserve=0,
    fullness=750,
    least_fullness=750,
    variation=0,
    short_rows=0,
    slack_days=0,
)


def explained(**options: Any) -> Schedule:
    """Return a correct schedule of ``OVERFULL``, written by hand, with some fields changed."""
    unplaced = (Unplaced(1, 3, 4, 60, UnplacedReason.NO_ROOM),)
    plans = (row(1, 600, 630, 1, 1), row(2, 600, 630, 2, 2))
    valid = Schedule(plans, unplaced, (), QUALITY, certificate=CERTIFICATE, repairs=REPAIRS)
    return replace(valid, **options)


def all_violations(request: Request, result: Schedule) -> Iterator[str]:
    case = Case(request, result)
    yield from check_certificate(case)
    yield from check_repairs(case, schedule)
    yield from check_measures(case)


def measured(**options: int) -> Schedule:
    return explained(quality=replace(QUALITY, **options))


def certified(**options: Any) -> Schedule:
    return explained(certificate=replace(CERTIFICATE, **options))


def with_repair(*repair: Any) -> Schedule:
    return explained(repairs=(*REPAIRS[2:], Repair(*repair)))


def test_checker_accepts_a_correct_explanation() -> None:
    assert list(all_violations(OVERFULL, explained())) == []


VIOLATIONS: dict[str, tuple[Callable[[], Schedule], str]] = {
    "there is no certificate": (lambda: explained(certificate=None), "no certificate"),
    "a certificate has no contents": (lambda: certified(contents=()), "has the contents"),
    "a certificate has an unknown content": (lambda: certified(contents=(1, 2)), "has the conten"),
    "a certificate lacks a day": (lambda: certified(days=(on("01-06"),)), "has 1 days, not"),
    "a certificate does not add up": (lambda: certified(need=119), "need 120 and have 80"),
    "nothing is unplaced": (lambda: explained(unplaced=()), "but there is Certificate"),
    "repairs of nothing": (lambda: explained(unplaced=()), "but there are repairs"),
    "a repair is named twice": (lambda: explained(repairs=REPAIRS + REPAIRS[:1]), "occurs twice"),
    "a repair of 0": (lambda: with_repair(RepairKind.DAYS, 0, None), "is not well-formed"),
    "a repair has a content": (lambda: with_repair(RepairKind.DAYS, 1, 1), "is not well-formed"),
    "a repair has no content": (
        lambda: with_repair(RepairKind.UNITS, 2, None),
        "is not well-formed",
    ),
    "too few minutes": (lambda: with_repair(RepairKind.MINUTES_PER_DAY, 19, None), "leaves"),
    "too many minutes": (
        lambda: with_repair(RepairKind.MINUTES_PER_DAY, 21, None),
        "one less is enough",
    ),
    "too many days": (lambda: with_repair(RepairKind.DAYS, 2, None), "one less is enough"),
    "too few units": (lambda: explained(repairs=(Repair(RepairKind.UNITS, 1, 1),)), "leaves"),
    "too many units": (
        lambda: explained(repairs=(Repair(RepairKind.UNITS, 3, 1),)),
        "one less is enough",
    ),
    "no units to leave out": (lambda: explained(repairs=REPAIRS[:2]), "can be left out"),
    "the fullness is wrong": (lambda: measured(fullness=749), "fullness is 750"),
    "the least fullness is wrong": (lambda: measured(least_fullness=749), "least_fullness is 750"),
    "the variation is wrong": (lambda: measured(variation=1), "variation is 0"),
    "the short rows are wrong": (lambda: measured(short_rows=1), "short_rows is 0"),
    "the slack is wrong": (lambda: measured(slack_days=1), "slack_days is 0"),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_checker_reports(violation: str) -> None:
    build, expected = VIOLATIONS[violation]
    assert expected in " | ".join(all_violations(OVERFULL, build()))


def test_checker_reports_a_certificate_of_a_smaller_excess() -> None:
    two = replace(OVERFULL, contents=(*OVERFULL.contents, custom(1, 1, 30, position=2)))
    found = " | ".join(check_certificate(Case(two, explained())))
    assert "the excess of the certificate is 40, but the largest is 70" in found


def test_measures_are_those_of_uneven_days() -> None:
    uneven = replace(OVERFULL, contents=(book(1, 9, 4, deadline=on("01-10")),))
    rows = (row(1, 600, 632, 1, 8), row(2, 600, 604, 9, 9))
    # 32 and 4 of 40 minutes: mean 0.45 and deviation 0.35, least 18 of 40 on both days.
    quality = Quality(32, 18, 28, 0, 800, 450, 778, 1, 0)
    result = Schedule(rows, (), (), quality, certificate=None, repairs=())
    assert list(check_measures(Case(uneven, result))) == []


def test_variation_is_rounded_half_up() -> None:
    assert variation([Fraction(1, 3), Fraction(1)]) == 500
    assert variation([Fraction(0), Fraction(1)]) == 1000
    assert variation([Fraction(1), Fraction(2), Fraction(3)]) == 408
    assert variation([]) == variation([Fraction(0)]) == 0


@pytest.mark.parametrize("strategy", list(Strategy))
def test_minutes_per_day_are_enough_if_another_plan_has_the_last_minutes_of_a_day(
    strategy: Strategy,
) -> None:
    """A unit that may not be cut does not go on behind that plan."""
    request = make_request(
        custom(1, 3, 19), period="01-06..01-06", blocks=block(10, 11),
        busy=(busy("01-06", 10 + 2 / 3, 11),),
    )  # fmt: skip
    request = replace(request, strategy=strategy)
    (more, *_) = schedule(request).repairs
    assert (more.kind, more.amount) == (RepairKind.MINUTES_PER_DAY, 19)
    longer = SpecialDay(on("01-06"), ((600, 660 + more.amount),))
    assert schedule(replace(request, special_days=(longer,))).unplaced == ()


def test_repair_is_not_tried_where_something_follows() -> None:
    late = replace(OVERFULL, blocks=block(23, "23:50"))
    assert repaired(late, Repair(RepairKind.MINUTES_PER_DAY, 11, None)) is None
    assert repaired(late, Repair(RepairKind.MINUTES_PER_DAY, 10, None)) is not None


some_examples = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@some_examples
@given(st.one_of(any_requests(), tight_requests(), kept_requests()))
def test_explanation_of_any_schedule_is_correct(request: Request) -> None:
    try:
        result = schedule(request)
    except DomainError:
        assume(condition=False)
    assert list(all_violations(request, result)) == []


@some_examples
@given(st.lists(st.integers(20, 90), min_size=1, max_size=5), long_rooms)
def test_explanation_of_a_tiny_schedule_is_the_least(minutes: list[int], room: list[int]) -> None:
    assume(minutes[0] <= sum(room) < sum(minutes))
    request = tiny_request(minutes, room)
    result = schedule(request)
    assert result.unplaced
    assert list(all_violations(request, result)) == []


@pytest.mark.parametrize("request_", list(corpus(20, seed=2)), ids=range(20))
def test_explanation_of_a_usual_group_is_correct(request_: Request) -> None:
    assert list(all_violations(request_, schedule(request_))) == []


@pytest.mark.parametrize("group", [(13, 88), (14, 152), (14, 360), (14, 490), (17, 375)])
def test_unplaced_units_of_one_content_can_be_left_out(group: tuple[int, int]) -> None:
    request = balanced(group_of(*group))
    result = schedule(request)
    assert result.unplaced
    assert list(check_repairs(Case(request, result), schedule)) == []


@pytest.mark.parametrize("group", [(13, 465), (14, 238)])
def test_group_with_a_repair_is_placed_completely(group: tuple[int, int]) -> None:
    request = balanced(group_of(*group))
    result = schedule(request)
    assert result.repairs
    assert list(check_repairs(Case(request, result), schedule)) == []


@pytest.mark.parametrize("index", [4, 251, 300, 384])
def test_repair_is_enough_after_the_day_shifts_are_stored(index: int) -> None:
    """The next generation does not choose them anew."""
    request = odd_group(11, index, Strategy.BALANCED)
    result = schedule(request)
    stored = request.with_day_shifts(result.day_shifts)
    (days,) = (repair for repair in result.repairs if repair.kind is RepairKind.DAYS)
    assert schedule(replace(stored, period_end=end_after(request, days.amount))).unplaced == ()


def test_units_to_leave_out_are_enough_if_the_longest_one_is_among_them() -> None:
    """What remains of the lecture can be packed in other ways, because its units are short."""
    request = balanced(
        make_request(
            lecture(23, 7, 41, 41, weekly=2, wrap_up_minutes=10),
            book(5, 14, 5, position=2, wrap_up_minutes=10),
            book(5, 14, 8, position=3, wrap_up_minutes=5),
            book(1, 40, None, weekly=3, position=4, wrap_up_minutes=5),
            period="01-11..01-22",
            blocks=(
                *block(15, "15:43", weekdays=[0]),
                *block(9, "9:23", weekdays=[1, 5]),
                *block(15, "15:23", weekdays=[3, 6]),
                *block(9, "9:43", weekdays=[4]),
                *reserve(20, 21, weekdays=[0]),
                *reserve(20, "20:30", weekdays=[4, 6]),
            ),
            cycle=(2, 1),
            shortest_session=0,
            factors=Factors(weakness=Decimal("1.2")),
        )
    )
    result = schedule(request)
    assert {repair.content for repair in result.repairs} == {None, 1, 4}
    assert list(check_repairs(Case(request, result), schedule)) == []


def test_more_minutes_per_day_are_tried_as_study_time_of_the_days() -> None:
    """A strategy fills days to a share of their study time, which must be that of the repair."""
    problem = problem_of(OVERFULL)
    times: list[Mapping[int, int]] = []

    def is_placed(changed: Problem) -> bool:
        assert study_times(changed) == {day: room.minutes for day, room in changed.rooms.items()}
        times.append(study_times(changed))
        return True

    repairs(problem, (Unplaced(1, 3, 4, 60, UnplacedReason.NO_ROOM),), is_placed)
    assert {0: 60, 1: 60} in times


def end_after(request: Request, days: int) -> date:
    return request.period_end + timedelta(days=days)


def test_repair_of_a_reschedule_is_enough_for_a_generation_with_its_own_calendar() -> None:
    """Four hours remain. A day that counted then is closed now, or lies in the past."""
    three_days, two_days = (
        problem_of(make_request(custom(1, 4, 60), period=f"01-06..{end}", blocks=block(10, 11)))
        for end in ("01-08", "01-07")
    )
    unplaced = (Unplaced(1, 4, 4, 60, UnplacedReason.NO_ROOM),)

    def units(**options: Any) -> list[int]:
        found = repairs(three_days, unplaced, lambda _: False, **options)
        return [one.amount for one in found if one.kind is RepairKind.UNITS]

    assert units() == [1]
    assert units(generated=two_days) == [2]


def test_variation_of_a_schedule_is_rounded_of_exact_ratios() -> None:
    short_day = SpecialDay(on("01-07"), ((600, 650),), ())
    request = make_request(
        lecture(19, 10),
        period="01-06..01-07",
        blocks=block(10, "11:05"),
        cycle=(6, 0),
        special_days=(short_day,),
    )
    # 19/65 and 1/5: the coefficient is exactly 0.1875.
    assert schedule(request).quality.variation == 188


def test_least_fullness_has_no_minimums_that_need_the_reserve() -> None:
    """The second content fills its only day, on which the first one would need reserve."""
    request = make_request(
        custom(1, 30, 3),
        custom(1, 6, 10, position=2, deadline=on("01-07")),
        period="01-06..01-08",
        blocks=(*block(10, 11), *reserve(19, 20)),
        cycle=(6, 0),
    )
    result = schedule(request := balanced(request))
    assert (result.quality.fullness, result.quality.reserve) == (1000, 0)
    assert result.quality.least_fullness == 1000
    assert list(all_violations(request, result)) == []
