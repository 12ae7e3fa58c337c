"""``life``: a student's simulated term, week by week, rescheduled and as a generation would do.

Each week is a row of blocks, a block per plan and a group per day: done, missed, or moved by the
run before the week. Beside it are the plans that a generation before that week would have had.
"""

import random
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from domain.cli.console import folded, indented, marked, new_console, show
from domain.cli.jobs import Job
from domain.cli.quality import NONE
from domain.cli.simulation import Life, LivedPlan, LivedWeek, Outcome, units_done, weeks
from domain.cli.text import Texts, clean, encodes, text_in
from domain.cli.wording import Labels
from domain.documents.rows import to_request
from domain.errors import DomainError, Language

_TEXTS: Final[Texts] = {
    "rescheduled": ("재조정", "rescheduled"),
    "generated": ("다시 생성했다면", "generated again"),
    "moved": ("이동", "moved"),
    "legend": (
        "{done} 완료 · {part} 일부 완료 · {missed} 못 함 · {moved} 지난주에 보던 자리에서 이동",
        "{done} done · {part} part done · {missed} missed · {moved} not where it was a week before",
    ),
    "total": (
        "매주 재조정: 남은 플랜 {future:,}개 중 {moved:,}개 이동 ({share})",
        "rescheduled every week: {moved:,} of {future:,} future plans moved ({share})",
    ),
    "total_generated": (
        "매주 다시 생성했다면: {moved:,}개 ({share})",
        "generated again every week: {moved:,} ({share})",
    ),
    "end": (
        "끝까지 {units:,}유닛 중 {done:,}유닛 완료, 나머지는 배치하지 못한 것으로 보고",
        "in the end {done:,} of {units:,} units are done; the others are reported as unplaced",
    ),
    "all_done": (
        "마지막 날까지: {units:,}유닛 모두 완료.",
        "In the end all {units:,} units are done.",
    ),
}
_DONE, _PART, _MISSED, _MOVED = range(4)
_COLUMNS: Final = ("rescheduled", "moved", "generated", "moved")
_BLOCKS: Final = ("■▣□◆", "#+.M")
_STYLES: Final = ("green", "green", "bold red", "bold yellow")
_MEANING: Final = {Outcome.DONE: _DONE, Outcome.PART_DONE: _PART, Outcome.MISSED: _MISSED}


def run(jobs: Sequence[Job], *, seed: int, language: Language) -> bool:
    """Print the life of each document's group; return whether plans could be generated for all."""
    printed = [_print_life(new_console(), job, seed, language) for job in jobs]
    return all(printed)


def _print_life(console: Console, job: Job, seed: int, language: Language) -> bool:
    labels = Labels.of(console, job.document, language)
    show(console, Text(f"\n {clean(job.file)}  {clean(job.document.name)}", style="bold"))
    try:
        life = Life(to_request(job.document))
        lived = list(weeks(life, random.Random(seed)))  # noqa: S311 - repeatable, not a secret
    except DomainError as error:
        message = error.message(labels.language)
        show(console, marked("×", "bold red", Text(f"{message} ({error.code})")))
        return False
    _print_weeks(console, labels, lived)
    _print_total(console, labels, lived[1:])
    _print_end(console, labels, life)
    return True


def _print_weeks(console: Console, labels: Labels, lived: Sequence[LivedWeek]) -> None:
    """Print the weeks as rows, and their legend."""
    characters = next(chars for chars in _BLOCKS if encodes(chars, console.encoding))
    names = [labels.text("week", week=week.number) for week in lived]
    counts = [("", ""), *(_counts(week) for week in lived[1:])]
    width = _block_width(console, [names, *zip(*counts, strict=True)])
    columns = [Column(overflow="fold") for _ in range(5)]
    table = Table.grid(*columns, padding=(0, 2, 0, 0))
    table.add_row("", *(Text(_text(labels, name), style="bold") for name in _COLUMNS))
    for week, name, (moved, by_generation) in zip(lived, names, counts, strict=True):
        blocks, others = (_blocks(days, width, characters) for days in _kinds(week))
        table.add_row(_dim(name), blocks, _dim(moved), others, _dim(by_generation))
    show(console, indented(table))
    named = dict(zip(("done", "part", "missed", "moved"), characters, strict=True))
    show(console, indented(Text(_text(labels, "legend", **named), style="dim")))


def _block_width(console: Console, columns: Sequence[Sequence[str]]) -> int:
    """Return the width of each of the two columns of blocks beside columns of text."""
    texts = sum(max(map(cell_len, column)) for column in columns)
    return max(1, console.width - texts - len("    ") - 4 * len("  ")) // 2


def _dim(text: str) -> Text:
    return Text(text, style="dim")


def _counts(week: LivedWeek) -> tuple[str, str]:
    return f"{week.moved}/{week.future}", f"{week.moved_by_generation}/{week.future}"


def _print_total(console: Console, labels: Labels, runs: Sequence[LivedWeek]) -> None:
    """Print what was moved in all weeks."""
    future = sum(week.future for week in runs)
    if not future:
        return
    parts = []
    for name, moved in (
        ("total", sum(week.moved for week in runs)),
        ("total_generated", sum(week.moved_by_generation for week in runs)),
    ):
        share = f"{round(100 * moved / future)}%"
        parts.append(_text(labels, name, future=future, moved=moved, share=share))
    lines = folded(parts, console.width - len(" ≈  "), separator=" · ")
    show(console, marked("≈", "bold cyan", Text("\n".join(lines))))


def _print_end(console: Console, labels: Labels, life: Life) -> None:
    units = sum(item.last_unit - item.first_unit + 1 for item in life.request.contents)
    done = units_done(life)
    text = _text(labels, "all_done" if done == units else "end", units=units, done=done)
    show(console, marked("✓", "bold green", Text(text)))


def _kinds(week: LivedWeek) -> tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]:
    """Return the kinds of the blocks of each day, as it was and after a generation."""
    return (
        [[_kind(plan) for plan in day] for day in week.days],
        [[_MOVED if is_moved else _DONE for is_moved in day] for day in week.generated],
    )


def _kind(plan: LivedPlan) -> int:
    """Return the block of a plan; that it was missed matters more than that it was moved."""
    if plan.is_moved and plan.outcome is not Outcome.MISSED:
        return _MOVED
    return _MEANING[plan.outcome]


def _blocks(days: Sequence[Sequence[int]], width: int, characters: str) -> Text:
    """Return a block per plan, with a space between the days, in lines that end with a day."""
    words = ["".join(characters[kind] for kind in day) or NONE for day in days]
    text = Text("\n".join(folded(words, width)))
    for character, style in zip(characters, _STYLES, strict=True):
        text.highlight_words([character], style)
    return text


def _text(labels: Labels, name: str, **data: object) -> str:
    return text_in(labels.language, _TEXTS, name, **data)
