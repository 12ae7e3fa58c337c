"""Requests that cannot be planned; a full calendar is none of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from domain.errors.base import DomainError


@dataclass(frozen=True, slots=True)
class DayWithoutPlan:
    """A date on which nothing could be placed: ``no_study_time`` or ``full``."""

    date: date
    reason: str


class SchedulingError(DomainError):
    """The request is impossible as it stands. A full calendar is no error."""

    http_status = 422


class NoContentsError(SchedulingError):
    code = "no_contents"
    ko = "플랜 콘텐츠가 없습니다."
    en = "The plan group has no contents."


class NoBlocksError(SchedulingError):
    code = "no_blocks"
    ko = "블록 세트가 설정되지 않았습니다."
    en = "The plan group has no study blocks."


class NoStudyDaysError(SchedulingError):
    code = "no_study_days"
    ko = "학습 가능한 날짜가 없습니다. 기간과 제외일을 확인해주세요."
    en = "There is no day to study on. Please check the period and the exclusions."


class NothingPlacedError(SchedulingError):
    """There was something to plan and no study row came of it; ``days`` tell why."""

    code = "nothing_placed"
    ko = "일정에 맞는 플랜을 생성할 수 없습니다. 기간과 콘텐츠 양을 확인해주세요."
    en = "No plan fits the schedule. Please check the period and the amount of content."

    def __init__(self, *, days: Iterable[DayWithoutPlan] = ()) -> None:
        super().__init__(days=tuple(days))
