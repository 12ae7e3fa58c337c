"""The terminal says how full the days are: one line of measures, and a bar for each study day."""

from dataclasses import replace
from datetime import date, timedelta
from textwrap import dedent
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from domain.cli.quality import BarRow, DayLoad, day_loads, print_bars, print_quality, summary
from domain.documents import read_json
from domain.documents.rows import to_request
from domain.errors import Language
from domain.scheduling.calendar import calendar
from domain.scheduling.result import Quality
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Balance, PlanKind, Strategy
from tests.handbook import example
from tests.unit.cli.test_timetable import DAYS, PLANS, QUALITY, START, EncodedFile, labels_of, plan
from tests.unit.documents.documents import EXAMPLE

YEAR = [
    DayLoad(number // 7 + 1, minutes=number % 101, time=100)
    for number in range(365)
    if number % 7 != 6 and not 14 <= number < 21
]


def printed_bars(
    *rows: BarRow,
    width: int = 80,
    balance: Balance = Balance.ROOM,
    encoding: str = "utf-8",
    language: Language = "en",
) -> list[str]:
    file = EncodedFile(encoding)
    console = Console(file=file, width=width)
    print_bars(console, labels_of(console, (), language), rows, balance)
    return file.text().splitlines()


def printed_measures(
    quality: Quality = QUALITY,
    width: int = 80,
    balance: Balance = Balance.ROOM,
    language: Language = "en",
) -> list[str]:
    file = EncodedFile("utf-8")
    console = Console(file=file, width=width)
    print_quality(console, labels_of(console, (), language), quality, balance)
    return file.text().splitlines()


def bars(*rows: BarRow, **options: Any) -> list[str]:
    """Return the lines without the spaces around them."""
    return [line.strip() for line in printed_bars(*rows, **options)]


def measures(*arguments: Any, **options: Any) -> list[str]:
    """Return the lines without the spaces around them."""
    return [line.strip() for line in printed_measures(*arguments, **options)]


def row(*minutes: int, time: int = 80) -> BarRow:
    return BarRow([DayLoad(1, one, time) for one in minutes])


# --- measures -----------------------------------------------------------------------------


def test_quality_is_one_line_in_korean_and_english() -> None:
    assert measures(language="ko") == [
        "≈ 가장 찬 날 57% (최소 45%) · 변동 18% · 자율 0분 · 10분 미만 0개 · 여유 1일"
    ]
    [english] = measures(width=140)
    assert english.startswith("≈ fullest day 57% (least possible 45%) · variation 18% · reserve 0m")
    assert english.endswith(" · rows under 10m 0 · slack 1 day")


def test_quality_that_is_too_long_continues_between_two_measures() -> None:
    tiring = replace(QUALITY, fullness=1234, reserve=130, short_rows=12, slack_days=21)
    assert measures(tiring) == [
        "≈ fullest day 123% (least possible 45%) · variation 18% · reserve 2h 10m",
        "rows under 10m 12 · slack 21 days",
    ]


@pytest.mark.parametrize("width", range(44, 110))
def test_quality_is_never_broken_within_a_measure(width: int) -> None:
    [line] = measures(width=200)
    lines = measures(width=width)
    assert [one for line in lines for one in line.split(" · ")] == line.split(" · ")


def test_quality_of_equal_minutes_is_measured_in_minutes() -> None:
    [line] = measures(width=140, balance=Balance.MINUTES, language="ko")
    assert line.startswith("≈ 가장 긴 날 4시간 31분 (최소 3시간 36분) · 차이 1시간 · 자율 0분")


def test_summary_has_the_measures_that_compare_schedules() -> None:
    labels = labels_of(Console(file=EncodedFile("utf-8")), (), "ko")
    assert summary(labels, QUALITY) == "가장 찬 날 57% · 변동 18%"


# --- bars ---------------------------------------------------------------------------------


def test_bars_rise_by_eighths_of_the_study_time() -> None:
    shown, legend = bars(row(0, 1, 10, 11, 20, 30, 40, 50, 60, 70, 71, 80))
    assert shown == "·▁▁▂▂▃▄▅▆▇██"
    assert legend == "one bar per study day, █ = 100% of its study time"


def test_day_above_its_study_time_is_marked_and_explained() -> None:
    shown, legend = bars(row(80, 81), language="ko")
    assert shown == "█!"
    assert legend == "막대 하나가 학습일 하루, █ = 학습 시간의 100% · ! = 100% 초과"


def test_bars_of_equal_minutes_are_relative_to_the_longest_day_of_all_rows() -> None:
    first, second, legend = bars(row(30, 15), row(60, 0), balance=Balance.MINUTES)
    assert (first, second) == ("▄▂", "█·")
    assert legend == "one bar per study day, █ = the longest day"


@pytest.mark.parametrize("encoding", ["ascii", "cp949", "cp437"])
def test_bars_are_digits_if_the_encoding_lacks_one_of_the_blocks(encoding: str) -> None:
    shown, legend = bars(row(10, 40, 80, 90), encoding=encoding)
    assert shown == "148!"
    assert legend.startswith("one bar per study day, 8 = 100% of its study time")


def test_bars_are_grouped_by_weeks_and_a_week_without_study_days_is_left_blank() -> None:
    loads = [DayLoad(1, 10, 80), DayLoad(1, 20, 80), DayLoad(3, 30, 80)]
    assert bars(BarRow(loads))[0] == "▁▂    ▃"


def test_bars_of_a_year_are_in_lines_of_whole_weeks_with_the_number_of_the_first() -> None:
    *lines, _ = bars(BarRow(YEAR))
    assert [line.split()[1] for line in lines] == ["1", "9", "17", "25", "33", "41", "49"]
    assert {len(line.split()) for line in lines[1:-1]} == {2 + 8}
    positions = {line.index(line.split()[2]) for line in lines}
    assert len(positions) == 1
    *lines, _ = bars(BarRow(YEAR), width=140, language="ko")
    assert [line.split()[0] for line in lines] == ["1주차", "17주차", "33주차", "49주차"]


def test_rows_that_are_compared_have_labels_and_aligned_bars() -> None:
    weeks = [DayLoad(number // 6 + 1, 20, 80) for number in range(24)]
    notes = ("fullest day 57% · variation 62%", "fullest day 34% · variation 3%")
    first, second, _ = bars(BarRow(weeks, "even", notes[0]), BarRow(weeks, "balanced", notes[1]))
    assert first == "even      ▂▂▂▂▂▂ ▂▂▂▂▂▂ ▂▂▂▂▂▂ ▂▂▂▂▂▂  fullest day 57% · variation 62%"
    assert second == "balanced  ▂▂▂▂▂▂ ▂▂▂▂▂▂ ▂▂▂▂▂▂ ▂▂▂▂▂▂  fullest day 34% · variation 3%"
    *lines, _ = bars(BarRow(YEAR, "even", "a"), BarRow(YEAR, "balanced", "b"))
    assert [line.split()[0] for line in lines].count("Week") == len(lines) - 2


@pytest.mark.parametrize("width", [*range(1, 20), 40, 79, 80, 97, 98, 140])
def test_quality_and_bars_are_never_wider_than_the_terminal(width: int) -> None:
    compared = (BarRow(YEAR, "even", "note"), BarRow(YEAR, "balanced", "a longer note"))
    lines = [*printed_bars(BarRow(YEAR), width=width), *printed_bars(*compared, width=width)]
    lines += printed_measures(width=width, language="ko")
    assert max(map(cell_len, lines), default=0) <= width


def test_bars_may_be_absent() -> None:
    assert bars(row()) == []


# --- loads --------------------------------------------------------------------------------


def test_loads_have_the_study_of_study_days_from_today_on() -> None:
    days = [day._replace(study=((600, 900),)) for day in DAYS]
    review = plan(0, 860, 890, 0, (1, 9), kind=PlanKind.REVIEW)
    loads = day_loads(days, [*PLANS, review])
    assert loads[:2] == [DayLoad(1, 129, 300), DayLoad(1, 30, 300)]
    assert [load.minutes for load in loads[2:]] == [0, 0, 0, 0]
    assert day_loads(days, PLANS, START + timedelta(1)) == loads[1:]


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("today", [None, date(2025, 1, 10)])
def test_loads_are_those_of_the_quality(strategy: Strategy, today: date | None) -> None:
    request = replace(to_request(read_json(EXAMPLE)), strategy=strategy)
    request = replace(request, today=today or request.period_start)
    planned = schedule(request)
    loads = day_loads(calendar(request), planned.plans, today)
    assert max(load.minutes for load in loads) == planned.quality.peak
    fullness = max(1000 * load.minutes / load.time for load in loads)
    assert round(fullness) == planned.quality.fullness


def test_example_of_the_handbook_is_printed_for_the_example_by_even() -> None:
    request = to_request(read_json(EXAMPLE))
    planned = schedule(request)
    month = BarRow(day_loads(calendar(request), planned.plans))
    lines = [*printed_measures(planned.quality, width=140), *printed_bars(month, width=140)]
    text = dedent("\n".join(line.rstrip() for line in lines))
    assert f"{text}\n" == example("how full the days are")


def test_example_has_no_day_over_130_percent_of_its_mean_by_balanced() -> None:
    request = replace(to_request(read_json(EXAMPLE)), strategy=Strategy.BALANCED)
    minutes = [load.minutes for load in day_loads(calendar(request), schedule(request).plans)]
    assert len(minutes) == 24
    assert max(minutes) <= 1.3 * sum(minutes) / len(minutes)
