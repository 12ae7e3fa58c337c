"""The numbers of the worked example of the specification."""

from collections import defaultdict

import pytest

from domain.scheduling.result import Schedule
from tests.unit.scheduling.build import (
    checked_schedule,
    dates,
    ranges,
    reviews,
    study,
    worked_example,
)


@pytest.fixture(scope="module")
def example() -> Schedule:
    """The schedule of the worked example."""
    return checked_schedule(worked_example())


def test_worked_example_studies_on_24_days_and_reviews_on_three(example: Schedule) -> None:
    assert len(dates(study(example))) == 24
    assert dates(reviews(example)) == ["01-07", "01-14", "01-22"]
    assert "01-15" not in dates(list(example.plans))


def test_worked_example_deals_maths_to_every_study_day(example: Schedule) -> None:
    pages: dict[object, int] = defaultdict(int)
    for row in study(example):
        pages[row.date] += row.last_unit - row.first_unit + 1
    assert set(pages.values()) == {8, 9}
    assert sum(row.minutes for row in study(example)) == 1200


@pytest.mark.parametrize(
    ("content", "units", "minutes"), [(2, {12, 13}, 600), (3, {2, 3}, 1080), (4, {15}, 720)]
)
def test_worked_example_gives_each_strategy_twelve_days(
    example: Schedule, content: int, units: set[int], minutes: int
) -> None:
    counts: dict[object, int] = defaultdict(int)
    for row in study(example, content):
        counts[row.date] += row.last_unit - row.first_unit + 1
    assert len(counts) == 12
    assert set(counts.values()) == units
    assert sum(row.minutes for row in study(example, content)) == minutes


def test_worked_example_reviews_fifty_pages_of_maths_first(example: Schedule) -> None:
    first = [row for row in reviews(example) if row.content == 1 and row.cycle == 1]
    assert ranges(first) == [(1, 50)]
    assert [row.minutes for row in first] == [120]
    assert sum(r.minutes for r in study(example) if r.cycle == 1) == 300


def test_worked_example_shrinks_no_review_and_uses_the_reserve_once(example: Schedule) -> None:
    minutes: dict[str, int] = defaultdict(int)
    for row in reviews(example):
        minutes[f"{row.date:%m-%d}"] += row.minutes
    assert minutes == {"01-07": 349, "01-14": 335, "01-22": 349}
    assert {f"{row.date:%m-%d}" for row in example.plans if row.reserve} == {"01-22"}
    assert "review_shrunk" not in [warning.code for warning in example.warnings]


def test_worked_example_peaks_at_271_minutes_and_places_all_units(example: Schedule) -> None:
    assert example.quality.peak == 271
    assert example.unplaced == ()
    unreviewed = [w.data["content"] for w in example.warnings if w.code == "unreviewed"]
    assert set(unreviewed) == {1, 2, 3, 4}
