"""Print one line per version; exit with 1 if one fails, is not installed, or disagrees."""

import os
import sys
import time
from pathlib import Path

from tests.versions import example, suites
from tests.versions.servers import ADVICE, bindir_of, release

USAGE = "python -m tests.versions [--short] [15] [17] [18] [-- PYTEST OPTIONS]"


def main(arguments: list[str]) -> int:
    own, options = _split(arguments)
    short = "--short" in own
    versions = [argument for argument in own if argument != "--short"] or list(ADVICE)
    if not set(versions) <= set(ADVICE):
        sys.exit(USAGE)
    if "TEST_DATABASE_URL" in os.environ:
        sys.exit("TEST_DATABASE_URL selects a single server; unset it to test several versions.")
    paths = list(suites.SHORT) if short else suites.all_paths()
    bindirs = {version: bindir_of(version) for version in versions}
    for version in (version for version, bindir in bindirs.items() if bindir is None):
        print(f"PostgreSQL {version} is not installed. {ADVICE[version]}", flush=True)
    installed = {version: bindir for version, bindir in bindirs.items() if bindir}
    runs = {version: _tested(bindir, paths, options) for version, bindir in installed.items()}
    if not runs:
        return 1
    # A list, because "and" would skip the later checks and the differences that they print.
    checks = [_same_tests_passed(runs), _same_plans(installed), len(runs) == len(versions)]
    return 0 if all(checks) and not any(run.failed for run in runs.values()) else 1


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before ``--``, and pytest's options after it."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _tested(bindir: Path, paths: list[str], options: list[str]) -> suites.Run:
    started = time.monotonic()
    run = suites.run(bindir, paths, options)
    if run.failed:
        print(run.output, file=sys.stderr, flush=True)
    verdict = "FAILED" if run.failed else "passed"
    last = (run.output.strip().splitlines() or ["no test was run"])[-1].strip("= ")
    seconds = round(time.monotonic() - started)
    print(f"PostgreSQL {release(bindir)}: {verdict}: {last} ({seconds} s in total)", flush=True)
    return run


def _same_tests_passed(runs: dict[str, suites.Run]) -> bool:
    """Whether the same tests passed on all versions; the others are printed."""
    everywhere = frozenset.intersection(*(run.passed for run in runs.values()))
    for version, run in runs.items():
        for name in sorted(run.passed - everywhere):
            print(f"passed on {version}, but not on all versions: {name}", flush=True)
    agree = all(run.passed == everywhere for run in runs.values())
    if agree:
        print(f"the same {len(everywhere)} tests passed on {', '.join(runs)}", flush=True)
    return agree


def _same_plans(installed: dict[str, Path]) -> bool:
    """Whether all versions store the same rows for the worked example."""
    rows = {version: example.planned(bindir) for version, bindir in installed.items()}
    first = next(iter(rows.values()))
    same = all(stored == first for stored in rows.values())
    # One of the rows is that of the generation.
    verdict = f"the same {len(first) - 1} plans" if same else "DIFFERENT plans"
    print(f"the worked example: {verdict} on {', '.join(rows)}", flush=True)
    return same


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
