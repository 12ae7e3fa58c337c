"""Compares ``even`` and ``balanced`` over the groups of the corpus, judged by the checker's code.

Prints one line per figure, for both strategies: over the groups in which a flow places everything
at the shifts 0, unless the line says otherwise. The level of a day is its fullness (study minutes /
study time) or, in groups with ``balance = minutes``, its minutes. The third column is ``balanced``
in the groups whose schedule has no reserve, cut units or wrap-ups.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil
from statistics import mean, median
from time import process_time

from domain.errors import DomainError
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import PlanKind, Request
from tests.benchmarks.balance_figures import Figures, everything_fits
from tests.benchmarks.group_document import document
from tests.benchmarks.scheduling import books
from tests.unit.scheduling.checker import check, check_refusal
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.corpus import balanced, corpus

MAX_KINDS = 12
"""The number of kinds of violations that are printed."""
Values = Mapping[str, float | None]
"""The figures of one group and strategy by the key of their row."""
STRATEGIES: Mapping[str, Callable[[Request], Request]] = {
    "even": lambda request: request,
    "balanced": balanced,
}


def values_of(request: Request) -> tuple[dict[str, float | None], list[str]]:
    """Return the figures of the schedule of a request, only ``broken`` if it is refused.

    The second value has the violations.
    """
    try:
        result = schedule(request)
    except DomainError as error:
        refused = check_refusal(request, error)
        return {"broken": len(refused)}, refused
    violations = check(request, result)
    case = Case(request, result)
    figures = Figures(case)
    is_room = request.balance.value == "room"
    ratios = {
        "excess": figures.excess(),
        "excess-study": figures.excess(wrap_ups=False),
        "unit-excess": figures.unit_excess,
        "within-unit": _number(figures.is_within_one_unit),
    }
    days = figures.weakness_days
    excess, units = figures.unplaced
    values = {
        "broken": len(violations),
        "plain": float(is_plain(request, result)),
        **{f"{key}{'' if is_room else '-minutes'}": value for key, value in ratios.items()},
        "shifts": figures.shift_ratio,
        "variation": figures.variation(),
        "variation-used": figures.variation(used_days=True),
        "weakness-due": days["due"],
        "weakness-absent": days["absent"],
        "weakness-below": days["below"],
        "short-rows": figures.short_rows,
        "short-pieces": figures.short_pieces,
        "short-sessions": figures.short_sessions,
        "short-reviews": figures.short_reviews,
        "divided-short-reviews": figures.divided_short_reviews,
        "joinable-reviews": figures.joinable_reviews,
        "review-excess": figures.review_excess,
        "sittings": figures.long_sitting_days(is_certain=True),
        "sittings-sum": figures.long_sitting_days(is_certain=False),
        "marks": figures.off_mark_starts(is_certain=True),
        "marks-sum": figures.off_mark_starts(is_certain=False),
        "divided": figures.divided_sessions,
        "openers": figures.same_openers,
        "reserve": figures.reserve_excess,
        "unplaced": excess,
        "unplaced-units": units,
    }
    return values, violations


def is_plain(request: Request, result: Schedule) -> bool:
    """Whether a schedule has no reserve, cut unit or wrap-up, which the least does not contain."""
    study = (plan for plan in result.plans if plan.kind is PlanKind.STUDY)
    return not any(content.wrap_up_minutes for content in request.contents) and not any(
        plan.reserve or plan.parts > 1 for plan in study
    )


def _number(value: bool | None) -> float | None:
    return None if value is None else float(value)


@dataclass(frozen=True)
class Row:
    """A line of the table: the figure of the groups' values under a key."""

    text: str
    key: str
    figure: Callable[[Sequence[float]], str]
    goal: str = ""
    groups: str = "fitting"


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the least value that so many percent of the values do not exceed."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def _median(values: Sequence[float], digits: int = 2) -> str:
    return f"{median(values):.{digits}f} ({percentile(values, 90):.{digits}f})"


def _share(values: Sequence[float]) -> str:
    return f"{100 * mean(values):.1f} %"


def _share_up_to(limit: float, values: Sequence[float]) -> str:
    return f"{100 * mean(value <= limit for value in values):.1f} %"


def _sum(values: Sequence[float]) -> str:
    return f"{sum(values):,.0f}"


def _highest(values: Sequence[float]) -> str:
    return f"{max(values):.2f}"


ROWS = (
    Row("broken invariants, all groups", "broken", _sum, "0", "all"),
    Row("highest fullness / least at the chosen shifts, median (90 %)", "excess", _median,
        "≤ 1.08"),
    Row("  without wrap-ups", "excess-study", _median),
    Row("  against one unit of its day at least", "unit-excess", _median, "≤ 1.04 (1.28)"),
    Row("  excess over the least ≤ one unit", "within-unit", _share, "98 %"),
    Row("highest minutes / least, balance = minutes", "excess-minutes", _median, "≤ 1.08"),
    Row("  without wrap-ups", "excess-study-minutes", _median),
    Row("  against one unit of its day at least", "unit-excess-minutes", _median, "≤ 1.04 (1.28)"),
    Row("  excess over the least ≤ one unit", "within-unit-minutes", _share, "98 %"),
    Row("least at the chosen shifts ≤ 1.01 × least over all", "shifts",
        partial(_share_up_to, 1.01), "99 %"),
    Row("  the highest ratio", "shifts", _highest),
    Row("variation of the days' level: median (90 %)", "variation", _median, "≤ 0.08"),
    Row("  over days that a content may use", "variation-used", _median),
    Row("study rows under 10 minutes, mean of the groups", "short-rows", _share, "≤ 1 %"),
    Row("  in sessions of ten minutes and more", "short-pieces", _share),
    Row("sessions below the shortest, mean of the groups", "short-sessions", _share),
    Row("reviews under 5 minutes, mean of the groups", "short-reviews", _share, "≤ 1 %"),
    Row("  that are not all that their cycle reviews of the content", "divided-short-reviews",
        _share),
    Row("reviews under 5 minutes that could have joined another", "joinable-reviews", _sum, "0"),
    Row("cycles with several review days: highest fullness / least", "review-excess", _median),
    Row("days with a long sitting although the day has the room", "sittings", _share, "0"),
    Row("  judged by the sum of the idle time", "sittings-sum", _share),
    Row("starts off the marks although the day has the room", "marks", _share, "0"),
    Row("  judged by the sum of the idle time", "marks-sum", _share),
    Row("sessions divided although a span of the day could hold them", "divided", _share),
    Row("days that begin like the day before, with another choice", "openers", _sum),
    Row("reserve minutes beyond the least", "reserve", _sum, "0"),
    Row("minutes unplaced although everything fits", "unplaced", _sum, "0"),
    Row("minutes unplaced beyond the least, in units, overfull groups: most", "unplaced-units",
        _highest, "< 1", "overfull"),
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """A group by its number in the corpus, and the values of each strategy."""

    index: int
    fits: bool
    values: Mapping[str, Values]
    violations: Mapping[str, Sequence[str]]

    def is_in(self, groups: str) -> bool:
        """Whether a row with these groups counts this one."""
        return groups == "all" or self.fits == (groups == "fitting")


def judge(numbered: tuple[int, Request]) -> Judged:
    """Return the values of one group."""
    index, request = numbered
    found = {name: values_of(change(request)) for name, change in STRATEGIES.items()}
    return Judged(
        index,
        everything_fits(request),
        {name: values for name, (values, _) in found.items()},
        {name: violations for name, (_, violations) in found.items()},
    )


def seconds_of(groups: Iterable[Request]) -> dict[str, list[float]]:
    """Return the processor time of each group's schedule; the strategies alternate."""
    times: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for request in groups:
        for name, change in STRATEGIES.items():
            changed = change(request)
            started = process_time()
            try:
                schedule(changed)
            except DomainError:
                continue
            times[name].append(process_time() - started)
    return times


def _print(text: str, figures: Sequence[str], goal: str = "") -> None:
    columns = "".join(f"{figure:>16}" for figure in figures)
    print(f"  {text:<64}{columns}   {goal}", flush=True)


def _print_times(which: str, times: Mapping[str, Sequence[float]]) -> None:
    if not all(times.values()):
        return
    medians = [median(times[name]) for name in STRATEGIES]
    _print(f"milliseconds{which}: median (95 %)",
           [f"{1000 * median(found):.2f} ({1000 * percentile(found, 95):.1f})"
            for found in times.values()], "≤ 10 (40)")  # fmt: skip
    _print("  median, against even", [f"{one / medians[0]:.2f}" for one in medians], "≤ 2.2")


def _print_growth() -> None:
    """Print the time of a year, and the time per row of longer periods against a quarter."""
    base: dict[str, float] = {}
    for factor in (1, 2, 4):
        figures = []
        for name, change in STRATEGIES.items():
            request = change(books(91 * factor, 9, 91 * factor))
            rows = len(schedule(request).plans)
            seconds = median(seconds_of([request])[name][0] for _ in range(5))
            base.setdefault(name, seconds / rows)
            figures.append(f"{seconds / rows / base[name]:.2f}, {1000 * seconds:.0f} ms")
        _print(f"time per row, {91 * factor} days × 9 books, against 91 days", figures,
               "n log n" + ("; 120 ms" if factor == 4 else ""))  # fmt: skip


def _print_table(judged: Sequence[Judged]) -> None:
    plain = [one for one in judged if one.values["balanced"].get("plain")]
    columns = [(judged, "even"), (judged, "balanced"), (plain, "balanced")]
    for row in ROWS:
        figures = []
        for groups, name in columns:
            values = found(groups, row, name)
            figures.append(row.figure([value for _, value in values]) if values else "–")
        count = len(found(judged, row, "balanced"))
        _print(f"{row.text}", [*figures, f"n {count}"], row.goal)
    for text, key in (("absent", "weakness-absent"), ("below its minimum", "weakness-below")):
        figures = []
        for groups, name in columns:
            due, missing = (
                sum(one.values[name].get(key) or 0 for one in groups if one.fits)
                for key in ("weakness-due", key)
            )
            figures.append(f"{100 * missing / max(1, due):.2f} %")
        _print(f"weakness {text} on a study day on which it is due", figures, "0")


def _print_violations(judged: Sequence[Judged]) -> None:
    """Print the kinds of violations of ``balanced``, each with the first group that has it."""
    kinds: Counter[str] = Counter()
    first: dict[str, tuple[int, str]] = {}
    for one in judged:
        for text in one.violations["balanced"]:
            kind = re.sub(r"[\d:,–-]+", "#", text)
            kinds[kind] += 1
            first.setdefault(kind, (one.index, text))
    for kind, count in kinds.most_common(MAX_KINDS):
        index, text = first[kind]
        print(f"  broken {count} times, first in group {index}: {text}")


def found(judged: Sequence[Judged], row: Row, strategy: str) -> list[tuple[Judged, float]]:
    """Return the groups that have a value in a row, with the value."""
    return [
        (one, value)
        for one in judged
        if one.is_in(row.groups)
        for value in (one.values[strategy].get(row.key),)
        if value is not None
    ]


def _print_worst(judged: Sequence[Judged], key: str, count: int, seed: int) -> None:
    groups = next((row.groups for row in ROWS if row.key == key), "fitting")
    values = [
        (value, one)
        for one in judged
        if one.is_in(groups)
        for value in (one.values["balanced"].get(key),)
        if value is not None
    ]
    worst = sorted(values, key=lambda pair: pair[0], reverse=key != "within-unit")
    for value, one in worst[:count]:
        even = one.values["even"].get(key)
        print(f"  {key} {value:.3f} (even {even}), group {one.index} of seed {seed}")


def main(arguments: Sequence[str]) -> None:
    """Print the table, or the groups that are the worst in a row."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks balanced", description=__doc__
    )
    parser.add_argument("--groups", type=int, default=500, help="number of groups (500)")
    parser.add_argument("--seed", type=int, default=13, help="seed of the corpus (13)")
    parser.add_argument("--worst", type=int, default=0, help="print so many groups per --row")
    parser.add_argument("--row", nargs="+", default=["excess"], help="keys of rows for --worst")
    parser.add_argument("--only", type=int, nargs="+", help="judge these groups only")
    parser.add_argument("--processes", type=int, default=2, help="processes that judge (2)")
    parser.add_argument("--document", type=int, help="only print the document of a group")
    options = parser.parse_args(arguments)
    groups = list(enumerate(corpus(options.groups, options.seed)))
    if options.only:
        groups = [groups[index] for index in options.only]
    if options.document is not None:
        print(json.dumps(document(groups[options.document][1]), ensure_ascii=False, indent=1))
        return
    times = {
        which: seconds_of(
            request for _, request in groups if everything_fits(request) == is_fitting
        )
        for which, is_fitting in (("", True), (", overfull groups", False))
    }
    with ProcessPoolExecutor(options.processes) as pool:
        judged = list(pool.map(judge, groups, chunksize=5))
    fitting = sum(one.fits for one in judged)
    print(f"{len(judged)} groups, in {fitting} of which everything fits")
    _print("", [*STRATEGIES, "of it plain", ""], "wanted of balanced")
    _print_table(judged)
    _print_violations(judged)
    for which, found_times in times.items():
        _print_times(which, found_times)
    _print_growth()
    for key in options.row if options.worst else ():
        _print_worst(judged, key, options.worst, options.seed)
