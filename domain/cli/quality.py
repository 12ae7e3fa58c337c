"""Prints how full the study days are: one line of quality, and a bar for each study day.

A bar is one character, so those of four weeks fit beside their labels, and those of a year into
seven lines of 80 columns. They are grouped by the weeks of the timetable.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.cli.console import bar_characters, folded, indented, marked, show
from domain.cli.wording import Labels
from domain.scheduling.calendar import Day, DayKind
from domain.scheduling.result import Quality, ScheduledPlan
from domain.scheduling.spans import total
from domain.scheduling.types import Balance, PlanKind

OVER: Final = "!"
"""The bar of a day with more minutes of study than study time."""
NONE: Final = "·"
"""The bar of a day without study."""
_WEEKS: Final = 4
"""A line with more weeks than this has a multiple of it."""


@dataclass(frozen=True, slots=True)
class DayLoad:
    """The minutes of study of a study day, and its study time, which is at least a minute."""

    week: int
    minutes: int
    time: int


@dataclass(frozen=True, slots=True)
class BarRow:
    """The days of one schedule; if it has a label, this is before the bars and a note behind."""

    loads: Sequence[DayLoad]
    label: str = ""
    note: str = ""


def day_loads(
    days: Iterable[Day], plans: Iterable[ScheduledPlan], today: date | None = None
) -> list[DayLoad]:
    """Return the load of each study day from ``today`` on; reviews and other days do not count.

    For a student without other plans, these are the days and minutes of ``Quality``.
    """
    minutes: dict[date, int] = defaultdict(int)
    for plan in plans:
        if plan.kind is PlanKind.STUDY:
            minutes[plan.date] += plan.minutes
    return [
        DayLoad(day.week, minutes[day.date], total(day.study))
        for day in days
        if day.kind is DayKind.STUDY and (today is None or day.date >= today)
    ]


def print_quality(
    console: Console, labels: Labels, quality: Quality, balance: Balance = Balance.ROOM
) -> None:
    """Print the measures of the quality in one line; if it is too long, it breaks between two."""
    measures = [f"{name} {value}" for name, value in _measures(labels, quality, balance)]
    lines = folded(measures, console.width - len(" ≈  "), separator=" · ")
    show(console, marked("≈", "bold cyan", Text("\n".join(lines))))


def summary(labels: Labels, quality: Quality) -> str:
    """Return the two measures by which schedules of the same group can be compared."""
    fullest = f"{labels.text('fullness')} {_percent(quality.fullness)}"
    return f"{fullest} · {labels.text('variation')} {_percent(quality.variation)}"


def print_bars(
    console: Console, labels: Labels, rows: Sequence[BarRow], balance: Balance = Balance.ROOM
) -> None:
    """Print the bars of each row in lines of whole weeks, and below them what a bar means.

    The rows have the same days. If there are several lines, each has the number of its first week.
    """
    if not rows[0].loads:
        return
    characters = bar_characters(console.encoding)
    longest = max(load.minutes for row in rows for load in row.loads)
    full = longest if balance is Balance.MINUTES else None
    weeks = [_weeks(row.loads, full, characters) for row in rows]
    texts = max(cell_len(f"{row.label}  {row.note}") for row in rows)
    names, per_line = _line_names(labels, weeks[0], console.width - texts - len("      "))
    table = Table.grid(padding=(0, 2, 0, 0))
    for row, bars in zip(rows, weeks, strict=True):
        for number, name in enumerate(names):
            line = _bars(bars, list(bars)[number * per_line :][:per_line])
            cells = [Text(name, style="dim"), line] if name else [line]
            table.add_row(*_with_texts(cells, row, is_first=number == 0))
    show(console, indented(table))
    show(console, indented(_legend(rows, labels, balance, characters[-1])))


# --- measures -------------------------------------------------------------------------


def _measures(labels: Labels, quality: Quality, balance: Balance) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each measure; ``balance`` decides what is measured."""
    if balance is Balance.MINUTES:
        highest, least = map(labels.duration, (quality.peak, quality.least_peak))
        yield labels.text("peak"), f"{highest} ({labels.text('least')} {least})"
        yield labels.text("spread"), labels.duration(quality.spread)
    else:
        highest, least = map(_percent, (quality.fullness, quality.least_fullness))
        yield labels.text("fullness"), f"{highest} ({labels.text('least')} {least})"
        yield labels.text("variation"), _percent(quality.variation)
    yield labels.text("reserve_used"), labels.duration(quality.reserve)
    yield labels.text("short_rows"), labels.text("rows", count=quality.short_rows)
    yield labels.text("slack"), labels.count("days", quality.slack_days)


def _percent(thousandths: int) -> str:
    return f"{(thousandths + 5) // 10}%"


# --- bars -----------------------------------------------------------------------------


def _weeks(loads: Sequence[DayLoad], full: int | None, characters: str) -> dict[int, str]:
    """Return the bars of each week from the first to the last one, by the week's number."""
    weeks = dict.fromkeys(range(loads[0].week, loads[-1].week + 1), "")
    for load in loads:
        weeks[load.week] += _bar(load, full or load.time, characters)
    return weeks


def _bar(load: DayLoad, full: int, characters: str) -> str:
    """Return the character of a day, the highest one for ``full`` minutes; heights round up."""
    if load.minutes > load.time:
        return OVER
    return characters[-(-len(characters) * load.minutes // full) - 1] if load.minutes else NONE


def _line_names(labels: Labels, weeks: Mapping[int, str], width: int) -> tuple[list[str], int]:
    """Return the name of the first week of each line, and the number of weeks in a line.

    A line has no name if it is the only one.
    """
    per_line = _weeks_per_line(weeks, width)
    if per_line >= len(weeks):
        return [""], per_line
    names = [labels.text("week", week=week) for week in weeks]
    per_line = _weeks_per_line(weeks, width - max(map(cell_len, names)) - len("  "))
    return names[::per_line], per_line


def _weeks_per_line(weeks: Mapping[int, str], width: int) -> int:
    """Return how many weeks fit beside each other, at least one."""
    fitting = max(1, (width + 1) // (max(map(len, weeks.values())) + 1))
    return fitting - fitting % _WEEKS if fitting > _WEEKS else fitting


def _bars(weeks: Mapping[int, str], line: Sequence[int]) -> Text:
    """Return the bars of a line; all weeks have the same width, so that they are aligned."""
    widest = max(map(len, weeks.values()))
    text = Text(" ".join(weeks[week].ljust(widest) for week in line).rstrip())
    text.stylize("green")
    text.highlight_words([OVER], "bold red")
    return text


def _with_texts(cells: Sequence[Text], row: BarRow, *, is_first: bool) -> Sequence[Text]:
    """Return the cells of a line between the label and the note, which only the first line has."""
    if not row.label:
        return cells
    label, note = (row.label, row.note) if is_first else ("", "")
    return [Text(label, style="bold"), *cells, Text(note)]


def _legend(rows: Sequence[BarRow], labels: Labels, balance: Balance, full: str) -> Text:
    parts = [labels.text(f"bar_{balance}", full=full)]
    if any(load.minutes > load.time for row in rows for load in row.loads):
        parts.append(labels.text("bar_over", over=OVER))
    return Text(" · ".join(parts), style="dim")
