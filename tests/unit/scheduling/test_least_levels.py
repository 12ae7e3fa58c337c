"""The least possible fullness and peak are never above those of the schedule itself."""

import pytest

from domain.errors import DomainError
from domain.scheduling.result import Quality
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request, Strategy
from tests.unit.scheduling.build import block, book, make_request
from tests.unit.scheduling.checker import check
from tests.unit.scheduling.corpus import balanced
from tests.unit.scheduling.odd_groups import odd_group


def quality_of(request: Request) -> Quality:
    result = schedule(request)
    assert check(request, result) == []
    return result.quality


def test_least_fullness_is_not_above_a_fullness_that_is_rounded_down() -> None:
    """Six of 180 minutes are 33.3 thousandths."""
    quality = quality_of(
        make_request(
            book(1, 1, weekly=2), period="01-06..01-06", blocks=block(10, 13), non_study_blocks=()
        )
    )
    assert (quality.fullness, quality.least_fullness) == (33, 33)


def test_least_levels_are_those_of_the_schedule_if_whole_units_leave_no_minimum() -> None:
    """Two days of 100 minutes: 165 minutes of the strategy leave no 15 minutes on one of them."""
    quality = quality_of(
        balanced(
            make_request(
                book(1, 12, 5),
                book(1, 11, 15, weekly=2, position=2),
                period="01-06..01-08",
                blocks=block(10, 11 + 2 / 3),
                non_study_blocks=(),
            )
        )
    )
    assert (quality.peak, quality.fullness) == (95, 950)
    assert (quality.least_peak, quality.least_fullness) == (95, 950)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_least_levels_of_odd_groups_are_not_above_those_of_their_schedules(
    strategy: Strategy,
) -> None:
    for index in range(200):
        try:
            quality = schedule(odd_group(5, index, strategy)).quality
        except DomainError:
            continue
        assert quality.least_peak <= quality.peak, index
        assert quality.least_fullness <= quality.fullness, index
