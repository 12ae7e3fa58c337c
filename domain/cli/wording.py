"""Labels and colours for contents, days and durations, in Korean or English."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

from rich.console import Console

from domain.cli.text import Texts, clean, encodes, text_in
from domain.documents import PlanGroupDocument
from domain.errors import Language
from domain.scheduling.calendar import DayKind
from domain.scheduling.result import (
    Certificate,
    PlanWarning,
    Repair,
    RepairKind,
    ScheduledPlan,
    Unplaced,
)
from domain.scheduling.types import ContentType, ExclusionType, PlanKind, UnplacedReason

_TEXTS: Final[Texts] = {
    "weekdays": ("월 화 수 목 금 토 일", "Mon Tue Wed Thu Fri Sat Sun"),
    "week": ("{week}주차", "Week {week}"),
    DayKind.STUDY: ("공부", "study"),
    DayKind.REVIEW: ("복습", "review"),
    DayKind.HOLIDAY: ("휴일", "holiday"),
    DayKind.EXCLUDED: ("제외", "off"),
    DayKind.NO_TIME: ("시간 없음", "no time"),
    ExclusionType.VACATION: ("휴가", "vacation"),
    ExclusionType.PERSONAL: ("개인사정", "personal"),
    ExclusionType.OTHER: ("기타", "other"),
    ExclusionType.DESIGNATED_HOLIDAY: ("휴일지정", "designated"),
    "reserve": ("자율", "reserve"),
    "wrap_up": ("마무리 {minutes}분", "wrap-up {minutes}m"),
    "duration": ("{hours}시간 {minutes}분", "{hours}h {minutes}m"),
    "hours": ("{hours}시간", "{hours}h"),
    "minutes": ("{minutes}분", "{minutes}m"),
    ContentType.BOOK: ("p.{range}", "p.{range}"),
    ContentType.LECTURE: ("{range}강", "ep.{range}"),
    ContentType.CUSTOM: ("유닛 {range}", "unit {range}"),
    "content": ("콘텐츠 {number}", "content {number}"),
    "all_placed": ("모든 내용을 배치했습니다.", "Everything was placed."),
    "unplaced": ("배치하지 못한 내용", "Not placed"),
    "and": (", ", " and "),
    "minutes_short": (
        "이유: {contents}에 {need:,}분이 필요하지만 사용 가능한 시간은 {have:,}분입니다 ({days}).",
        "Why: {need:,} min are needed for {contents}, but only {have:,} min are free ({days}).",
    ),
    "no_free_day": (
        "이유: {contents}에 {need:,}분이 필요하지만 사용 가능한 날이 없습니다.",
        "Why: {need:,} min are needed for {contents}, but no day has free time for this.",
    ),
    "units_do_not_fit": (
        "이유: 전체 시간은 충분하지만, 나눌 수 없는 내용이 빈 시간에 들어가지 않습니다.",
        "Why: the minutes would suffice, but the units do not fit whole into the free times.",
    ),
    "repair": ("해결 방법: {repairs}", "What would help: {repairs}"),
    "repairs": (
        "해결 방법 (하나로 충분합니다): {repairs}",
        "What would help (each alone): {repairs}",
    ),
    RepairKind.MINUTES_PER_DAY: (
        "공부하는 날마다 {minutes} 추가",
        "{minutes} more on every study day",
    ),
    RepairKind.DAYS: ("기간 {days} 연장", "a period {days} longer"),
    RepairKind.UNITS: (
        "{content} 마지막 {units} 제외",
        "leaving out the last {units} of {content}",
    ),
    "fullness": ("가장 찬 날", "fullest day"),
    "variation": ("변동", "variation"),
    "peak": ("가장 긴 날", "longest day"),
    "spread": ("차이", "spread"),
    "least": ("최소", "least possible"),
    "reserve_used": ("자율", "reserve"),
    "short_rows": ("10분 미만", "rows under 10m"),
    "rows": ("{count}개", "{count}"),
    "slack": ("여유", "slack"),
    "bar_room": (
        "막대 하나가 학습일 하루, {full} = 학습 시간의 100%",
        "one bar per study day, {full} = 100% of its study time",
    ),
    "bar_minutes": (
        "막대 하나가 학습일 하루, {full} = 가장 긴 날",
        "one bar per study day, {full} = the longest day",
    ),
    "bar_over": ("{over} = 100% 초과", "{over} = more than 100%"),
    UnplacedReason.NO_DAY: ("공부할 날이 없습니다", "no day is left for it"),
    UnplacedReason.NO_ROOM: ("남은 시간이 부족합니다", "its days are full"),
    UnplacedReason.DAY_TOO_SHORT: ("하루에 다 담을 수 없습니다", "longer than any of its days"),
}
# Counted things: the text in Korean, and the noun in English, which takes an s in the plural.
_COUNTS: Final[Texts] = {
    "minutes": ("{count:,}분", "{count:,} minute"),
    "days": ("{count:,}일", "{count:,} day"),
    ContentType.BOOK: ("{count:,}쪽", "{count:,} page"),
    ContentType.LECTURE: ("{count:,}강", "{count:,} episode"),
    ContentType.CUSTOM: ("{count:,}유닛", "{count:,} unit"),
}
# Readable on both dark and light backgrounds; one for each of the at most nine contents.
_COLOURS: Final = (
    "#3b82f6", "#e0663d", "#16a34a", "#a855f7", "#c98a04", "#0e9fb5", "#e0457b", "#6b9e1f",
    "#8292a6",
)  # fmt: skip


def readable_language(console: Console, wanted: Language) -> Language:
    """Return the language, or English if the output cannot represent Korean."""
    return wanted if encodes("가", console.encoding) else "en"


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels for one document's contents, which are identified by their index.

    The content with index 0 is shown as number 1.
    """

    titles: Sequence[str]
    types: Sequence[ContentType]
    language: Language

    @classmethod
    def of(cls, console: Console, document: PlanGroupDocument, wanted: Language) -> Self:
        """Return the labels for a document, as far as the output can represent them.

        Titles that it cannot represent are replaced by numbers, and Korean by English.
        """
        titles = [clean(content.title) for content in document.contents]
        return cls(
            [title if encodes(title, console.encoding) else "" for title in titles],
            [content.type for content in document.contents],
            readable_language(console, wanted),
        )

    def text(self, name: str, **data: object) -> str:
        return text_in(self.language, _TEXTS, name, **data)

    def title(self, content: int) -> str:
        return self.titles[content] or self.text("content", number=content + 1)

    def numbered(self, content: int) -> str:
        return f"{content + 1} {self.title(content)}"

    def colour(self, content: int) -> str:
        return _COLOURS[content % len(_COLOURS)]

    def weekday(self, day: date) -> str:
        return self.text("weekdays").split()[day.weekday()]

    def units(self, plan: ScheduledPlan | Unplaced) -> str:
        first, last = plan.first_unit, plan.last_unit
        span = f"{first}" if first == last else f"{first}–{last}"
        return self.text(self.types[plan.content], range=span)

    def duration(self, minutes: int) -> str:
        hours, rest = divmod(minutes, 60)
        name = ("duration" if rest else "hours") if hours else "minutes"
        return self.text(name, hours=hours, minutes=rest)

    def count(self, name: str, count: int) -> str:
        """Return a number of minutes, of days, or of units of a type of content."""
        text = text_in(self.language, _COUNTS, name, count=count)
        return f"{text}s" if self.language == "en" and count != 1 else text

    def reason(self, certificate: Certificate | None) -> str:
        """Return why units are unplaced: too few minutes, or units that do not fit uncut."""
        if certificate is None:
            return self.text("units_do_not_fit")
        *others, last = [self.title(content) for content in certificate.contents]
        return self.text(
            "minutes_short" if certificate.days else "no_free_day",
            contents=self.text("and").join([", ".join(others), last] if others else [last]),
            need=certificate.need,
            have=certificate.have,
            days=self.count("days", len(certificate.days)),
        )

    def repairs(self, repairs: Sequence[Repair]) -> str:
        """Return the changes of which each one suffices; there is at least one."""
        name = "repair" if len(repairs) == 1 else "repairs"
        return self.text(name, repairs=" · ".join(map(self._repair, repairs)))

    def _repair(self, repair: Repair) -> str:
        amount = repair.amount
        if repair.content is None:
            minutes, days = self.count("minutes", amount), self.count("days", amount)
            return self.text(repair.kind, minutes=minutes, days=days)
        units = self.count(self.types[repair.content], amount)
        return self.text(repair.kind, units=units, content=self.title(repair.content))

    def message(self, warning: PlanWarning) -> str:
        """Return the warning's message, with the content's title instead of its index."""
        titles = {index: title or f"{index + 1}" for index, title in enumerate(self.titles)}
        return warning.message(self.language, titles)

    def details(self, plan: ScheduledPlan) -> list[str]:
        """Return the labels of a plan in display order: review, units, part, wrap-up, reserve."""
        details = [self.text(DayKind.REVIEW)] if plan.kind is PlanKind.REVIEW else []
        details.append(self.units(plan))
        if plan.parts > 1:
            details.append(f"({plan.part}/{plan.parts})")
        if plan.wrap_up_minutes:
            details.append(self.text("wrap_up", minutes=plan.wrap_up_minutes))
        return [*details, f"[{self.text('reserve')}]"] if plan.reserve else details
