"""The data of particular errors: lock holders, field errors and days."""

import json
import pickle
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args
from uuid import UUID

import pytest

from domain.errors import (
    DatabaseBusyError,
    DayWithoutPlan,
    FieldError,
    InvalidInputError,
    LockError,
    LockHolder,
    LockTimeoutError,
    NothingPlacedError,
    PlanGroupLockedError,
    PlanGroupNotFoundError,
    PlanInTheWay,
    UndoNotPossibleError,
    UndoReason,
)

GROUP = UUID("123e4567-e89b-12d3-a456-426614174000")


def test_lock_error_has_a_holder_that_the_problem_omits() -> None:
    since = datetime(2025, 1, 6, 9, 0, tzinfo=UTC)
    holder = LockHolder(pid=42, since=since, held_ms=1500, application_name="worker")
    error = PlanGroupLockedError(group_id=GROUP, holder=holder)
    assert error.holder == holder
    assert "holder" not in error.to_problem()
    assert pickle.loads(pickle.dumps(error)).holder == holder  # noqa: S301 - pickled in this test
    json.dumps(error.to_problem())


@pytest.mark.parametrize("held_ms", [None, 0, 1001, 10**7])
def test_retry_after_of_a_lock_error_is_one_second(held_ms: int | None) -> None:
    holder = LockHolder(pid=42, since=None, held_ms=held_ms, application_name=None)
    for error in (
        PlanGroupLockedError(group_id=GROUP, holder=holder),
        LockTimeoutError(group_id=GROUP, waited_ms=1, holder=holder),
    ):
        assert error.retry_after == error.to_problem()["retry_after"] == 1


def test_lock_timeout_of_a_row_mentions_rows_in_both_languages() -> None:
    of_row = LockTimeoutError(group_id=GROUP, scope="row")
    of_group = LockTimeoutError(group_id=GROUP, waited_ms=300)
    assert (of_row.waited_ms, of_row.holder, of_row.retry_after) == (None, None, 1)
    expected: tuple[tuple[Literal["ko", "en"], str], ...] = (
        ("ko", "같은 데이터"),
        ("en", "the same rows"),
    )
    for language, phrase in expected:
        assert phrase in of_row.to_problem(language)["detail"]
        assert phrase not in of_group.message(language)
    assert str(of_row) == of_row.message("en")
    copy = pickle.loads(pickle.dumps(of_row))  # noqa: S301 - pickled in this test
    assert copy.to_problem() == of_row.to_problem()
    json.dumps(of_row.to_problem())


def test_database_busy_has_a_retry_after_of_one_second() -> None:
    assert DatabaseBusyError().to_problem()["retry_after"] == 1


def test_invalid_input_has_an_entry_per_field_error() -> None:
    error = InvalidInputError(
        [
            FieldError("name", "is empty"),
            FieldError("name", "is short"),
            FieldError("period", "is over"),
        ]
    )
    assert error.field == "name, period"
    assert error.to_problem()["errors"] == [
        {"field": "name", "message": "is empty"},
        {"field": "name", "message": "is short"},
        {"field": "period", "message": "is over"},
    ]
    assert str(error) == "name: is empty; name: is short; period: is over"
    assert InvalidInputError.of("name", "is empty").field == "name"


def test_problem_of_nothing_placed_has_a_reason_per_day() -> None:
    days = NothingPlacedError(days=(DayWithoutPlan(date(2025, 1, 6), "full"),)).to_problem()
    assert days["days"] == [{"date": "2025-01-06", "reason": "full"}]


def test_problem_of_an_undo_has_the_plans_that_stand_in_the_way() -> None:
    plan = PlanInTheWay(UUID(int=1), GROUP, date(2025, 1, 6), 600, 660)
    error = UndoNotPossibleError(group_id=GROUP, reason="time_occupied", plans=(plan,))
    assert error.to_problem()["plans"] == [
        {
            "plan_id": str(UUID(int=1)),
            "group_id": str(GROUP),
            "date": "2025-01-06",
            "start_minute": 600,
            "end_minute": 660,
        }
    ]


@pytest.mark.parametrize("error", [PlanGroupLockedError, LockTimeoutError])
def test_message_of_a_lock_names_what_is_locked(error: type[LockError]) -> None:
    of_group = error(group_id=GROUP)
    of_student = error(group_id=GROUP, scope="student")
    assert of_group.message() == "플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요."
    assert of_student.message().startswith("이 학생의 플랜이나 일정을")
    assert "of this student" in of_student.message("en")
    assert (of_student.code, of_student.http_status) == (of_group.code, of_group.http_status)


def test_message_of_an_undo_says_whether_there_is_anything_to_undo() -> None:
    messages = {
        reason: UndoNotPossibleError(group_id=GROUP, reason=reason).message("en")
        for reason in get_args(UndoReason)
    }
    nothing = messages["nothing_to_undo"]
    assert nothing == "There is no change of the plans to undo."
    assert messages["nothing_to_redo"] == "There is no undone change of the plans to redo."
    assert messages["history_removed"] == nothing
    assert messages["plans_changed"] == messages["time_occupied"] != nothing


def test_error_data_are_read_only() -> None:
    data: Any = PlanGroupNotFoundError(group_id=GROUP).data
    with pytest.raises(TypeError):
        data["group_id"] = None
