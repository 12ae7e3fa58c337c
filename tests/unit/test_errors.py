"""Domain errors have a code, an HTTP status, a retryable flag and messages in two languages."""

import copy
import json
import pickle
from collections.abc import Callable
from datetime import date
from inspect import getmembers, isclass
from typing import Any, Literal
from uuid import UUID

import pytest

from domain import errors
from domain.errors import (
    CommitOutcomeUnknownError,
    ContentNotFoundError,
    DatabaseBusyError,
    DatabaseReadOnlyError,
    DayWithoutPlan,
    DomainError,
    EditedMeanwhileError,
    FieldError,
    GeneratedMeanwhileError,
    IdempotencyMismatchError,
    InvalidInputError,
    LockError,
    LockNotHeldError,
    LockTimeoutError,
    MisuseError,
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NotFoundError,
    NothingPlacedError,
    PlanGroupLockedError,
    PlanGroupNotEditableError,
    PlanGroupNotFoundError,
    PlanGroupNotGeneratableError,
    PlanInTheWay,
    SchedulingError,
    SchemaError,
    StudentPlanNotFoundError,
    StudentPlansOverlapError,
    TimeEntryNotFoundError,
    TransitionNotAllowedError,
    UncommittedChangesError,
    UndoNotPossibleError,
    UnitOfWorkStateError,
    ValidationError,
    WrongSessionError,
    WrongStateError,
    WrongTransactionError,
)

GROUP = UUID("123e4567-e89b-12d3-a456-426614174000")
IN_PROGRESS = "플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요."

# The code, HTTP status, retryable flag and Korean message of each error.
TABLE: list[tuple[DomainError, str, int, bool, str]] = [
    (PlanGroupLockedError(group_id=GROUP), "plan_group_locked", 409, True, IN_PROGRESS),
    (
        LockTimeoutError(group_id=GROUP, waited_ms=250),
        "plan_group_lock_timeout",
        409,
        True,
        IN_PROGRESS,
    ),
    (
        PlanGroupNotFoundError(group_id=GROUP),
        "plan_group_not_found",
        404,
        False,
        "플랜 그룹을 찾을 수 없습니다.",
    ),
    (
        PlanGroupNotGeneratableError(group_id=GROUP, group_status="draft"),
        "plan_group_not_generatable",
        409,
        False,
        "플랜 그룹이 저장되거나 활성화된 상태에서만 플랜을 생성할 수 있습니다.",
    ),
    (
        ContentNotFoundError(content_id=GROUP),
        "content_not_found",
        404,
        False,
        "콘텐츠를 찾을 수 없습니다.",
    ),
    (
        StudentPlanNotFoundError(plan_id=GROUP),
        "student_plan_not_found",
        404,
        False,
        "플랜을 찾을 수 없습니다.",
    ),
    (
        TimeEntryNotFoundError(entry_id=GROUP, kind="blocks"),
        "time_entry_not_found",
        404,
        False,
        "시간 항목을 찾을 수 없습니다.",
    ),
    (
        PlanGroupNotEditableError(group_id=GROUP, group_status="cancelled"),
        "plan_group_not_editable",
        409,
        False,
        "완료되거나 취소된 플랜 그룹은 수정할 수 없습니다.",
    ),
    (
        TransitionNotAllowedError(group_id=GROUP, from_status="completed", to_status="active"),
        "transition_not_allowed",
        409,
        False,
        "완료 상태에서 활성 상태로 전이할 수 없습니다.",
    ),
    (
        StudentPlansOverlapError(student_id=GROUP),
        "student_plans_overlap",
        409,
        True,
        "학생의 다른 플랜과 시간이 겹칩니다. 다시 시도해주세요.",
    ),
    (
        UndoNotPossibleError(
            group_id=GROUP,
            reason="plans_changed",
            generation=3,
            plans=(PlanInTheWay(GROUP, GROUP, date(2025, 1, 6), 600, 660),),
        ),
        "undo_not_possible",
        409,
        False,
        "이후에 변경된 내용이 있어 되돌릴 수 없습니다.",
    ),
    (
        EditedMeanwhileError(group_id=GROUP),
        "edited_meanwhile",
        409,
        False,
        "플랜이 이미 수정되었습니다. 새로고침 후 다시 시도해주세요.",
    ),
    (
        GeneratedMeanwhileError(group_id=GROUP),
        "generated_meanwhile",
        409,
        True,
        "다른 요청이 먼저 플랜을 생성했습니다. 새로고침 후 다시 시도해주세요.",
    ),
    (
        DatabaseBusyError(),
        "database_busy",
        503,
        True,
        "요청이 많아 잠시 처리할 수 없습니다. 잠시 후 다시 시도해주세요.",
    ),
    (
        DatabaseReadOnlyError(),
        "database_read_only",
        503,
        True,
        "지금은 변경 내용을 저장할 수 없습니다. 잠시 후 다시 시도해주세요.",
    ),
    (
        CommitOutcomeUnknownError(),
        "commit_outcome_unknown",
        503,
        False,
        "저장 결과를 확인할 수 없습니다. 새로고침하여 확인해주세요.",
    ),
    (NoContentsError(), "no_contents", 422, False, "플랜 콘텐츠가 없습니다."),
    (NoBlocksError(), "no_blocks", 422, False, "블록 세트가 설정되지 않았습니다."),
    (
        NoStudyDaysError(),
        "no_study_days",
        422,
        False,
        "학습 가능한 날짜가 없습니다. 기간과 제외일을 확인해주세요.",
    ),
    (
        NothingPlacedError(days=(DayWithoutPlan(date(2025, 1, 6), "full"),)),
        "nothing_placed",
        422,
        False,
        "일정에 맞는 플랜을 생성할 수 없습니다. 기간과 콘텐츠 양을 확인해주세요.",
    ),
    (
        IdempotencyMismatchError(idempotency_key="k-1"),
        "idempotency_mismatch",
        422,
        False,
        "같은 요청 키가 다른 내용으로 사용되었습니다.",
    ),
    (
        InvalidInputError(
            [FieldError("period", "ends early"), FieldError("contents[0].range", "reversed")]
        ),
        "invalid_input",
        422,
        False,
        "입력값이 올바르지 않습니다: period, contents[0].range",
    ),
]
EXAMPLES = [row[0] for row in TABLE]
# Errors whose text depends on their data, with the texts that EXAMPLES does not have.
OTHER_TEXTS = [
    LockTimeoutError(group_id=GROUP, scope="row"),
    LockTimeoutError(group_id=GROUP, scope="student"),
    PlanGroupLockedError(group_id=GROUP, scope="student"),
    UndoNotPossibleError(group_id=GROUP, reason="nothing_to_undo"),
    UndoNotPossibleError(group_id=GROUP, reason="nothing_to_redo"),
]
BASE_CLASSES = {
    DomainError,
    LockError,
    NotFoundError,
    SchedulingError,
    ValidationError,
    WrongStateError,
}
MISUSE_ERRORS = [
    LockNotHeldError,
    SchemaError,
    UncommittedChangesError,
    UnitOfWorkStateError,
    WrongSessionError,
    WrongTransactionError,
]


def error_id(value: object) -> str:
    return type(value).__name__ if isinstance(value, DomainError) else str(value)


@pytest.mark.parametrize(("error", "code", "status", "retryable", "korean"), TABLE, ids=error_id)
def test_error_has_the_code_status_and_message_of_the_table(
    *, error: DomainError, code: str, status: int, retryable: bool, korean: str
) -> None:
    assert (error.code, error.http_status, error.retryable) == (code, status, retryable)
    assert error.message() == error.message("ko") == korean


def test_error_table_has_every_concrete_error() -> None:
    classes = {kind for _, kind in getmembers(errors, isclass) if issubclass(kind, DomainError)}
    assert classes - BASE_CLASSES == {type(error) for error in EXAMPLES}


@pytest.mark.parametrize("kind", dict.fromkeys(map(type, EXAMPLES)))
def test_error_class_defines_its_own_code_and_messages(kind: type[DomainError]) -> None:
    assert {"code", "ko", "en"} <= vars(kind).keys()


def test_error_codes_are_unique() -> None:
    codes = [error.code for error in EXAMPLES]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("error", EXAMPLES, ids=error_id)
@pytest.mark.parametrize("language", ["ko", "en"])
def test_problem_is_serializable_as_json(error: DomainError, language: Literal["ko", "en"]) -> None:
    problem = error.to_problem(language)
    assert json.loads(json.dumps(problem)) == problem
    assert problem["type"] == f"urn:studyplan:problem:{error.code}"
    assert (problem["status"], problem["code"]) == (error.http_status, error.code)
    assert problem["retryable"] is error.retryable
    assert problem["detail"] == error.message(language)
    assert problem["title"]


@pytest.mark.parametrize("error", [*EXAMPLES, *OTHER_TEXTS], ids=error_id)
@pytest.mark.parametrize("other", ["fr", "KO", "ko-KR", "", None, 5])
def test_message_in_any_language_but_korean_is_english(error: DomainError, other: Any) -> None:
    assert error.message(other) == error.to_problem(other)["detail"] == error.message("en")


@pytest.mark.parametrize("error", [*EXAMPLES, *OTHER_TEXTS], ids=error_id)
def test_messages_differ_by_language_and_have_no_unfilled_placeholder(error: DomainError) -> None:
    korean, english = error.message("ko"), error.message("en")
    assert english.isascii()
    assert not korean.isascii()
    assert not set(korean + english) & set("{}")


def pickled(error: DomainError) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled in this test


@pytest.mark.parametrize("duplicate", [pickled, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("error", EXAMPLES, ids=error_id)
def test_error_is_equal_after_pickling_and_copying(
    error: DomainError, duplicate: Callable[[DomainError], DomainError]
) -> None:
    error = copy.deepcopy(error)
    error.add_note("seen by a handler")
    other = duplicate(error)
    assert other is not error
    assert type(other) is type(error)
    assert (other.data, other.args, str(other)) == (error.data, error.args, str(error))
    assert other.__notes__ == ["seen by a handler"]
    assert other.to_problem() == error.to_problem()


@pytest.mark.parametrize("error", EXAMPLES, ids=error_id)
def test_error_data_are_attributes_and_members_of_the_problem(error: DomainError) -> None:
    problem = error.to_problem()
    members = {"field_errors": "errors"}
    for name, value in error.data.items():
        assert getattr(error, name) == value
        assert (members.get(name, name) in problem) is (name != "holder")


@pytest.mark.parametrize("error", EXAMPLES, ids=error_id)
def test_undeclared_attribute_raises_attribute_error(error: DomainError) -> None:
    with pytest.raises(AttributeError, match="holderr"):
        getattr(error, "holderr")  # noqa: B009 - mypy rejects error.holderr


@pytest.mark.parametrize("kind", dict.fromkeys(map(type, EXAMPLES)))
def test_constructor_refuses_unknown_arguments(kind: Any) -> None:
    with pytest.raises(TypeError, match="no_such_name"):
        kind(no_such_name=1)


@pytest.mark.parametrize("error", EXAMPLES, ids=error_id)
def test_retry_after_is_in_the_problem_if_the_error_has_it(error: DomainError) -> None:
    assert error.to_problem().get("retry_after") == error.retry_after
    assert ("retry_after" in error.to_problem()) is (error.retry_after is not None)


@pytest.mark.parametrize("misuse", MISUSE_ERRORS)
def test_misuse_error_is_a_runtime_error_and_not_a_domain_error(misuse: type[MisuseError]) -> None:
    assert issubclass(misuse, MisuseError)
    assert issubclass(misuse, RuntimeError)
    assert not issubclass(misuse, DomainError)


def test_misuse_errors_are_all_listed() -> None:
    classes = {kind for _, kind in getmembers(errors, isclass) if issubclass(kind, MisuseError)}
    assert classes - {MisuseError} == set(MISUSE_ERRORS)
