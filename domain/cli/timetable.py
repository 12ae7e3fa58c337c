"""A schedule as a weekly timetable for the terminal.

A week runs from the period's first weekday, as the ``week`` of rows and warnings does.
Where seven columns do not fit, the days are listed one below the other. Whatever the
output cannot encode is replaced, so a pipe or an ASCII terminal never ends in an error.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from itertools import zip_longest
from types import MappingProxyType
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from domain.scheduling.notices import Language, Notice
from domain.scheduling.schedule import Quality, ScheduledPlan, Unplaced
from domain.scheduling.vocabulary import ContentType, PlanKind, UnplacedReason


class DayKind(StrEnum):
    """What a date is in its cycle."""

    STUDY = "study"
    REVIEW = "review"
    EXCLUDED = "excluded"
    NO_TIME = "no_time"


@dataclass(frozen=True, slots=True)
class DayLabel:
    """A date of the period, and why it is free, such as ``휴가 · 가족 여행``."""

    date: date
    kind: DayKind
    reason: str = ""


def print_timetable(
    console: Console,
    plans: Sequence[ScheduledPlan],
    titles: Mapping[int, str],
    *,
    days: Sequence[DayLabel] = (),
    types: Mapping[int, ContentType] = MappingProxyType({}),
    language: Language = "ko",
) -> None:
    """Print a legend of the contents and one timetable a week; ``days``: the whole period."""
    look = _look(console, titles, types, language)
    wide = console.width >= NARROWEST_GRID
    _print(console, _legend(look))
    shown = [
        day if _encodes(day.reason, console.encoding) else replace(day, reason="") for day in days
    ]
    for week in weeks_of(plans, shown):
        _print(console, _title(week, look))
        _print(console, _grid(week, look, console.width) if wide else _day_list(week, look))


def print_notices(
    console: Console,
    notices: Sequence[Notice],
    titles: Mapping[int, str],
    *,
    language: Language = "ko",
) -> None:
    """Print one line for each warning, its content named by title."""
    look = _look(console, titles, {}, language)
    for item in notices:
        _print(console, _line("!", "bold yellow", Text(look.sentence(item))))


def print_unplaced(
    console: Console,
    unplaced: Sequence[Unplaced],
    titles: Mapping[int, str],
    *,
    types: Mapping[int, ContentType] = MappingProxyType({}),
    language: Language = "ko",
) -> None:
    """Print what found no place, how long it is and why; or that everything found one."""
    look = _look(console, titles, types, language)
    if unplaced:
        _print(console, _line("×", "bold red", Text(look.word("unplaced"), style="bold")))
        _print(console, _unplaced(unplaced, look))
    else:
        _print(console, _line("✓", "bold green", Text(look.word("all_placed"))))


def print_quality(console: Console, quality: Quality, *, language: Language = "ko") -> None:
    """Print how even the study days are."""
    look = _look(console, {}, {}, language)
    names = ("peak", "least_peak", "spread", "reserve")
    parts = [
        Text.assemble((f"{look.word(f'quality_{name}')} ", "dim"), look.duration(value))
        for name, value in zip(names, astuple(quality), strict=True)
    ]
    _print(console, _line("≈", "bold cyan", Text("  ·  ", style="dim").join(parts)))


# --- formatting: no console, no width -------------------------------------------------

_KO: Final = {
    "weekdays": "월 화 수 목 금 토 일",
    "week": "{week}주차",
    "study": "공부",
    "review": "복습",
    "excluded": "제외",
    "no_time": "시간 없음",
    "reserve": "자율",
    "wrap_up": "마무리 {minutes}분",
    "duration": "{hours}시간 {minutes}분",
    "hours": "{hours}시간",
    "minutes": "{minutes}분",
    "book": "p.{range}",
    "lecture": "{range}강",
    "custom": "유닛 {range}",
    "content": "콘텐츠 {number}",
    "all_placed": "모든 내용을 배치했습니다.",
    "unplaced": "배치하지 못한 내용",
    "quality_peak": "가장 긴 날",
    "quality_least_peak": "이론상 최소",
    "quality_spread": "날짜별 차이",
    "quality_reserve": "자율학습 사용",
    UnplacedReason.NO_DAY: "공부할 날이 없습니다",
    UnplacedReason.NO_ROOM: "남은 시간이 부족합니다",
    UnplacedReason.DAY_TOO_SHORT: "하루에 다 담을 수 없습니다",
}
_EN: Final = {
    "weekdays": "Mon Tue Wed Thu Fri Sat Sun",
    "week": "Week {week}",
    "study": "study",
    "review": "review",
    "excluded": "off",
    "no_time": "no time",
    "reserve": "reserve",
    "wrap_up": "wrap-up {minutes}m",
    "duration": "{hours}h {minutes}m",
    "hours": "{hours}h",
    "minutes": "{minutes}m",
    "book": "p.{range}",
    "lecture": "ep.{range}",
    "custom": "unit {range}",
    "content": "content {number}",
    "all_placed": "Everything was placed.",
    "unplaced": "Not placed",
    "quality_peak": "longest day",
    "quality_least_peak": "least possible",
    "quality_spread": "spread",
    "quality_reserve": "reserve used",
    UnplacedReason.NO_DAY: "no day is left for it",
    UnplacedReason.NO_ROOM: "its days are full",
    UnplacedReason.DAY_TOO_SHORT: "longer than any of its days",
}
# readable on dark and on light backgrounds alike; nine contents are the most a group has
_COLOURS: Final = (
    "#3b82f6", "#e0663d", "#16a34a", "#a855f7", "#c98a04", "#0e9fb5", "#e0457b", "#6b9e1f",
    "#8292a6",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """How contents are named and coloured, and in which language."""

    titles: Mapping[int, str]
    types: Mapping[int, ContentType]
    language: Language

    def word(self, name: str, **data: object) -> str:
        return (_KO if self.language == "ko" else _EN)[name].format(**data)

    def title(self, content: int) -> str:
        title = _clean(self.titles.get(content, ""))
        return title or self.word("content", number=content)

    def colour(self, content: int) -> str:
        ranks = {position: rank for rank, position in enumerate(sorted(self.titles))}
        return _COLOURS[ranks.get(content, content) % len(_COLOURS)]

    def weekday(self, day: date) -> str:
        return self.word("weekdays").split()[day.weekday()]

    def units(self, plan: ScheduledPlan | Unplaced) -> str:
        first, last = plan.first_unit, plan.last_unit
        span = f"{first}" if first == last else f"{first}–{last}"
        return self.word(self.types.get(plan.content, ContentType.CUSTOM), range=span)

    def duration(self, minutes: int) -> str:
        hours, rest = divmod(minutes, 60)
        name = ("duration" if rest else "hours") if hours else "minutes"
        return self.word(name, hours=hours, minutes=rest)

    def sentence(self, item: Notice) -> str:
        """The warning, with the title beside the number of a content."""
        number = item.data.get("content")
        if isinstance(number, int) and self.titles.get(number):
            item = replace(item, data={**item.data, "content": f"{number} {self.title(number)}"})
        return _clean(item.message(self.language))

    def details(self, plan: ScheduledPlan) -> list[str]:
        """Review, units, part, wrap-up and reserve, in the order in which they are read."""
        details = [self.word("review")] if plan.kind is PlanKind.REVIEW else []
        details.append(self.units(plan))
        if plan.parts > 1:
            details.append(f"({plan.part}/{plan.parts})")
        if plan.wrap_up_minutes:
            details.append(self.word("wrap_up", minutes=plan.wrap_up_minutes))
        return [*details, f"[{self.word('reserve')}]"] if plan.reserve else details


@dataclass(frozen=True, slots=True)
class Day:
    """A date of a week; ``label`` is ``None`` outside the period."""

    date: date
    label: DayLabel | None
    plans: Sequence[ScheduledPlan]

    @property
    def minutes(self) -> int:
        return sum(plan.minutes for plan in self.plans)


@dataclass(frozen=True, slots=True)
class Week:
    number: int
    days: Sequence[Day]


def weeks_of(plans: Iterable[ScheduledPlan], days: Iterable[DayLabel]) -> Iterator[Week]:
    """The weeks of seven dates, counted from the first date that is known."""
    labels = {label.date: label for label in days}
    rows = defaultdict(list)
    for plan in sorted(plans, key=lambda plan: (plan.date, plan.start)):
        rows[plan.date].append(plan)
    known = sorted({*labels, *rows})
    for number in dict.fromkeys((day - known[0]).days // 7 for day in known):
        dates = [known[0] + timedelta(number * 7 + step) for step in range(7)]
        yield Week(number + 1, [Day(day, labels.get(day), rows.get(day, [])) for day in dates])


def clock(minute: int) -> str:
    """``600`` is ``10:00``."""
    return f"{minute // 60:02}:{minute % 60:02}"


def clipped(text: str, width: int) -> str:
    """The text in at most ``width`` columns, a Korean letter counting two."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) >= width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def folded(words: Iterable[str], width: int) -> list[str]:
    """Lines of whole words, none wider than ``width`` unless a single word is."""
    lines: list[str] = []
    for word in words:
        if lines and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _clean(text: str) -> str:
    # an escape sequence in a title must not reach the terminal
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeError:
        return False
    return True


# --- drawing --------------------------------------------------------------------------

NARROWEST_GRID: Final = 98
"""Seven times a bar, ``10:00–10:54`` and two spaces."""
_DAY_STYLES: Final = {
    DayKind.STUDY: "green",
    DayKind.REVIEW: "bold magenta",
    DayKind.EXCLUDED: "red",
    DayKind.NO_TIME: "dim",
}
_PLAIN_SIGNS: Final = dict(zip("–…▌·×✓≈", "-~|-x+=", strict=True))


def _look(
    console: Console,
    titles: Mapping[int, str],
    types: Mapping[int, ContentType],
    wanted: Language,
) -> Look:
    """English, and numbers for titles, where the output cannot show Korean."""
    language = wanted if _encodes("가", console.encoding) else "en"
    shown = {at: title if _encodes(title, console.encoding) else "" for at, title in titles.items()}
    return Look(shown, types, language)


def _legend(look: Look) -> RenderableType:
    entries = [
        Text.assemble(_chip(content, look), f" {look.title(content)}")
        for content in sorted(look.titles)
    ]
    return Padding(Columns(entries, padding=(0, 3)), (1, 1), expand=False)


def _chip(content: int, look: Look) -> Text:
    return Text(f" {content} ", style=f"bold white on {look.colour(content)}")


def _title(week: Week, look: Look) -> RenderableType:
    known = [day.date for day in week.days if day.label or day.plans]
    name = f" {look.word('week', week=week.number)} "
    title = Text.assemble((name, "bold reverse"), f"  {known[0]} – {known[-1]:%m-%d}")
    return Padding(title, (0, 1), expand=False)


def _grid(week: Week, look: Look, width: int) -> RenderableType:
    inner = min(width // 7 - 2, 24)
    table = Table(
        *(Column(_heading(day, look), footer=_total(day, look), width=inner) for day in week.days),
        box=box.SIMPLE,
        padding=(0, 0, 0, 1),
        show_edge=False,
        show_footer=True,
        border_style="dim",
    )
    table.add_row(*(Group(*_cell(day, look, inner)) for day in week.days))
    return Padding(table, (0, 0, 1, 0), expand=False)


def _heading(day: Day, look: Look) -> Text:
    weekend = {5: " #5b8def", 6: " #e05252"}.get(day.date.weekday(), "")
    name = f"{day.date.month}/{day.date.day} {look.weekday(day.date)}"
    if day.label is None and not day.plans:
        return Text(name, style="dim")
    kind = day.label.kind if day.label else DayKind.STUDY
    return Text.assemble((name, f"bold{weekend}"), "\n", (look.word(kind), _DAY_STYLES[kind]))


def _total(day: Day, look: Look) -> Text:
    return Text(look.duration(day.minutes) if day.plans else "", style="dim")


def _reason(day: Day) -> list[Text]:
    return (
        [Text(_clean(day.label.reason), style="italic")] if day.label and day.label.reason else []
    )


def _cell(day: Day, look: Look, width: int) -> Iterator[Text]:
    yield from _reason(day)
    content = None
    for plan in day.plans:
        yield _card(plan, look, width - 1, titled=plan.content != content)
        content = plan.content


def _card(plan: ScheduledPlan, look: Look, width: int, *, titled: bool) -> Text:
    colour = look.colour(plan.content)
    lines = [Text(_times(plan), style="bold")]
    if titled:
        title = f"{plan.content} {look.title(plan.content)}"
        lines.append(Text(clipped(title, width), style=colour))
    lines += [_details(line, look) for line in folded(look.details(plan), width)]
    return Text("\n").join(Text.assemble(("▌", colour), line) for line in lines)


def _times(plan: ScheduledPlan) -> str:
    return f"{clock(plan.start)}–{clock(plan.end)}"


def _details(line: str, look: Look) -> Text:
    text = Text(line)
    text.highlight_words([look.word("review")], _DAY_STYLES[DayKind.REVIEW])
    return text


def _day_list(week: Week, look: Look) -> RenderableType:
    table = Table.grid(
        Column(min_width=13, no_wrap=True),
        Column(no_wrap=True),
        Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        Column(max_width=22),
        padding=(0, 2, 0, 0),
        expand=True,
    )
    for day in week.days:
        left = [Text(" ").join(_heading(day, look).split("\n"))]
        left += [_total(day, look)] if day.plans else []
        right = [(Text(), reason, Text()) for reason in _reason(day)]
        right += [_row(plan, look) for plan in day.plans]
        for heading, cells in zip_longest(left, right):
            table.add_row(heading, *(cells or ()))
        table.add_row()
    return Padding(table, (1, 1, 0, 1))


def _row(plan: ScheduledPlan, look: Look) -> tuple[Text, Text, Text]:
    colour = look.colour(plan.content)
    title = Text(f"{plan.content} {look.title(plan.content)}", style=colour)
    times = Text.assemble(("▌", colour), (_times(plan), "bold"))
    return times, title, _details(" ".join(look.details(plan)), look)


def _unplaced(unplaced: Sequence[Unplaced], look: Look) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    for item in unplaced:
        title = Text.assemble(_chip(item.content, look), f" {look.title(item.content)}")
        amount = Text(look.duration(item.minutes), style="dim")
        table.add_row(title, look.units(item), amount, look.word(item.reason))
    return Padding(table, (0, 1, 0, 3), expand=False)


def _line(mark: str, style: str, text: Text) -> RenderableType:
    table = Table.grid(Column(), Column(overflow="fold"), padding=(0, 1, 0, 0))
    table.add_row(Text(mark, style=style), text)
    return Padding(table, (0, 1), expand=False)


@dataclass(frozen=True, slots=True)
class _Encodable:
    """What is drawn, in signs of the output's encoding and as wide as before."""

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.content, options):
            yield segment._replace(text=_encodable(segment.text, console.encoding))


def _encodable(text: str, encoding: str) -> str:
    if _encodes(text, encoding):
        return text
    return "".join(
        sign if _encodes(sign, encoding) else _PLAIN_SIGNS.get(sign, "?" * cell_len(sign))
        for sign in text
    )


def _print(console: Console, content: RenderableType) -> None:
    console.print(_Encodable(content))
