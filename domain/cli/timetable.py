"""A generation's result on the terminal: weekly timetables, and what else it has to report.

Where seven columns do not fit, the days are listed one below the other. Whatever the
output cannot encode is replaced, so a pipe or an ASCII terminal never ends in an error.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby, zip_longest
from types import MappingProxyType
from typing import Final

from rich import box
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from domain.cli.console import clean, clipped, encodes, folded, marked, show
from domain.cli.wording import Wording
from domain.documents import PlanGroupDocument
from domain.documents.rows import to_request
from domain.errors import Language
from domain.repositories.plan_rows import GenerationResult
from domain.scheduling.calendar import Day, DayKind, calendar
from domain.scheduling.schedule import Quality, ScheduledPlan, Unplaced, clock
from domain.scheduling.warnings import PlanWarning

MIN_GRID_WIDTH: Final = 98
"""Seven times a bar, ``10:00–10:54`` and two spaces."""
MAX_COLUMN_WIDTH: Final = 24
_DAY_STYLES: Final = {
    DayKind.STUDY: "green",
    DayKind.REVIEW: "bold magenta",
    DayKind.HOLIDAY: "yellow",
    DayKind.EXCLUDED: "red",
    DayKind.NO_TIME: "dim",
}


def print_result(
    console: Console, document: PlanGroupDocument, result: GenerationResult, language: Language
) -> None:
    """Print the timetable, the unplaced contents, the warnings and the quality."""
    wording = Wording.of(console, document, language)
    reasons: dict[date, str] = {}
    for exclusion in document.exclusions:
        words = [wording.word(exclusion.type), exclusion.reason or ""]
        shown = [word for word in words if word and encodes(word, console.encoding)]
        reasons.setdefault(exclusion.date, " · ".join(shown))
    print_timetable(console, wording, calendar(to_request(document)), result.plans, reasons)
    print_unplaced(console, wording, result.unplaced)
    print_warnings(console, wording, result.warnings)
    print_quality(console, wording, result.quality)


def print_timetable(
    console: Console,
    wording: Wording,
    days: Sequence[Day],
    plans: Sequence[ScheduledPlan],
    reasons: Mapping[date, str] = MappingProxyType({}),
) -> None:
    """Print a legend of the contents and one timetable a week.

    :param days: the calendar of the whole period, in which every plan has its date.
    :param reasons: why a date is free, such as ``휴가 · 가족 여행``.
    """
    show(console, _legend(wording))
    texts = {
        day: Text(clean(reason), style="italic")
        for day, reason in reasons.items()
        if encodes(reason, console.encoding)
    }
    for week in weeks_of(days, plans):
        show(console, _title(week, wording))
        if console.width >= MIN_GRID_WIDTH:
            show(console, _grid(week, wording, texts, console.width))
        else:
            show(console, _day_list(week, wording, texts))


def print_unplaced(console: Console, wording: Wording, unplaced: Sequence[Unplaced]) -> None:
    """Print what could not be placed, its length and the reason; or that everything was."""
    if not unplaced:
        show(console, marked("✓", "bold green", Text(wording.word("all_placed"))))
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for item in unplaced:
        amount = Text(wording.duration(item.minutes), style="dim")
        title = _label(item.content, wording)
        table.add_row(title, wording.units(item), amount, wording.word(item.reason))
    show(console, marked("×", "bold red", Text(wording.word("unplaced"), style="bold")))
    show(console, Padding(table, (0, 1, 0, 3), expand=False))


def print_warnings(console: Console, wording: Wording, warnings: Sequence[PlanWarning]) -> None:
    """Print one line per warning, its content named by title."""
    for warning in warnings:
        show(console, marked("!", "bold yellow", Text(wording.sentence(warning))))


def print_quality(console: Console, wording: Wording, quality: Quality) -> None:
    """Print how even the study days are."""
    values = {
        "peak": quality.peak,
        "least_peak": quality.least_peak,
        "spread": quality.spread,
        "reserve_used": quality.reserve,
    }
    parts = [
        Text.assemble((f"{wording.word(name)} ", "dim"), wording.duration(minutes))
        for name, minutes in values.items()
    ]
    show(console, marked("≈", "bold cyan", Text("  ·  ", style="dim").join(parts)))


# --- weeks ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DayColumn:
    """A date of a week with its plans by time; ``day`` is ``None`` after the period's end."""

    date: date
    day: Day | None
    plans: Sequence[ScheduledPlan] = ()

    @property
    def minutes(self) -> int:
        return sum(plan.minutes for plan in self.plans)


@dataclass(frozen=True, slots=True)
class Week:
    """Seven dates, counted from the first day of the period as the ``week`` of plans is."""

    number: int
    columns: Sequence[DayColumn]
    last: date
    """The last date that belongs to the period."""


def weeks_of(days: Iterable[Day], plans: Iterable[ScheduledPlan]) -> Iterator[Week]:
    """Yield the weeks of a calendar; the last one is filled up to seven dates."""
    rows = defaultdict(list)
    for plan in sorted(plans, key=lambda plan: (plan.date, plan.start_minute)):
        rows[plan.date].append(plan)
    for number, group in groupby(days, key=lambda day: day.week):
        columns = [DayColumn(day.date, day, rows[day.date]) for day in group]
        last = columns[-1].date
        missing = range(1, 8 - len(columns)) if last < date.max - timedelta(7) else ()
        columns += [DayColumn(last + timedelta(step), None) for step in missing]
        yield Week(number, columns, last)


# --- parts of both forms --------------------------------------------------------------


def _legend(wording: Wording) -> RenderableType:
    entries = [_label(content, wording) for content in range(len(wording.titles))]
    return Padding(Columns(entries, padding=(0, 3)), (1, 1), expand=False)


def _label(content: int, wording: Wording) -> Text:
    """The content's number on its colour, and its title."""
    number = (f" {content + 1} ", f"bold white on {wording.colour(content)}")
    return Text.assemble(number, f" {wording.title(content)}")


def _title(week: Week, wording: Wording) -> RenderableType:
    name = f" {wording.word('week', week=week.number)} "
    dates = f"  {week.columns[0].date} – {week.last:%m-%d}"
    return Padding(Text.assemble((name, "bold reverse"), dates), (0, 1), expand=False)


def _heading(column: DayColumn, wording: Wording) -> Text:
    weekend = {5: " #5b8def", 6: " #e05252"}.get(column.date.weekday(), "")
    name = f"{column.date.month}/{column.date.day} {wording.weekday(column.date)}"
    if column.day is None:
        return Text(name, style="dim")
    kind = column.day.kind
    return Text.assemble((name, f"bold{weekend}"), "\n", (wording.word(kind), _DAY_STYLES[kind]))


def _total(column: DayColumn, wording: Wording) -> Text:
    return Text(wording.duration(column.minutes) if column.plans else "", style="dim")


def _times(plan: ScheduledPlan, wording: Wording) -> Text:
    times = (f"{clock(plan.start_minute)}–{clock(plan.end_minute)}", "bold")
    return Text.assemble(("▌", wording.colour(plan.content)), times)


def _details(line: str, wording: Wording) -> Text:
    text = Text(line)
    text.highlight_words([wording.word(DayKind.REVIEW)], _DAY_STYLES[DayKind.REVIEW])
    return text


# --- seven columns --------------------------------------------------------------------


def _grid(week: Week, wording: Wording, reasons: Mapping[date, Text], width: int) -> RenderableType:
    inner = min(width // 7 - 2, MAX_COLUMN_WIDTH)
    table = Table(
        *(
            Column(_heading(column, wording), footer=_total(column, wording), width=inner)
            for column in week.columns
        ),
        box=box.SIMPLE,
        padding=(0, 0, 0, 1),
        show_edge=False,
        show_footer=True,
        border_style="dim",
    )
    table.add_row(*(Group(*_cell(column, wording, reasons, inner)) for column in week.columns))
    return Padding(table, (0, 0, 1, 0), expand=False)


def _cell(
    column: DayColumn, wording: Wording, reasons: Mapping[date, Text], width: int
) -> Iterator[Text]:
    if column.date in reasons:
        yield reasons[column.date]
    content = None
    for plan in column.plans:
        yield _card(plan, wording, width - 1, titled=plan.content != content)
        content = plan.content


def _card(plan: ScheduledPlan, wording: Wording, width: int, *, titled: bool) -> Text:
    colour = wording.colour(plan.content)
    lines = []
    if titled:
        lines.append(Text(clipped(wording.numbered(plan.content), width), style=colour))
    lines += [_details(line, wording) for line in folded(wording.details(plan), width)]
    barred = [Text.assemble(("▌", colour), line) for line in lines]
    return Text("\n").join([_times(plan, wording), *barred])


# --- one day below the other ----------------------------------------------------------


def _day_list(week: Week, wording: Wording, reasons: Mapping[date, Text]) -> RenderableType:
    table = Table.grid(
        Column(min_width=13, no_wrap=True),
        Column(no_wrap=True),
        Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        Column(max_width=22),
        padding=(0, 2, 0, 0),
        expand=True,
    )
    for column in week.columns:
        if column.day is None:
            continue
        left = [Text(" ").join(_heading(column, wording).split("\n"))]
        left += [_total(column, wording)] if column.plans else []
        right = [(Text(), reasons[column.date], Text())] if column.date in reasons else []
        right += [_row(plan, wording) for plan in column.plans]
        for heading, cells in zip_longest(left, right):
            table.add_row(heading, *(cells or ()))
        table.add_row()
    return Padding(table, (1, 1, 0, 1))


def _row(plan: ScheduledPlan, wording: Wording) -> tuple[Text, Text, Text]:
    title = Text(wording.numbered(plan.content), style=wording.colour(plan.content))
    details = _details(" ".join(wording.details(plan)), wording)
    return _times(plan, wording), title, details
