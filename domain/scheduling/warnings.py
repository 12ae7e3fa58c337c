"""The warnings of a schedule, with their data and with messages in Korean and English."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

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


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """A warning: a stable ``code``, and the data from which its messages are formatted."""

    code: str
    data: Mapping[str, Scalar]

    def message(self, language: Language = "ko", titles: Mapping[int, str] | None = None) -> str:
        """Return the message for a user.

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
