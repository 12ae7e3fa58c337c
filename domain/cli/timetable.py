"""Prints the result of a generation: weekly timetables, unplaced contents, warnings, quality.

If the terminal is too narrow for seven columns, the days are listed below each other. Characters
that the output cannot encode are replaced, so output to a pipe or to an ASCII terminal does not
raise an error.
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

from domain.cli.console import clipped, folded, indented, marked, show
from domain.cli.quality import BarRow, day_loads, print_bars, print_quality
from domain.cli.text import clean, encodes
from domain.cli.wording import Labels
from domain.documents import PlanGroupDocument
from domain.documents.rows import to_request
from domain.errors import Language
from domain.repositories.plan_rows import GenerationResult
from domain.scheduling.calendar import Day, DayKind, calendar
from domain.scheduling.result import (
    Certificate,
    PlanWarning,
    Repair,
    ScheduledPlan,
    Unplaced,
    clock,
)

MIN_GRID_WIDTH: Final = 98
"""The width of seven columns, each with a bar, ``10:00–10:54`` and two spaces."""
MAX_COLUMN_WIDTH: Final = 24
_DAY_STYLES: Final = {
    DayKind.STUDY: "green",
    DayKind.REVIEW: "bold magenta",
    DayKind.HOLIDAY: "yellow",
    DayKind.EXCLUDED: "red",
    DayKind.NO_TIME: "dim",
}


def print_result(
    console: Console,
    document: PlanGroupDocument,
    result: GenerationResult,
    language: Language,
    today: date,
) -> None:
    """Print the timetable, the unplaced contents and why, the warnings and the quality."""
    labels = Labels.of(console, document, language)
    reasons: dict[date, str] = {}
    for exclusion in document.exclusions:
        parts = [labels.text(exclusion.type), exclusion.reason or ""]
        shown = [part for part in parts if part and encodes(part, console.encoding)]
        reasons.setdefault(exclusion.date, " · ".join(shown))
    days = calendar(to_request(document))
    print_timetable(console, labels, days, result.plans, reasons)
    print_unplaced(console, labels, result.unplaced)
    if result.unplaced:
        print_explanation(console, labels, result.certificate, result.repairs)
    print_warnings(console, labels, result.warnings)
    print_quality(console, labels, result.quality, document.balance)
    bars = BarRow(day_loads(days, result.plans, today))
    print_bars(console, labels, [bars], document.balance)


def print_timetable(
    console: Console,
    labels: Labels,
    days: Sequence[Day],
    plans: Sequence[ScheduledPlan],
    reasons: Mapping[date, str] = MappingProxyType({}),
) -> None:
    """Print a legend of the contents and one timetable per week.

    :param days: the calendar of the entire period; it contains the date of every plan.
    :param reasons: why a date has no plans, such as ``휴가 · 가족 여행``.
    """
    show(console, _legend(labels))
    texts = {
        day: Text(clean(reason), style="italic")
        for day, reason in reasons.items()
        if encodes(reason, console.encoding)
    }
    for week in weeks_of(days, plans):
        show(console, _title(week, labels))
        if console.width >= MIN_GRID_WIDTH:
            show(console, _grid(week, labels, texts, console.width))
        else:
            show(console, _day_list(week, labels, texts))


def print_unplaced(console: Console, labels: Labels, unplaced: Sequence[Unplaced]) -> None:
    """Print each unplaced range with its length and reason, or that everything was placed."""
    if not unplaced:
        show(console, marked("✓", "bold green", Text(labels.text("all_placed"))))
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for item in unplaced:
        amount = Text(labels.duration(item.minutes), style="dim")
        title = _label(item.content, labels)
        table.add_row(title, labels.units(item), amount, labels.text(item.reason))
    show(console, marked("×", "bold red", Text(labels.text("unplaced"), style="bold")))
    show(console, indented(table))


def print_explanation(
    console: Console, labels: Labels, certificate: Certificate | None, repairs: Sequence[Repair]
) -> None:
    """Print why units are unplaced, and what would help if anything is known to."""
    show(console, indented(Text(labels.reason(certificate))))
    if repairs:
        show(console, indented(Text(labels.repairs(repairs))))


def print_warnings(console: Console, labels: Labels, warnings: Sequence[PlanWarning]) -> None:
    """Print one line per warning; contents are named by their titles."""
    for warning in warnings:
        show(console, marked("!", "bold yellow", Text(labels.message(warning))))


# --- weeks ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DayColumn:
    """A date with its plans in order of time; ``day`` is ``None`` after the end of the period."""

    date: date
    day: Day | None
    plans: Sequence[ScheduledPlan] = ()

    @property
    def minutes(self) -> int:
        return sum(plan.minutes for plan in self.plans)


@dataclass(frozen=True, slots=True)
class Week:
    """Seven dates. Weeks are counted from the first day of the period, as ``week`` of plans is."""

    number: int
    columns: Sequence[DayColumn]
    last: date
    """The last date that belongs to the period."""


def weeks_of(days: Iterable[Day], plans: Iterable[ScheduledPlan]) -> Iterator[Week]:
    """Yield the weeks of a calendar; the last one is padded to seven dates.

    It is not padded if that could exceed ``date.max``.
    """
    rows = defaultdict(list)
    for plan in sorted(plans, key=lambda plan: (plan.date, plan.start_minute)):
        rows[plan.date].append(plan)
    for number, group in groupby(days, key=lambda day: day.week):
        columns = [DayColumn(day.date, day, rows[day.date]) for day in group]
        last = columns[-1].date
        missing = range(1, 8 - len(columns)) if last < date.max - timedelta(7) else ()
        columns += [DayColumn(last + timedelta(step), None) for step in missing]
        yield Week(number, columns, last)


# --- parts of both layouts ------------------------------------------------------------


def _legend(labels: Labels) -> RenderableType:
    entries = [_label(content, labels) for content in range(len(labels.titles))]
    return Padding(Columns(entries, padding=(0, 3)), (1, 1), expand=False)


def _label(content: int, labels: Labels) -> Text:
    """Return the content's number on its colour, followed by its title."""
    number = (f" {content + 1} ", f"bold white on {labels.colour(content)}")
    return Text.assemble(number, f" {labels.title(content)}")


def _title(week: Week, labels: Labels) -> RenderableType:
    name = f" {labels.text('week', week=week.number)} "
    dates = f"  {week.columns[0].date} – {week.last:%m-%d}"
    return Padding(Text.assemble((name, "bold reverse"), dates), (0, 1), expand=False)


def _heading(column: DayColumn, labels: Labels) -> Text:
    weekend = {5: " #5b8def", 6: " #e05252"}.get(column.date.weekday(), "")
    name = f"{column.date.month}/{column.date.day} {labels.weekday(column.date)}"
    if column.day is None:
        return Text(name, style="dim")
    kind = column.day.kind
    return Text.assemble((name, f"bold{weekend}"), "\n", (labels.text(kind), _DAY_STYLES[kind]))


def _total(column: DayColumn, labels: Labels) -> Text:
    return Text(labels.duration(column.minutes) if column.plans else "", style="dim")


def _times(plan: ScheduledPlan, labels: Labels) -> Text:
    times = (f"{clock(plan.start_minute)}–{clock(plan.end_minute)}", "bold")
    return Text.assemble(("▌", labels.colour(plan.content)), times)


def _details(line: str, labels: Labels) -> Text:
    text = Text(line)
    text.highlight_words([labels.text(DayKind.REVIEW)], _DAY_STYLES[DayKind.REVIEW])
    return text


# --- layout in seven columns ----------------------------------------------------------


def _grid(week: Week, labels: Labels, reasons: Mapping[date, Text], width: int) -> RenderableType:
    inner = min(width // 7 - 2, MAX_COLUMN_WIDTH)
    table = Table(
        *(
            Column(_heading(column, labels), footer=_total(column, labels), width=inner)
            for column in week.columns
        ),
        box=box.SIMPLE,
        padding=(0, 0, 0, 1),
        show_edge=False,
        show_footer=True,
        border_style="dim",
    )
    table.add_row(*(Group(*_cell(column, labels, reasons, inner)) for column in week.columns))
    return Padding(table, (0, 0, 1, 0), expand=False)


def _cell(
    column: DayColumn, labels: Labels, reasons: Mapping[date, Text], width: int
) -> Iterator[Text]:
    if column.date in reasons:
        yield reasons[column.date]
    content = None
    for plan in column.plans:
        yield _card(plan, labels, width - 1, titled=plan.content != content)
        content = plan.content


def _card(plan: ScheduledPlan, labels: Labels, width: int, *, titled: bool) -> Text:
    colour = labels.colour(plan.content)
    lines = []
    if titled:
        lines.append(Text(clipped(labels.numbered(plan.content), width), style=colour))
    lines += [_details(line, labels) for line in folded(labels.details(plan), width)]
    barred = [Text.assemble(("▌", colour), line) for line in lines]
    return Text("\n").join([_times(plan, labels), *barred])


# --- layout as a list of days ---------------------------------------------------------


def _day_list(week: Week, labels: Labels, reasons: Mapping[date, Text]) -> RenderableType:
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
        left = [Text(" ").join(_heading(column, labels).split("\n"))]
        left += [_total(column, labels)] if column.plans else []
        right = [(Text(), reasons[column.date], Text())] if column.date in reasons else []
        right += [_row(plan, labels) for plan in column.plans]
        for heading, cells in zip_longest(left, right):
            table.add_row(heading, *(cells or ()))
        table.add_row()
    return Padding(table, (1, 1, 0, 1))


def _row(plan: ScheduledPlan, labels: Labels) -> tuple[Text, Text, Text]:
    title = Text(labels.numbered(plan.content), style=labels.colour(plan.content))
    details = _details(" ".join(labels.details(plan)), labels)
    return _times(plan, labels), title, details
