"""The worked example of the specification, number by number."""

from collections import defaultdict

import pytest

from domain.scheduling.schedule import Schedule
from tests.unit.scheduling.build import answer_to, dates, ranges, reviews, study, worked_example


@pytest.fixture(scope="module")
def worked() -> Schedule:
    """The answer to the worked example."""
    return answer_to(worked_example())


def test_the_worked_example_studies_on_24_days_and_reviews_on_three(worked: Schedule) -> None:
    assert len(dates(study(worked))) == 24
    assert dates(reviews(worked)) == ["01-07", "01-14", "01-22"]
    assert "01-15" not in dates(list(worked.plans))


def test_the_worked_example_deals_maths_over_every_day(worked: Schedule) -> None:
    pages: dict[object, int] = defaultdict(int)
    for row in study(worked):
        pages[row.date] += row.last_unit - row.first_unit + 1
    assert set(pages.values()) == {8, 9}
    assert sum(row.minutes for row in study(worked)) == 1200


@pytest.mark.parametrize(
    ("content", "units", "minutes"), [(2, {12, 13}, 600), (3, {2, 3}, 1080), (4, {15}, 720)]
)
def test_the_worked_example_gives_each_strategy_twelve_days(
    worked: Schedule, content: int, units: set[int], minutes: int
) -> None:
    counts: dict[object, int] = defaultdict(int)
    for row in study(worked, content):
        counts[row.date] += row.last_unit - row.first_unit + 1
    assert len(counts) == 12
    assert set(counts.values()) == units
    assert sum(row.minutes for row in study(worked, content)) == minutes


def test_the_worked_example_reviews_fifty_pages_of_maths_first(worked: Schedule) -> None:
    first = [row for row in reviews(worked) if row.content == 1 and row.cycle == 1]
    assert ranges(first) == [(1, 50)]
    assert [row.minutes for row in first] == [120]
    assert sum(r.minutes for r in study(worked) if r.cycle == 1) == 300


def test_the_worked_example_shrinks_no_review_and_needs_the_reserve_once(worked: Schedule) -> None:
    minutes: dict[str, int] = defaultdict(int)
    for row in reviews(worked):
        minutes[f"{row.date:%m-%d}"] += row.minutes
    assert minutes == {"01-07": 349, "01-14": 335, "01-22": 349}
    assert {f"{row.date:%m-%d}" for row in worked.plans if row.reserve} == {"01-22"}
    assert "review_shrunk" not in [warning.code for warning in worked.warnings]


def test_the_worked_example_peaks_at_271_minutes_and_places_everything(worked: Schedule) -> None:
    assert worked.quality.peak == 271
    assert worked.unplaced == ()
    unreviewed = [w.data["content"] for w in worked.warnings if w.code == "unreviewed"]
    assert set(unreviewed) == {1, 2, 3, 4}
