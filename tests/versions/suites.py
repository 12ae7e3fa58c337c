"""One run of the suites on one version, and which tests passed in it."""

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
WITHOUT_A_SERVER: Final = "tests/unit"
BESIDE_THE_ORDINARY_RUN: Final = "tests/pooler"
# Where the versions differ: settings, catalogs, and the words and codes of errors.
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
    """What came of it."""

    passed: frozenset[str]
    failed: bool
    told: str
    """pytest's own words."""


def run(bindir: Path, paths: list[str], options: list[str]) -> Run:
    """Run the tests in a process of their own, which starts its servers from ``bindir``."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "junit.xml")
        done = subprocess.run(  # noqa: S603 - no shell; our own argument list
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
    return Run(passed, done.returncode != 0 or not passed, done.stdout)


def all_paths() -> list[str]:
    """The suites of the ordinary run that ask a server, and the pooler's tests."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    ordinary: list[str] = settings["tool"]["pytest"]["ini_options"]["testpaths"]
    asking = {path for path in ordinary if path != WITHOUT_A_SERVER}
    return sorted({*asking, BESIDE_THE_ORDINARY_RUN})


def _passed(report: Path) -> frozenset[str]:
    """The names of the tests that were run and did not fail; a skipped one did not pass."""
    cases = ET.parse(report).iter("testcase")  # noqa: S314 - pytest wrote it a moment ago
    verdicts = {"failure", "error", "skipped"}
    return frozenset(
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if not verdicts & {child.tag for child in case}
    )
