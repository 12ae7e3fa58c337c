"""A reschedule changes what must change, and nothing else."""

import random
from collections.abc import Hashable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import pytest

from domain.errors import DomainError
from domain.scheduling.difference import place_of
from domain.scheduling.rescheduling import contents
from domain.scheduling.rescheduling.reschedule import CatchUp
from domain.scheduling.types import (
    AcademySchedule,
    Content,
    ContentType,
    Exclusion,
    ExclusionType,
    PlanKind,
    Request,
    Strategy,
)
from tests.unit.scheduling.build import block, book, make_request, on
from tests.unit.scheduling.corpus import corpus
from tests.unit.scheduling.lives import Life, next_day, places, violations

GROUPS = 24


def lives(strategy: Strategy, count: int = GROUPS) -> Iterator[Life]:
    """Yield groups of the corpus in which everything fits, with at least four study days."""
    return (life.copy() for life in _generated(strategy, count))


@cache
def _generated(strategy: Strategy, count: int) -> list[Life]:
    found = []
    for request in corpus(count, 13):
        try:
            life = Life(replace(request, strategy=strategy))
        except DomainError:
            continue
        if not life.baseline.unplaced and len(life.study_dates) >= 4:
            found.append(life)
    return found


def _before(life: Life, end: date, start: date = date.min) -> set[Hashable]:
    return places(plan for plan in life.planned if start < plan.date < end)


strategies = pytest.mark.parametrize("strategy", list(Strategy))


@strategies
def test_reschedule_changes_nothing_if_nothing_has_happened(strategy: Strategy) -> None:
    for life in lives(strategy):
        life.do(life.study_dates[2])
        before = list(life.planned)
        today = life.study_dates[0]
        found = life.reschedule(today)
        assert [place_of(plan) for plan in found.plans] == [place_of(plan) for plan in before]
        assert found.quality == found.quality_before


@strategies
@pytest.mark.parametrize("how", list(CatchUp))
def test_missed_day_is_caught_up_or_reported(strategy: Strategy, how: CatchUp) -> None:
    for life in lives(strategy):
        missed = life.study_dates[1]
        life.do(missed)
        today = next_day(missed)
        life.reschedule(today, how=how)
        assert list(violations(life, today)) == []
        assert all(plan.date >= today for plan in life.planned)


@strategies
def test_second_reschedule_of_a_day_changes_nothing(strategy: Strategy) -> None:
    for life in lives(strategy):
        missed = life.study_dates[1]
        life.do(missed)
        first = life.reschedule(next_day(missed))
        second = life.reschedule(next_day(missed))
        assert [place_of(plan) for plan in second.plans] == [place_of(plan) for plan in first.plans]
        assert (second.unplaced, second.certificate) == (first.unplaced, first.certificate)


@strategies
def test_frozen_plans_stay_and_nothing_is_planned_beside_them(strategy: Strategy) -> None:
    for life in lives(strategy):
        missed, *later = life.study_dates[1:]
        life.do(missed)
        frozen_until = next_day(later[min(2, len(later) - 1)])
        before = _before(life, frozen_until, missed)
        life.reschedule(next_day(missed), frozen_until=frozen_until)
        assert _before(life, frozen_until) == before
        assert list(violations(life, next_day(missed))) == []


def test_class_moves_only_the_contents_whose_plans_it_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_MAX_DAYS", 0)  # sessions of other contents are not displaced
    moved = 0
    for life in lives(Strategy.BALANCED):
        today = life.study_dates[1]
        life.do(today)
        target = next(plan for plan in life.planned if plan.kind is PlanKind.STUDY)
        lesson = AcademySchedule(
            target.date.isoweekday() % 7, target.start_minute, target.end_minute
        )
        if life.request.academy_schedules:
            continue
        hit = {
            plan.content
            for plan in life.planned
            if plan.date.isoweekday() % 7 == lesson.weekday
            and plan.start_minute < lesson.end_minute
            and lesson.start_minute < plan.end_minute
        }
        before = list(life.planned)
        found = life.reschedule(today, request=replace(life.request, academy_schedules=(lesson,)))
        after = places(found.plans)
        gone = [plan for plan in before if place_of(plan) not in after]
        assert gone
        moved += 1
        assert {plan.content for plan in gone} <= hit
        assert not any(
            plan.date.isoweekday() % 7 == lesson.weekday
            and plan.start_minute < lesson.end_minute
            and lesson.start_minute < plan.end_minute
            for plan in found.plans
        )
        assert list(violations(life, today)) == []
    assert moved > 2


def test_exclusion_empties_its_day_and_keeps_the_cycles() -> None:
    for life in lives(Strategy.EVEN, 25):
        today, closed = life.study_dates[0], life.study_dates[2]
        before = list(life.planned)
        found = life.reschedule(
            today,
            request=replace(
                life.request,
                exclusions=(*life.request.exclusions, Exclusion(closed, ExclusionType.VACATION)),
            ),
        )
        assert all(plan.date != closed for plan in found.plans)
        assert list(violations(life, today)) == []
        days = {plan.date: plan.cycle for plan in before}
        assert all(days.get(plan.date, plan.cycle) == plan.cycle for plan in found.plans)


@strategies
def test_shorter_period_moves_what_was_planned_outside_of_it(strategy: Strategy) -> None:
    for life in lives(strategy, 12):
        today, *_, last = life.study_dates
        end = last - timedelta(days=2)
        if end <= today:
            continue
        special = tuple(day for day in life.request.special_days if day.date <= end)
        off = tuple(one for one in life.request.exclusions if one.date <= end)
        request = replace(
            life.request, period_end=end, target_date=None, special_days=special, exclusions=off
        )
        found = life.reschedule(today, request=request)
        assert all(plan.date <= end for plan in found.plans)
        assert list(violations(life, today)) == []


@strategies
def test_period_that_begins_later_catches_up_the_plans_before_it(strategy: Strategy) -> None:
    for life in lives(strategy, 12):
        today, later = life.study_dates[0], life.study_dates[2]
        special = tuple(day for day in life.request.special_days if day.date >= later)
        off = tuple(one for one in life.request.exclusions if one.date >= later)
        request = replace(life.request, period_start=later, special_days=special, exclusions=off)
        found = life.reschedule(today, request=request)
        assert all(plan.date >= later for plan in found.plans)
        assert list(violations(life, later)) == []


def with_range(request: Request, position: int, last: int) -> Request:
    contents = tuple(
        replace(
            content,
            last_unit=last,
            episode_minutes=content.episode_minutes[: last - content.first_unit + 1],
        )
        if content.position == position
        else content
        for content in request.contents
    )
    return replace(request, contents=contents)


def books(life: Life) -> Content | None:
    return next(
        (
            content
            for content in life.request.contents
            if content.type is ContentType.BOOK and content.last_unit - content.first_unit > 12
        ),
        None,
    )


def test_shorter_range_loses_its_tail_and_other_contents_stay() -> None:
    tried = 0
    for life in lives(Strategy.BALANCED):
        book = books(life)
        if book is None:
            continue
        tried += 1
        before = [plan for plan in life.planned if plan.kind is PlanKind.STUDY]
        request = with_range(life.request, book.position, book.last_unit - 5)
        found = life.reschedule(life.request.today, request=request)
        after = places(found.plans)
        gone = [plan for plan in before if place_of(plan) not in after]
        assert {plan.content for plan in gone} == {book.position}
        assert all(plan.last_unit > book.last_unit - 5 for plan in gone)
        assert list(violations(life, life.request.today)) == []
    assert tried > 5


def test_longer_range_is_added_at_the_end() -> None:
    tried = 0
    for life in lives(Strategy.BALANCED):
        book = books(life)
        if book is None:
            continue
        tried += 1
        before = [plan for plan in life.planned if plan.kind is PlanKind.STUDY]
        request = with_range(life.request, book.position, book.last_unit + 2)
        found = life.reschedule(life.request.today, request=request)
        after = places(found.plans)
        gone = [plan for plan in before if place_of(plan) not in after]
        assert {plan.content for plan in gone} <= {book.position}
        assert list(violations(life, life.request.today)) == []
    assert tried > 5


def test_missed_review_is_offered_again_for_units_that_are_done() -> None:
    offered = 0
    for life in lives(Strategy.EVEN):
        reviews = [plan for plan in life.planned if plan.kind is PlanKind.REVIEW]
        if not reviews:
            continue
        missed = reviews[0].date
        life.do(missed)
        done = {plan.content for plan in life.planned if plan.date == missed}
        found = life.reschedule(next_day(missed))
        assert list(violations(life, next_day(missed))) == []
        later = [
            plan
            for plan in found.plans
            if plan.kind is PlanKind.REVIEW
            and plan.content in done
            and plan.first_unit <= reviews[0].last_unit
        ]
        unreviewed = [one for one in found.warnings if one.code == "unreviewed"]
        offered += bool(later)
        assert later or unreviewed
    assert offered > 5


@strategies
def test_lives_end_with_every_unit_done_planned_or_reported(strategy: Strategy) -> None:
    chance = random.Random(7)  # noqa: S311 - it must be repeatable
    for life in lives(strategy, 16):
        request = life.request
        day = request.period_start
        while day <= request.period_end:
            life.live_through(day, chance)
            day += timedelta(days=1)
            if day.isoweekday() == 7:
                life.reschedule(day)
                assert list(violations(life, day)) == []
        life.reschedule(request.period_end + timedelta(days=1))
        assert list(violations(life, request.period_end)) == []


def test_quality_before_is_that_of_the_plans_as_they_stood() -> None:
    request = make_request(book(1, 36, 10), blocks=block(10, 13), non_study_blocks=())
    life = Life(request)
    life.do(on("01-08"))
    today = on("01-09")
    found = life.reschedule(today)
    before = found.quality_before
    assert before is not None
    assert (before.peak, found.quality.peak) == (60, 90)
    assert (before.least_peak, found.quality.least_peak) == (60, 80)


@strategies
def test_reschedule_does_not_depend_on_the_order_of_rows(strategy: Strategy) -> None:
    chance = random.Random(3)  # noqa: S311 - it must be repeatable
    for life in lives(strategy):
        missed = life.study_dates[len(life.study_dates) // 2]
        life.do(missed)
        shuffled = life.copy()
        chance.shuffle(shuffled.planned)
        chance.shuffle(shuffled.done)
        contents = chance.sample(life.request.contents, len(life.request.contents))
        shuffled.request = replace(life.request, contents=tuple(contents))
        expected = life.reschedule(next_day(missed)).canonical_json()
        assert shuffled.reschedule(next_day(missed)).canonical_json() == expected
