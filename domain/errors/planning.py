"""Groups that cannot be planned."""

from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

from domain.errors.base import DomainError

DayReason: TypeAlias = Literal["excluded", "no_study_time", "full", "unused"]


@dataclass(frozen=True, slots=True)
class DayWithoutPlan:
    """A date without a plan, and the reason."""

    date: date
    reason: DayReason


class SchedulingError(DomainError):
    """The group cannot be planned as requested. A full calendar is not an error."""

    http_status = 422


class NoContentsError(SchedulingError):
    """The group has no contents."""

    code = "no_contents"
    ko = "플랜 콘텐츠가 없습니다."
    en = "The plan group has no contents."


class NoBlocksError(SchedulingError):
    """The group has no weekly study time."""

    code = "no_blocks"
    ko = "블록 세트가 설정되지 않았습니다."
    en = "The plan group has no study blocks."


class NoStudyDaysError(SchedulingError):
    """All remaining dates of the period are excluded."""

    code = "no_study_days"
    ko = "학습 가능한 날짜가 없습니다. 기간과 제외일을 확인해주세요."
    en = "The period has no day available for study. Please check the period and the exclusions."


@dataclass(eq=False, repr=False, kw_only=True)
class NothingPlacedError(SchedulingError):
    """There were units to plan, but no study plan could be placed; ``days`` has the reasons."""

    code = "nothing_placed"
    ko = "일정에 맞는 플랜을 생성할 수 없습니다. 기간과 콘텐츠 양을 확인해주세요."
    en = "No plan fits the schedule. Please check the period and the amount of content."

    days: tuple[DayWithoutPlan, ...] = ()
