"""A type checker rejects unknown arguments and wrong types in the constructors of rows."""

import subprocess
import sys
from pathlib import Path

import pytest

VALID = """
from datetime import date
from uuid import uuid4
from domain import Block, Content, LectureEpisode, PlanGroup
from domain.models import Allocation, BlockKind, ContentType

PlanGroup(
    tenant_id=uuid4(), student_id=uuid4(), name="봄",
    period_start=date(2025, 1, 6), period_end=date(2025, 1, 12),
    contents=[Content(type=ContentType.LECTURE, title="영어", allocation=Allocation.WEAKNESS,
                      first_unit=1, last_unit=2, episodes=[LectureEpisode(minutes=30)])],
    blocks=[Block(kind=BlockKind.STUDY, weekday=1, start_minute=600, end_minute=720)],
)
"""
# Calls, and what mypy's report on each must contain.
INVALID = {
    "PlanGroup(nmae='봄')": "nmae",
    "PlanGroup(name=7)": "name",
    "PlanGroup(contents=[LectureEpisode()])": 'expected "Content"',
    "Content(titel='영어')": "titel",
    "Content(first_unit='1')": "first_unit",
    "LectureEpisode(minute=30)": "minute",
    "Block(start='10:00')": "start",
    "NonStudyBlock(kind=1)": "kind",
    "Exclusion(day=None)": "day",
    "SpecialDay(study=[600, 720])": "tuple[int, int]",
    "SpecialDay(day=None)": "day",
    "AcademySchedule(travel=30)": "travel",
}


def test_mypy_accepts_columns_and_rejects_other_arguments(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(VALID, "utf-8")
    imports = (
        "from domain import AcademySchedule, Block, Content, Exclusion, LectureEpisode,"
        " NonStudyBlock, PlanGroup\n"
        "from domain.models import SpecialDay\n"
    )
    (tmp_path / "wrong.py").write_text(imports + "\n".join(INVALID) + "\n", "utf-8")
    checked = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file=",
         f"--cache-dir={tmp_path}", str(tmp_path / "good.py"), str(tmp_path / "wrong.py")],
        capture_output=True, check=False, text=True, timeout=300,
    )  # fmt: skip
    lines = [line for line in checked.stdout.splitlines() if ": error: " in line]
    assert {line.split(":")[0].rpartition("/")[2] for line in lines} == {"wrong.py"}
    for number, expected in enumerate(INVALID.values(), 3):
        assert any(f"wrong.py:{number}:" in line and expected in line for line in lines), expected


@pytest.mark.parametrize("call", ["PlanGroup(nmae='봄')", "Content(titel='영어')"])
def test_constructor_refuses_an_unknown_argument(call: str) -> None:
    with pytest.raises(TypeError):
        exec(f"from domain import Content, PlanGroup\n{call}", {})  # noqa: S102 - calls of the parametrization
