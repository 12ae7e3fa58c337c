"""``life`` prints what became of the plans, and what each run moved."""

import random
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest
from rich.cells import cell_len

from domain.cli import main as command
from domain.cli.simulation import Life, LivedWeek, Outcome, units_done, weeks
from domain.documents import read_json
from domain.documents.rows import to_request
from domain.scheduling.types import PlanKind, Strategy
from tests.handbook import example
from tests.unit.documents.documents import EXAMPLE

REQUEST = to_request(read_json(EXAMPLE))


class Always(random.Random):
    """Draws the same number again and again."""

    def __init__(self, lot: float) -> None:
        super().__init__()
        self.lot = lot

    def random(self) -> float:
        return self.lot


def lived(seed: int, strategy: Strategy = Strategy.EVEN) -> tuple[Life, list[LivedWeek]]:
    life = Life(replace(REQUEST, strategy=strategy))
    return life, list(weeks(life, random.Random(seed)))  # noqa: S311 - repeatable


def run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
    width: int = 80,
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    assert command.main(["life", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "example.json"
    path.write_bytes(EXAMPLE)
    return str(path)


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("seed", range(5))
def test_life_ends_with_every_unit_done_or_reported(seed: int, strategy: Strategy) -> None:
    life, _ = lived(seed, strategy)
    assert not life.planned
    reported = sum(item.last_unit - item.first_unit + 1 for item in life.baseline.unplaced)
    assert units_done(life) + reported == 560


def test_life_in_which_all_is_done_has_nothing_moved() -> None:
    life = Life(REQUEST)
    found = list(weeks(life, Always(0.5)))
    assert units_done(life) == 560
    for week in found:
        assert week.moved == 0
        assert {(plan.outcome, plan.is_moved) for day in week.days for plan in day} == {
            (Outcome.DONE, False)
        }


def test_missed_plans_move_the_plans_of_the_week_after() -> None:
    for seed in range(10):
        _, found = lived(seed)
        for week, after in pairwise(found):
            outcomes = {plan.outcome for day in week.days for plan in day}
            assert (after.moved > 0) <= (outcomes != {Outcome.DONE})
            assert after.moved <= after.moved_by_generation <= after.future
            assert any(plan.is_moved for day in after.days for plan in day) <= bool(
                outcomes - {Outcome.DONE}
            )


def test_week_has_its_dates() -> None:
    request = replace(REQUEST, period_end=REQUEST.period_start.replace(day=24))
    found = list(weeks(Life(request), Always(0.5)))
    assert [len(week.days) for week in found] == [7, 7, 7, 3]
    assert [len(week.generated) for week in found] == [7, 7, 7, 3]


def test_part_of_a_plan_can_be_done() -> None:
    life = Life(REQUEST)
    first = life.planned[0]
    outcomes = life.live_through(first.date, Always(0.07))
    assert outcomes[first] is Outcome.PART_DONE
    [done] = [plan for plan in life.done if plan.kind is PlanKind.STUDY and plan.content == 0]
    assert done.first_unit <= done.last_kept_unit < done.last_unit


def test_same_seed_is_the_same_life(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again, other = (
        run(capsys, monkeypatch, "--seed", seed, file) for seed in ("3", "3", "4")
    )
    assert first == again != other


@pytest.mark.parametrize("width", [40, 80, 140])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_printed_weeks_have_a_block_for_each_plan(
    language: str,
    width: int,
    file: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, found = lived(3)
    printed = run(capsys, monkeypatch, "--seed", "3", "--language", language, file, width=width)
    assert max(map(cell_len, printed)) <= width
    text = "".join(printed)  # the legend has one of each kind of block
    plans = sum(len(day) for week in found for day in (*week.days, *week.generated))
    assert len(re.findall("[■▣□◆]", text)) == plans + 4
    missed = [
        plan
        for week in found
        for day in week.days
        for plan in day
        if plan.outcome is Outcome.MISSED
    ]
    assert text.count("□") == len(missed) + 1 > 1


def test_handbook_shows_a_life(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = run(capsys, monkeypatch, "--seed", "3", "--language", "en", file)
    start = next(number for number, line in enumerate(printed) if "rescheduled" in line)
    text = dedent("\n".join(line.rstrip() for line in printed[start:]))
    assert f"{text}\n" == example("a simulated life")


def test_group_that_cannot_be_generated_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "empty.json"
    path.write_text('{"name": "x", "period": {"start": "2025-03-03", "end": "2025-03-30"}}')
    assert command.main(["life", "--language", "en", str(path)]) == 1
    assert "(no_contents)" in capsys.readouterr().out


def test_invalid_document_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "invalid.json"
    path.write_text("{}")
    assert command.main(["life", str(path)]) == 2
    captured = capsys.readouterr()
    assert "name: " in captured.err
    assert captured.out == ""
