"""A short load with faults, and the independence of its checker from the package."""

import subprocess
import sys
from pathlib import Path

from tests.soak.checker import check_run
from tests.soak.databases import database
from tests.soak.faults import INTERRUPTED
from tests.soak.history import Kind, Outcome, read_histories
from tests.soak.load import Load, conninfo_of, run

ROOT = Path(__file__).resolve().parents[2]
CHECKER = "import sys; import tests.soak.checker; print([n for n in sys.modules if n in {}])"


def test_generations_of_16_workers_exclude_each_other_under_faults(tmp_path: Path) -> None:
    load = Load(1000)
    with database() as url:
        external_faults = run(load, url, tmp_path)
        verdict = check_run(tmp_path, conninfo_of(url))
    assert not verdict.violations, str(verdict)
    assert load.workers >= 16
    assert all(external_faults.values()), f"every external fault occurred: {external_faults}"
    assert verdict.outcomes.total() >= load.operations
    assert verdict.outcomes[Kind.GENERATE, Outcome.DONE] >= 40, str(verdict)
    assert verdict.outcomes[Kind.UNDO, Outcome.DONE] >= 3, str(verdict)
    for kind in (Kind.RESCHEDULE, Kind.MARK, Kind.MARK_ALL, Kind.MISS, Kind.MOVE):
        assert verdict.outcomes[kind, Outcome.DONE] >= 1, str(verdict)
    assert verdict.count(Outcome.BUSY, Outcome.TIMEOUT) >= 60, str(verdict)
    assert verdict.count(Outcome.FAILED) >= 30, str(verdict)
    assert verdict.faults[INTERRUPTED] >= 1, str(verdict)
    assert verdict.shared > verdict.overlapping_shared >= 1, str(verdict)


def test_history_of_a_killed_worker_is_read_up_to_its_last_complete_line(tmp_path: Path) -> None:
    line = (
        '{"id": "a", "kind": "read", "groups": ["g"], "student": "s", "started": 1.0, '
        '"outcome": "unknown"}\n'
    )
    (tmp_path / "worker.jsonl").write_text(line + line.replace('"a"', '"b"') + '{"id": "b", "ki')
    assert [operation.id for operation in read_histories(tmp_path)] == ["a", "b"]


def test_checker_imports_nothing_of_the_package() -> None:
    process = subprocess.run(  # noqa: S603 - no shell; our own argument list
        [sys.executable, "-c", CHECKER.format({"domain", "sqlalchemy", "alembic"})],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "[]"
