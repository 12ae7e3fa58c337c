import io
from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from domain.cli.console import clipped, folded
from domain.cli.quality import print_quality
from domain.cli.timetable import (
    print_explanation,
    print_timetable,
    print_unplaced,
    print_warnings,
    weeks_of,
)
from domain.cli.wording import Labels
from domain.errors import Language
from domain.scheduling.calendar import Day, DayKind
from domain.scheduling.result import (
    Certificate,
    Quality,
    Repair,
    RepairKind,
    ScheduledPlan,
    Unplaced,
    clock,
    warning,
)
from domain.scheduling.types import ContentType, PlanKind, UnplacedReason
from tests.unit.documents.documents import BOOK, small

START = date(2025, 1, 1)
TITLES = ("수학의 정석 기하와 벡터", "영어 문법 기초 강의", "단어 암기")
TYPES = (ContentType.BOOK, ContentType.LECTURE, ContentType.CUSTOM)


def day(number: int, kind: DayKind) -> Day:
    return Day(START + timedelta(number), kind, number // 7 + 1, 1, None, (), ())


DAYS = [
    *(day(number, DayKind.STUDY) for number in range(6)),
    day(6, DayKind.REVIEW),
    day(7, DayKind.EXCLUDED),
]
REASONS = {date(2025, 1, 8): "휴가 · 가족 여행"}
QUALITY = Quality(
    peak=271,
    least_peak=216,
    spread=60,
    reserve=0,
    fullness=565,
    least_fullness=450,
    variation=180,
    short_rows=0,
    slack_days=1,
)


def plan(
    number: int,
    start: int,
    end: int,
    content: int,
    units: tuple[int, int],
    *,
    kind: PlanKind = PlanKind.STUDY,
    pieces: tuple[int, int] = (1, 1),
    wrap_up: int = 0,
    reserve: bool = False,
) -> ScheduledPlan:
    when = START + timedelta(number)
    first, last = units
    part, parts = pieces
    return ScheduledPlan(
        1, when, start, end, content, kind, first, last, part, parts, wrap_up, reserve, 1, 1, 1
    )


PLANS = [
    plan(0, 600, 654, 0, (1, 9)),
    plan(0, 780, 810, 1, (1, 1)),
    plan(0, 810, 855, 1, (2, 2), wrap_up=15),
    plan(1, 600, 630, 2, (5, 5), pieces=(1, 2)),
    plan(6, 600, 720, 0, (1, 50), kind=PlanKind.REVIEW),
    plan(6, 1140, 1200, 1, (1, 2), kind=PlanKind.REVIEW, reserve=True),
]


REPAIRS = (
    Repair(RepairKind.MINUTES_PER_DAY, 20),
    Repair(RepairKind.DAYS, 3),
    Repair(RepairKind.UNITS, 12, content=0),
)


def certificate(contents: tuple[int, ...], days: int, need: int, have: int) -> Certificate:
    dates = tuple(START + timedelta(number) for number in range(days))
    return Certificate(contents, dates, need, have)


class EncodedFile(io.TextIOWrapper):
    """A text file in memory that raises an error for characters outside its encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")

    def text(self) -> str:
        self.flush()
        self.seek(0)
        return self.read()


def labels_of(console: Console, titles: Sequence[str], language: Language = "ko") -> Labels:
    contents = [
        {**BOOK, "type": kind, "title": title} for kind, title in zip(TYPES, titles, strict=False)
    ]
    return Labels.of(console, small(contents=contents), language)


def render(
    width: int = 100,
    *,
    encoding: str = "utf-8",
    titles: Sequence[str] = TITLES,
    language: Language = "ko",
) -> str:
    file = EncodedFile(encoding)
    console = Console(file=file, width=width)
    wording = labels_of(console, titles, language)
    print_timetable(console, wording, DAYS, PLANS, REASONS)
    warnings = [warning("nothing_left"), warning("many_contents", count=9)]
    warnings.append(warning("wrap_up_shrunk", date="2025-01-01", content=0, need=9, given=1))
    print_warnings(console, wording, warnings)
    unplaced = [Unplaced(1, 3, 30, 150, UnplacedReason.NO_ROOM)]
    print_unplaced(console, wording, unplaced)
    print_unplaced(console, wording, [])
    print_explanation(console, wording, certificate((0, 1), 12, 1460, 1230), REPAIRS)
    print_quality(console, wording, QUALITY)
    return file.text()


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize(
    "detail",
    [
        "1주차",
        "2025-01-01 – 01-07",
        "2025-01-08 – 01-08",
        "1/1 수",
        "10:00–10:54",
        "p.1–9",
        "2강",
        "유닛 5",
        "(1/2)",
        "마무리 15분",
        "복습 p.1–50",
        "[자율]",
        "제외",
        "가족",
        "2시간 9분",
    ],
)
def test_timetable_shows_every_detail(width: int, detail: str) -> None:
    assert detail in render(width)


@pytest.mark.parametrize("width", [*range(1, 20), 40, 80, 97, 98, 100, 140, 300])
def test_timetable_is_never_wider_than_the_terminal(width: int) -> None:
    assert max(cell_len(line) for line in render(width).splitlines()) <= width


def test_timetable_has_seven_columns_if_they_fit() -> None:
    assert "1/1 수        1/2 목        1/3 금" in render(98)
    assert "1/1 수 공부" in render(97)


def test_timetable_does_not_repeat_the_title_of_consecutive_rows() -> None:
    assert render(140).count("2 영어 문법 기초…") == 2


def test_week_begins_on_the_weekday_of_the_period_start() -> None:
    first, second = weeks_of(DAYS, PLANS)
    assert (first.number, first.columns[0].date, first.last) == (1, START, date(2025, 1, 7))
    assert (second.number, second.columns[0].day) == (2, DAYS[7])
    assert second.last == date(2025, 1, 8)
    assert first.columns[0].minutes == 129


def test_last_week_is_padded_with_dates_outside_the_period() -> None:
    _, second = weeks_of(DAYS, PLANS)
    assert [column.day for column in second.columns[1:]] == [None] * 6
    assert second.columns[-1].date == date(2025, 1, 14)


def test_last_week_may_end_with_the_maximum_date() -> None:
    last = Day(date.max, DayKind.STUDY, 1, 1, 1, (), ())
    assert [len(week.columns) for week in weeks_of([last], [])] == [1]


def test_timetable_may_be_empty() -> None:
    file = EncodedFile("utf-8")
    console = Console(file=file, width=100)
    print_timetable(console, labels_of(console, ()), [], [])
    assert "1주차" not in file.text()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp949", "euc-kr", "cp437", "utf-16"])
@pytest.mark.parametrize("width", [80, 120])
def test_timetable_can_be_printed_in_every_encoding(encoding: str, width: int) -> None:
    assert "10:00" in render(width, encoding=encoding)


def test_ascii_output_is_english_and_names_contents_by_number() -> None:
    text = render(encoding="ascii")
    assert "content 1" in text
    assert "Week 1" in text
    assert "10:00-10:54" in text
    assert "?" not in text


def test_ascii_output_keeps_titles_that_it_can_show() -> None:
    assert "Grammar in Use" in render(encoding="ascii", titles=("수학", "Grammar in Use", "단어"))


def test_timetable_is_printed_in_english_on_request() -> None:
    text = render(140, language="en")
    assert "review p.1–50" in text
    assert "fullest day 57% (least possible 45%)" in text
    assert "its days are full" in text


def test_title_is_printed_without_escape_sequences_and_with_literal_markup() -> None:
    text = render(140, titles=("\x1b[2J[red]수학[/red]\n국어", *TITLES[1:]))
    assert "\x1b" not in text
    assert "[red]수학[/red] 국어" in text


def test_plans_have_the_colours_of_the_legend() -> None:
    file = EncodedFile("utf-8")
    console = Console(file=file, width=140, force_terminal=True, color_system="truecolor")
    print_timetable(console, labels_of(console, TITLES), DAYS, PLANS)
    assert "48;2;59;130;246m 1 " in file.text()
    assert "38;2;59;130;246m▌" in file.text()


def test_warning_names_its_content_by_title() -> None:
    assert "콘텐츠 수학의 정석 기하와 벡터: 9분 중 1분" in render(140)
    assert "content 1 was shortened" in render(140, encoding="ascii")


def test_unplaced_contents_are_listed_with_length_and_reason() -> None:
    text = render()
    assert "배치하지 못한 내용" in text
    assert "3–30강  2시간 30분  남은 시간이 부족합니다" in text
    assert "모든 내용을 배치했습니다." in text
    assert "가장 찬 날 57% (최소 45%)" in text


def test_clock_formats_minutes_of_the_day() -> None:
    assert [clock(minute) for minute in (0, 605, 1440)] == ["00:00", "10:05", "24:00"]


@pytest.mark.parametrize(
    ("text", "width", "result"),
    [("수학의", 6, "수학의"), ("수학의", 5, "수학…"), ("수학 의", 6, "수학…"), ("수학", 1, "…")],
)
def test_clipped_counts_a_korean_character_as_two_columns(
    text: str, width: int, result: str
) -> None:
    assert clipped(text, width) == result


def test_folded_breaks_lines_only_between_words() -> None:
    assert folded(["복습", "p.101–150", "[자율]"], 11) == ["복습", "p.101–150", "[자율]"]
    assert folded(["복습", "p.1–50"], 11) == ["복습 p.1–50"]
    assert folded(["복습", "p.1–50"], 13, " · ") == ["복습 · p.1–50"]
    assert folded(["복습", "p.1–50"], 12, " · ") == ["복습", "p.1–50"]
