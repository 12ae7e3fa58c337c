"""One run of the suites on one version, and the tests that passed in it."""

import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

PROJECT: Final = Path(__file__).parents[2]
WITHOUT_SERVER: Final = "tests/unit"
NOT_IN_DEFAULT_RUN: Final = "tests/pooler"
# Tests of what differs between versions: settings, catalogs, error messages and SQLSTATEs.
SHORT: Final = (
    "tests/concurrency/test_lock_is_freed.py",
    "tests/concurrency/test_one_generates.py",
    "tests/concurrency/test_shared_lock_rules.py",
    "tests/concurrency/test_shared_locks.py",
    "tests/concurrency/test_waiting.py",
    "tests/integration/test_constraints.py",
    "tests/integration/test_events_log.py",
    "tests/integration/test_lock_functions.py",
    "tests/integration/test_lock_holders.py",
    "tests/integration/test_lock_lifetime.py",
    "tests/integration/test_lock_settings.py",
    "tests/integration/test_lock_status.py",
    "tests/integration/test_lock_waiting.py",
    "tests/integration/test_plan_generation.py",
    "tests/integration/test_several_locks.py",
    "tests/integration/test_transaction_identity.py",
    "tests/integration/test_unit_of_work_lock.py",
    "tests/migrations/test_models.py",
    "tests/migrations/test_schema_isolation.py",
    "tests/migrations/test_up_and_down.py",
)


@dataclass(frozen=True)
class Run:
    """The outcome of a run."""

    passed: frozenset[str]
    failed: bool
    output: str
    """The output of pytest."""


def run(bindir: Path, paths: list[str], options: list[str]) -> Run:
    """Run the tests in a separate process, which starts its servers from ``bindir``."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "junit.xml")
        completed = subprocess.run(  # noqa: S603 - no shell; our own argument list
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *(f"--junitxml={report}", *options, *paths),
            ],
            cwd=PROJECT,
            env={**os.environ, "TEST_POSTGRES_BIN": str(bindir)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        passed = _passed(report) if report.exists() else frozenset()
    # A run in which no test passed proves nothing, so it counts as failed.
    return Run(passed, completed.returncode != 0 or not passed, completed.stdout)


def all_paths() -> list[str]:
    """Return the suites of the default run that use a server, and the tests of the pooler."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    default: list[str] = settings["tool"]["pytest"]["ini_options"]["testpaths"]
    with_server = {path for path in default if path != WITHOUT_SERVER}
    return sorted({*with_server, NOT_IN_DEFAULT_RUN})


def _passed(report: Path) -> frozenset[str]:
    """Return the names of the tests that passed; a skipped test did not pass."""
    cases = ET.parse(report).iter("testcase")  # noqa: S314 - written by pytest
    verdicts = {"failure", "error", "skipped"}
    return frozenset(
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if not verdicts & {child.tag for child in case}
    )
