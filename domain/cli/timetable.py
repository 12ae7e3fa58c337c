"""A schedule as a weekly timetable for the terminal.

Where seven columns do not fit, the days are listed one below the other. Whatever the
output cannot encode is replaced, so a pipe or an ASCII terminal never ends in an error.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import zip_longest
from types import MappingProxyType
from typing import Final

from rich import box
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from domain.cli.paper import clean, clipped, encodes, folded, show
from domain.cli.weeks import DayColumn, Week, weeks_of
from domain.cli.wording import Wording
from domain.scheduling.calendar import Day, DayKind
from domain.scheduling.schedule import ScheduledPlan, clock

NARROWEST_GRID: Final = 98
"""Seven times a bar, ``10:00–10:54`` and two spaces."""
WIDEST_COLUMN: Final = 24
_DAY_STYLES: Final = {
    DayKind.STUDY: "green",
    DayKind.REVIEW: "bold magenta",
    DayKind.HOLIDAY: "yellow",
    DayKind.EXCLUDED: "red",
    DayKind.NO_TIME: "dim",
}


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
    wide = console.width >= NARROWEST_GRID
    drawn = {
        day: Text(clean(reason), style="italic")
        for day, reason in reasons.items()
        if encodes(reason, console.encoding)
    }
    for week in weeks_of(days, plans):
        show(console, _title(week, wording))
        if wide:
            show(console, _grid(week, wording, drawn, console.width))
        else:
            show(console, _day_list(week, wording, drawn))


def chip(content: int, wording: Wording) -> Text:
    """The content's number on its colour."""
    return Text(f" {content + 1} ", style=f"bold white on {wording.colour(content)}")


def _legend(wording: Wording) -> RenderableType:
    entries = [
        Text.assemble(chip(content, wording), f" {wording.title(content)}")
        for content in range(len(wording.titles))
    ]
    return Padding(Columns(entries, padding=(0, 3)), (1, 1), expand=False)


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
    inner = min(width // 7 - 2, WIDEST_COLUMN)
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
