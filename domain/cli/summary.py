"""What a schedule has to tell besides its timetable: the unplaced, warnings, quality."""

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from domain.cli.paper import show
from domain.cli.timetable import chip
from domain.cli.wording import Wording
from domain.scheduling.notices import Notice
from domain.scheduling.schedule import Quality, Unplaced


def print_unplaced(console: Console, wording: Wording, unplaced: Sequence[Unplaced]) -> None:
    """Print what found no place, how long it is and why; or that everything found one."""
    if unplaced:
        show(console, marked("×", "bold red", Text(wording.word("unplaced"), style="bold")))
        show(console, _unplaced(unplaced, wording))
    else:
        show(console, marked("✓", "bold green", Text(wording.word("all_placed"))))


def print_warnings(console: Console, wording: Wording, warnings: Sequence[Notice]) -> None:
    """Print one line for each warning, its content named by title."""
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


def marked(mark: str, style: str, text: Text) -> RenderableType:
    """The text after a sign of its kind; what does not fit goes on below the text."""
    table = Table.grid(Column(), Column(overflow="fold"), padding=(0, 1, 0, 0))
    table.add_row(Text(mark, style=style), text)
    return Padding(table, (0, 1), expand=False)


def _unplaced(unplaced: Sequence[Unplaced], wording: Wording) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    for item in unplaced:
        title = Text.assemble(chip(item.content, wording), f" {wording.title(item.content)}")
        amount = Text(wording.duration(item.minutes), style="dim")
        table.add_row(title, wording.units(item), amount, wording.word(item.reason))
    return Padding(table, (0, 1, 0, 3), expand=False)
