"""The short form of the load, and that its checker owes nothing to the package."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from tests.pooler.pgbouncer import transaction_pooler
from tests.soak.checker import check_run
from tests.soak.history import Outcome, read_histories
from tests.soak.load import Load, conninfo_of, run

SERVER_CONNECTIONS = 8
ROOT = Path(__file__).resolve().parents[2]
CHECKER = "import sys; import tests.soak.checker; print([n for n in sys.modules if n in {}])"


def test_generations_of_20_workers_exclude_each_other_while_they_come_to_harm(
    template: str, new_database: Callable[[str], sa.URL], tmp_path: Path
) -> None:
    url = new_database(template)
    load = Load(600)
    done = run(load, url, tmp_path)
    verdict = check_run(tmp_path, conninfo_of(url))
    assert not verdict.violations, str(verdict)
    assert load.workers >= 16
    assert done.killed >= 1
    assert done.terminated >= 1
    assert verdict.outcomes.total() >= 600
    assert verdict.outcomes[Outcome.GENERATED] >= 60
    assert verdict.outcomes[Outcome.FAILED] >= 10


def test_they_do_so_behind_a_transaction_pooler_too(
    server_url: sa.URL, template: str, new_database: Callable[[str], sa.URL], tmp_path: Path
) -> None:
    url = new_database(template)
    with transaction_pooler(server_url, pool_size=SERVER_CONNECTIONS) as pooler:
        run(Load(300), url, tmp_path, through=pooler.url_for(url))
        verdict = check_run(tmp_path, conninfo_of(url))
    assert not verdict.violations, str(verdict)
    assert verdict.outcomes[Outcome.GENERATED] >= 30


def test_the_operations_of_a_killed_worker_are_known_up_to_the_last(tmp_path: Path) -> None:
    begun = (
        '{"id": "a", "kind": "read", "group": "g", "student": "s", "started": 1.0, '
        '"outcome": "unknown"}\n'
    )
    (tmp_path / "worker.jsonl").write_text(begun + begun.replace('"a"', '"b"') + '{"id": "b", "ki')
    assert [operation.id for operation in read_histories(tmp_path)] == ["a", "b"]


def test_the_checker_needs_nothing_of_the_package() -> None:
    said = subprocess.run(  # noqa: S603 - no shell; our own argument list
        [sys.executable, "-c", CHECKER.format({"domain", "sqlalchemy", "alembic"})],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"
