"""The planning core: plain Python without a database."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial
from time import process_time
from unittest.mock import patch

from domain.documents import read_json
from domain.documents.rows import to_request
from domain.scheduling.distribution import nearest
from domain.scheduling.schedule import schedule
from domain.scheduling.types import (
    AcademySchedule,
    Allocation,
    Block,
    BlockKind,
    Content,
    ContentType,
    NonStudyBlock,
    Request,
    Strategy,
)
from tests.benchmarks.timing import line, medians
from tests.unit.documents.documents import EXAMPLE
from tests.unit.scheduling.corpus import corpus


def run() -> None:
    """Print the times of the worked example, of a roomy and of a tight year, and the growth."""
    example = to_request(read_json(EXAMPLE))
    roomy, tight = books(365, 9, 300), books(365, 9, 2083, minutes=5)
    found = medians(
        {
            "worked example": lambda: schedule(example),
            "365 days × 9 books": lambda: schedule(roomy),
        },
        rounds=30,
    )
    line("worked example", f"{found['worked example'] * 1000:.2f} ms", "goal ≤ 3 ms")
    line("365 days × 9 books", f"{found['365 days × 9 books'] * 1000:.1f} ms", "goal ≤ 60 ms")
    slow = medians({"tight": lambda: schedule(tight)}, rounds=5)["tight"]
    line("365 days × 9 books, hardly any spare time", f"{slow * 1000:.0f} ms")
    growth()
    exact_search()


def exact_search() -> None:
    """Print what the exact search for the nearest counts costs and gains, if it is always used.

    The deviations are the sums of squares that the search minimizes, over all of its calls.
    """
    groups = list(corpus(80, seed=3))
    original = nearest.Search.nearest
    deviations: list[int] = []

    def recording(search: nearest.Search, even: Sequence[int]) -> list[int]:
        counts = original(search, even)
        deviations.append(sum((a - b) ** 2 for a, b in zip(counts, even, strict=True)))
        return counts

    found = []
    for limit in (nearest.MAX_SMALL, 10**9):
        deviations.clear()
        with (
            patch.object(nearest, "MAX_SMALL", limit),
            patch.object(nearest.Search, "nearest", recording),
        ):
            start = process_time()
            for group in groups:
                schedule(group)
            found.append((process_time() - start, sum(deviations)))
    (usual, usual_deviations), (always, always_deviations) = found
    line("80 groups, exact search always / only if small: time", f"{always / usual:.2f}")
    ratio = always_deviations / usual_deviations
    line("the same: sum of squared deviations", f"{ratio:.4f}")


def growth() -> None:
    """Print the time / (rows × log rows) of up to two years, relative to a quarter."""
    sizes = {days: books(days, 9, days) for days in (91, 182, 365, 730)}
    rows = {days: len(schedule(request).plans) for days, request in sizes.items()}
    found = medians(
        {str(days): partial(schedule, request) for days, request in sizes.items()}, rounds=5
    )
    base = found["91"] / n_log_n(rows[91])
    for days, count in rows.items():
        ratio = found[str(days)] / n_log_n(count) / base
        line(f"{count} rows: time / (rows × log rows), against 91 days", f"{ratio:.2f}", "goal ≤ 1")


def n_log_n(rows: int) -> float:
    return rows * rows.bit_length()


def books(days: int, count: int, pages: int, minutes: int = 4) -> Request:
    """Return a request of ``count`` books with ``pages`` pages of at least ``minutes`` each.

    Three are weaknesses, the others strategies of 2, 3 and 4 days. A day has nine hours of study
    time, three of reserve and a lunch; there is a weekly class.
    """
    start = date(2025, 1, 1)
    return Request(
        strategy=Strategy.EVEN,
        period_start=start,
        period_end=start + timedelta(days=days - 1),
        today=start,
        contents=tuple(
            Content(
                position=i,
                type=ContentType.BOOK,
                allocation=Allocation.WEAKNESS if i < 3 else Allocation.STRATEGY,
                first_unit=1,
                last_unit=pages,
                weekly_days=None if i < 3 else 2 + i % 3,
                minutes_per_unit=minutes + i % 3,
            )
            for i in range(count)
        ),
        blocks=tuple(
            block
            for day in range(7)
            for block in (
                Block(BlockKind.STUDY, day, 600, 1140),
                Block(BlockKind.SELF_STUDY, day, 1140, 1320),
            )
        ),
        non_study_blocks=tuple(NonStudyBlock(day, 720, 780) for day in range(7)),
        academy_schedules=(AcademySchedule(3, 840, 1020, 60),),
    )
