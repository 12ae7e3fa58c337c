"""Sessions of contents with more days give way, but only if something stays unplaced otherwise."""

import pytest

from domain.scheduling.difference import place_of
from domain.scheduling.rescheduling import contents
from domain.scheduling.types import Request, Strategy
from tests.unit.scheduling.build import block, book, make_request, on
from tests.unit.scheduling.lives import Life, next_day, places, violations
from tests.unit.scheduling.test_rescheduling import lives

DAILY_CONTENT, RARE_CONTENT = 1, 2
MISSED = on("01-10")


def group(minutes_per_day: int) -> Request:
    """Return a group with an hour of one content on each day and of another on two days a week."""
    return make_request(
        book(1, 72, 10, position=DAILY_CONTENT),
        book(1, 24, 10, position=RARE_CONTENT, weekly=2),
        period="01-06..01-17",
        cycle=(6, 0),
        blocks=block(10, 10 + minutes_per_day / 60),
        non_study_blocks=(),
    )


def miss_the_rare_content(life: Life) -> None:
    """Do everything until the missed day, and on that day all but the content with few days."""
    life.do(MISSED)
    today = [plan for plan in life.planned if plan.date == MISSED]
    assert len(today) == 2
    done = next(plan for plan in today if plan.content == DAILY_CONTENT)
    life.done.append(done.as_kept())
    life.planned.remove(done)


def test_daily_content_leaves_a_day_of_a_content_that_is_stuck() -> None:
    life = Life(group(minutes_per_day=120))
    miss_the_rare_content(life)
    before = [plan for plan in life.planned if plan.date > MISSED]
    rare = {plan.date for plan in before if plan.content == RARE_CONTENT}
    assert rare == {on("01-13"), on("01-16")}
    found = life.reschedule(next_day(MISSED))
    after = places(found.plans)
    gone = [plan for plan in before if place_of(plan) not in after]
    assert found.unplaced == ()
    assert list(violations(life, next_day(MISSED))) == []
    # The rest is added in front of and behind rows that stay.
    assert [(plan.content, plan.date) for plan in gone] == [(DAILY_CONTENT, on("01-13"))]


def test_daily_content_stays_if_nothing_is_stuck() -> None:
    life = Life(group(minutes_per_day=180))
    miss_the_rare_content(life)
    before = places(plan for plan in life.planned if plan.content == DAILY_CONTENT)
    found = life.reschedule(next_day(MISSED))
    assert found.unplaced == ()
    assert places(plan for plan in found.plans if plan.content == DAILY_CONTENT) == before


@pytest.mark.parametrize("strategy", list(Strategy))
def test_displacement_changes_nothing_where_nothing_is_stuck(
    strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    helped = 0
    for life in lives(strategy, 40):
        missed = life.study_dates[len(life.study_dates) // 3]
        life.do(missed)
        without = life.copy()
        with monkeypatch.context() as patched:
            patched.setattr(contents, "_MAX_DAYS", 0)
            patched.setattr(contents, "cut_to_fit", lambda *_: None)
            stuck = without.reschedule(next_day(missed))
        found = life.reschedule(next_day(missed))
        if not stuck.unplaced:
            assert found == stuck
        left = sum(item.minutes for item in found.unplaced)
        reported = sum(item.minutes for item in stuck.unplaced)
        assert left <= reported
        helped += left < reported
        assert list(violations(life, next_day(missed))) == []
    assert helped
