"""The terminal says why units are unplaced and what would help, in Korean and English."""

from collections.abc import Sequence

import pytest
from rich.console import Console

from domain.cli.timetable import print_explanation
from domain.errors import Language
from domain.scheduling.result import Certificate, Repair, RepairKind
from tests.unit.cli.test_timetable import REPAIRS, EncodedFile, certificate, labels_of, render


def explanation(
    language: Language, proof: Certificate | None, repairs: Sequence[Repair] = ()
) -> list[str]:
    file = EncodedFile("utf-8")
    console = Console(file=file, width=200)
    print_explanation(
        console, labels_of(console, ("수학", "영어", "단어"), language), proof, repairs
    )
    return [line.strip() for line in file.text().splitlines()]


@pytest.mark.parametrize(
    ("proof", "korean", "english"),
    [
        (
            certificate((0, 1), 12, 1460, 1230),
            "이유: 수학, 영어에 1,460분이 필요하지만 사용 가능한 시간은 1,230분입니다 (12일).",
            "Why: 1,460 min are needed for 수학 and 영어, but only 1,230 min are free (12 days).",
        ),
        (
            certificate((0, 1, 2), 1, 60, 30),
            "이유: 수학, 영어, 단어에 60분이 필요하지만 사용 가능한 시간은 30분입니다 (1일).",
            "Why: 60 min are needed for 수학, 영어 and 단어, but only 30 min are free (1 day).",
        ),
        (
            certificate((1,), 0, 90, 0),
            "이유: 영어에 90분이 필요하지만 사용 가능한 날이 없습니다.",
            "Why: 90 min are needed for 영어, but no day has free time for this.",
        ),
        (
            None,
            "이유: 전체 시간은 충분하지만, 나눌 수 없는 내용이 빈 시간에 들어가지 않습니다.",
            "Why: the minutes would suffice, but the units do not fit whole into the free times.",
        ),
    ],
    ids=["two contents", "three contents and one day", "no day", "no certificate"],
)
def test_explanation_says_why_units_are_unplaced(
    proof: Certificate | None, korean: str, english: str
) -> None:
    assert explanation("ko", proof) == [korean]
    assert explanation("en", proof) == [english]


@pytest.mark.parametrize(
    ("repair", "korean", "english"),
    [
        (
            Repair(RepairKind.MINUTES_PER_DAY, 20),
            "공부하는 날마다 20분 추가",
            "20 minutes more on every study day",
        ),
        (
            Repair(RepairKind.MINUTES_PER_DAY, 1),
            "공부하는 날마다 1분 추가",
            "1 minute more on every study day",
        ),
        (Repair(RepairKind.DAYS, 3), "기간 3일 연장", "a period 3 days longer"),
        (Repair(RepairKind.DAYS, 1), "기간 1일 연장", "a period 1 day longer"),
        (
            Repair(RepairKind.UNITS, 1200, content=0),
            "수학 마지막 1,200쪽 제외",
            "leaving out the last 1,200 pages of 수학",
        ),
        (
            Repair(RepairKind.UNITS, 2, content=1),
            "영어 마지막 2강 제외",
            "leaving out the last 2 episodes of 영어",
        ),
        (
            Repair(RepairKind.UNITS, 1, content=2),
            "단어 마지막 1유닛 제외",
            "leaving out the last 1 unit of 단어",
        ),
    ],
    ids=["minutes", "one minute", "days", "one day", "pages", "episodes", "one unit"],
)
def test_explanation_names_a_change_that_would_help(
    repair: Repair, korean: str, english: str
) -> None:
    assert explanation("ko", None, [repair])[1:] == [f"해결 방법: {korean}"]
    assert explanation("en", None, [repair])[1:] == [f"What would help: {english}"]


def test_explanation_lists_all_changes_in_one_line_and_says_that_one_suffices() -> None:
    assert explanation("ko", None, REPAIRS)[1:] == [
        (
            "해결 방법 (하나로 충분합니다): "
            "공부하는 날마다 20분 추가 · 기간 3일 연장 · 수학 마지막 12쪽 제외"
        )
    ]
    assert explanation("en", None, REPAIRS)[1:] == [
        (
            "What would help (each alone): 20 minutes more on every study day · "
            "a period 3 days longer · leaving out the last 12 pages of 수학"
        )
    ]


def test_explanation_names_contents_by_number_in_ascii() -> None:
    text = " ".join(render(200, encoding="ascii").split())
    assert "Why: 1,460 min are needed for content 1 and content 2, but only 1,230" in text
    assert "3 days longer - leaving out the last 12 pages of content 1" in text
