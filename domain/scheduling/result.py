"""The result of the scheduling core: a frozen schedule with its warnings.

The messages of warnings are in Korean and English, and are formatted from the warning's data.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias

from domain.scheduling.types import KeptPlan, PlanKind, UnplacedReason

Scalar: TypeAlias = str | int | bool | None
Language: TypeAlias = Literal["ko", "en"]

_KOREAN: Final = {
    "shortage": "{week}주차 {weekday}({date}) 학습 시간이 부족합니다. "
    "필요한 시간: {need}분, 사용 가능한 시간: {free}분",
    "unreviewed": "복습하지 못하는 범위가 있습니다: 콘텐츠 {content}, {first_unit}–{last_unit}",
    "review_shrunk": "{cycle}주기의 복습 시간이 부족하여 줄였습니다. "
    "필요한 시간: {need}분, 사용 가능한 시간: {free}분",
    "wrap_up_shrunk": "{date} 마무리 시간을 줄였습니다. 콘텐츠 {content}: {need}분 중 {given}분",
    "assumed_minutes": "강의 시간을 알 수 없는 회차는 {minutes}분으로 계산했습니다: "
    "콘텐츠 {content}, {first_unit}–{last_unit}회",
    "nothing_left": "계획할 내용이 남아 있지 않습니다.",
    "long_period": "기간이 1년을 넘습니다: {days}일",
    "many_contents": "콘텐츠가 {count}개입니다. 6개 이하를 권장합니다.",
}
_ENGLISH: Final = {
    "shortage": "Week {week}, {weekday_en} ({date}): not enough study time. "
    "Needed: {need} min, free: {free} min",
    "unreviewed": "No review covers content {content}, units {first_unit}–{last_unit}",
    "review_shrunk": "The reviews of cycle {cycle} were shortened. "
    "Needed: {need} min, free: {free} min",
    "wrap_up_shrunk": "{date}: the wrap-up of content {content} was shortened "
    "to {given} of {need} min",
    "assumed_minutes": "Episodes of unknown length were counted as {minutes} min: "
    "content {content}, {first_unit}–{last_unit}",
    "nothing_left": "No content remains to be planned.",
    "long_period": "The period is longer than a year: {days} days",
    "many_contents": "There are {count} contents; six or fewer are recommended.",
}


def clock(minute: int) -> str:
    """Return a minute of the day as ``HH:MM``. The end of the day is ``24:00``."""
    return f"{minute // 60:02}:{minute % 60:02}"


@dataclass(frozen=True, slots=True)
class ScheduledPlan:
    """One row with a date and a time: units ``first_unit``–``last_unit`` of a content.

    The time is half-open: ``[start_minute, end_minute)``. A row with ``parts > 1`` is piece
    ``part`` of one unit. ``wrap_up_minutes`` are the last minutes of the row. ``cycle_day`` is
    ``None`` on a day without study time. ``sequence`` is the number of the row in the schedule,
    from 1 in order of time, or ``None`` for a stored plan outside the result of a run.
    """

    sequence: int | None
    date: date
    start_minute: int
    end_minute: int
    content: int
    kind: PlanKind
    first_unit: int
    last_unit: int
    part: int
    parts: int
    wrap_up_minutes: int
    reserve: bool
    week: int
    cycle: int
    cycle_day: int | None

    @property
    def minutes(self) -> int:
        """The length of the row, including its wrap-up."""
        return self.end_minute - self.start_minute

    def as_kept(self, done_through: int | None = None) -> KeptPlan:
        """Return the plan as an input of planning that is kept, or kept through a unit."""
        return KeptPlan(
            content=self.content,
            kind=self.kind,
            date=self.date,
            start_minute=self.start_minute,
            end_minute=self.end_minute,
            first_unit=self.first_unit,
            last_unit=self.last_unit,
            done_through=done_through,
            part=self.part,
            parts=self.parts,
            wrap_up_minutes=self.wrap_up_minutes,
            reserve=self.reserve,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan for JSON: the date in ISO format, times as ``HH:MM``, the kind as text.

        ``content`` is the position of the content.
        """
        return {
            "date": self.date.isoformat(),
            "from": clock(self.start_minute),
            "to": clock(self.end_minute),
            "content": self.content,
            "kind": self.kind.value,
            "first_unit": self.first_unit,
            "last_unit": self.last_unit,
            "part": self.part,
            "parts": self.parts,
            "minutes": self.minutes,
            "reserve": self.reserve,
            "week": self.week,
            "cycle": self.cycle,
            "cycle_day": self.cycle_day,
            "sequence": self.sequence,
        }


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A range of a content that could not be placed, and the reason."""

    content: int
    first_unit: int
    last_unit: int
    minutes: int
    reason: UnplacedReason


@dataclass(frozen=True, slots=True)
class Certificate:
    """Why units are unplaced, as a sum that anybody can check.

    The remaining units of ``contents`` (positions) need ``need`` minutes, and all ``days`` that
    these contents may use hold ``have`` free minutes, which is less.
    """

    contents: tuple[int, ...]
    days: tuple[date, ...]
    need: int
    have: int


class RepairKind(StrEnum):
    """What a repair changes."""

    MINUTES_PER_DAY = "minutes_per_day"
    """Every study day from today on has ``amount`` more minutes of study time."""
    DAYS = "days"
    """The period ends ``amount`` days later, and the plans are generated again: a reschedule does
    not use dates that the last generation did not have."""
    UNITS = "units"
    """The last ``amount`` remaining units of the content are left out."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A change with which a trial placed everything, without any other change.

    The trial was a generation or, of a reschedule, a reschedule or a generation of its day.

    ``content`` is the position of the content that loses units, ``None`` for the other kinds.
    """

    kind: RepairKind
    amount: int
    content: int | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the schedule is, over the study days from today on; study rows are new and kept.

    Of the minutes of study per day, ``peak`` is the highest, ``least_peak`` a lower bound for the
    peak of any schedule of the same units on the same days, and ``spread`` the difference of the
    highest and the lowest. ``reserve`` has the minutes of study that are in the reserve.

    The fullness of a day is its minutes of study / its study time without that of the student's
    other plans, in thousandths. ``fullness`` is the highest, ``least_fullness`` a lower bound like
    ``least_peak``, and ``variation`` the coefficient of variation, in thousandths. Days without
    such study time have no fullness.

    ``short_rows`` is the number of study rows under ten minutes. ``slack_days`` is the number of
    days between the last study of a content and its deadline or the end of the period, of the
    content for which it is the lowest.
    """

    peak: int
    least_peak: int
    spread: int
    reserve: int
    fullness: int
    least_fullness: int
    variation: int
    short_rows: int
    slack_days: int


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """A warning: a stable ``code``, and the data from which its messages are formatted."""

    code: str
    data: Mapping[str, Scalar]

    def message(self, language: str = "ko", titles: Mapping[int, str] | None = None) -> str:
        """Return the message for a user: Korean for ``ko``, English for any other language.

        ``titles`` has the titles of contents by position; the message contains the title instead
        of the position if it is given.
        """
        texts = _KOREAN if language == "ko" else _ENGLISH
        data = dict(self.data)
        position = data.get("content")
        if titles is not None and isinstance(position, int):
            data["content"] = titles[position]
        return texts[self.code].format(**data)


def warning(code: str, **data: Scalar) -> PlanWarning:
    """Return a warning whose data are in the order of the arguments."""
    return PlanWarning(code, data)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The result for a request: plans by time, unplaced ranges by position, warnings, quality.

    If something is unplaced, ``certificate`` proves that the minutes do not fit (``None`` if they
    do, but the units do not fit), and ``repairs`` has changes that would suffice.
    ``day_shifts`` has the shift of each strategy content by position, if the strategy has shifts.
    """

    plans: tuple[ScheduledPlan, ...]
    unplaced: tuple[Unplaced, ...]
    warnings: tuple[PlanWarning, ...]
    quality: Quality
    certificate: Certificate | None = None
    repairs: tuple[Repair, ...] = ()
    day_shifts: Mapping[int, int] = field(default_factory=dict)

    def canonical_json(self) -> str:
        """Return the schedule as canonical JSON: sorted keys, no spaces, ISO dates."""
        return json.dumps(
            asdict(self),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            default=date.isoformat,
        )


@dataclass(frozen=True, slots=True)
class Rescheduled(Schedule):
    """The result of a reschedule, and the quality of the plans as they stood before.

    Missed plans do not count in ``quality_before``; a plan that has lost its time does.
    """

    quality_before: Quality | None = None
