"""One line for each version; exit code 1 if one failed, is missing, or disagrees."""

import os
import sys
import time
from pathlib import Path

from tests.versions import example, suites
from tests.versions.servers import ADVICE, bindir_of, release

USAGE = "python -m tests.versions [--short] [15] [17] [18] [-- PYTEST OPTIONS]"


def main(arguments: list[str]) -> int:
    before, options = _split(arguments)
    short = "--short" in before
    wanted = [argument for argument in before if argument != "--short"] or list(ADVICE)
    if not set(wanted) <= set(ADVICE):
        sys.exit(USAGE)
    if "TEST_DATABASE_URL" in os.environ:
        sys.exit("TEST_DATABASE_URL names one server; unset it to prove several.")
    paths = list(suites.SHORT) if short else suites.all_paths()
    found = {version: bindir_of(version) for version in wanted}
    for version in (version for version, bindir in found.items() if bindir is None):
        print(f"PostgreSQL {version} is not installed. {ADVICE[version]}", flush=True)
    installed = {version: bindir for version, bindir in found.items() if bindir}
    runs = {version: _proved(bindir, paths, options) for version, bindir in installed.items()}
    if not runs:
        return 1
    proofs = [_agree(runs), _plan_alike(installed), len(runs) == len(wanted)]
    return 0 if all(proofs) and not any(run.failed for run in runs.values()) else 1


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _proved(bindir: Path, paths: list[str], options: list[str]) -> suites.Run:
    started = time.monotonic()
    run = suites.run(bindir, paths, options)
    if run.failed:
        print(run.told, file=sys.stderr, flush=True)
    verdict = "FAILED" if run.failed else "passed"
    last = (run.told.strip().splitlines() or ["nothing was run"])[-1].strip("= ")
    seconds = round(time.monotonic() - started)
    print(f"PostgreSQL {release(bindir)}: {verdict}: {last} ({seconds} s in all)", flush=True)
    return run


def _agree(runs: dict[str, suites.Run]) -> bool:
    """Whether the same tests passed on all; what passed on some alone is told."""
    everywhere = frozenset.intersection(*(run.passed for run in runs.values()))
    for version, run in runs.items():
        for name in sorted(run.passed - everywhere):
            print(f"passed on {version}, not on all: {name}", flush=True)
    agree = all(run.passed == everywhere for run in runs.values())
    if agree:
        print(f"the same {len(everywhere)} tests passed on {', '.join(runs)}", flush=True)
    return agree


def _plan_alike(installed: dict[str, Path]) -> bool:
    """Whether all store the same rows for the worked example."""
    rows = {version: example.planned(bindir) for version, bindir in installed.items()}
    alike = all(found == next(iter(rows.values())) for found in rows.values())
    count = len(next(iter(rows.values()))) - 1
    verdict = f"the same {count} plans" if alike else "DIFFERENT plans"
    print(f"the worked example: {verdict} on {', '.join(rows)}", flush=True)
    return alike


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
