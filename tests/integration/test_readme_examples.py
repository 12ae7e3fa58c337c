"""The README's programs run as they are printed, from a directory of their own."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
PROGRAMS = dict(re.findall(r"<!-- example: ([\w ]+) -->\n```python\n(.*?)```", README, re.DOTALL))


def run(program: str, directory: Path) -> list[str]:
    (directory / "program.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=directory, capture_output=True, check=False, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_first_plan_prints_a_handled_409_and_a_plan(tmp_path: Path) -> None:
    refusal, plan = run(PROGRAMS["first plan"], tmp_path)
    assert refusal == "409 플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요."
    assert "'title': '수학의 정석'" in plan


def test_programs_are_all_run_here() -> None:
    assert list(PROGRAMS) == ["first plan"]
