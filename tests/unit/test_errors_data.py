"""What single errors carry besides their sentence: holders, faults, days."""

import json
import pickle
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.errors import (
    DayWithoutPlan,
    Fault,
    InvalidInputError,
    LockHolder,
    LockTimeoutError,
    NothingPlacedError,
    PlanGroupLockedError,
    PlanGroupNotFoundError,
)

GROUP = UUID("123e4567-e89b-12d3-a456-426614174000")


def test_a_lock_error_says_who_holds_since_when() -> None:
    since = datetime(2025, 1, 6, 9, 0, tzinfo=UTC)
    holder = LockHolder(pid=42, since=since, held_ms=1500, application_name="worker")
    error = PlanGroupLockedError(group_id=GROUP, holder=holder)
    assert error.to_problem()["holder"] == {
        "pid": 42,
        "since": "2025-01-06T09:00:00+00:00",
        "held_ms": 1500,
        "application_name": "worker",
    }
    assert pickle.loads(pickle.dumps(error)).holder == holder  # noqa: S301 - our own
    json.dumps(error.to_problem())


@pytest.mark.parametrize(
    ("held_ms", "seconds"), [(None, None), (0, 1), (1, 1), (1001, 2), (29_500, 30), (10**7, 30)]
)
def test_the_longer_a_lock_is_held_the_later_to_try_again(
    held_ms: int | None, seconds: int | None
) -> None:
    holder = LockHolder(pid=42, since=None, held_ms=held_ms, application_name=None)
    for error in (
        PlanGroupLockedError(group_id=GROUP, holder=holder),
        LockTimeoutError(group_id=GROUP, waited_ms=1, holder=holder),
    ):
        assert error.retry_after == error.to_problem()["retry_after"] == seconds


def test_invalid_input_has_one_entry_for_every_field() -> None:
    error = InvalidInputError(
        [Fault("name", "is empty"), Fault("name", "is short"), Fault("period", "is over")]
    )
    assert error.field == "name, period"
    assert error.to_problem()["errors"] == [
        {"field": "name", "message": "is empty"},
        {"field": "name", "message": "is short"},
        {"field": "period", "message": "is over"},
    ]
    assert str(error) == "name: is empty; name: is short; period: is over"
    assert InvalidInputError.of("name", "is empty").field == "name"


def test_nothing_placed_tells_why_for_each_day() -> None:
    days = NothingPlacedError(days=[DayWithoutPlan(date(2025, 1, 6), "full")]).to_problem()
    assert days["days"] == [{"date": "2025-01-06", "reason": "full"}]


def test_the_data_cannot_be_changed() -> None:
    data: Any = PlanGroupNotFoundError(group_id=GROUP).data
    with pytest.raises(TypeError):
        data["group_id"] = None
