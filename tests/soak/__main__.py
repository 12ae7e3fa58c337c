"""Run 16 workers in 4 processes with faults, and print the verdict of the checker."""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.soak.checker import check_run
from tests.soak.databases import database
from tests.soak.load import Load, conninfo_of, run

OPERATIONS_PER_KILL = 1000


def main() -> int:
    """Run and check the load, print the verdict, and return 0 if there are no violations."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="the directory in which the histories are kept")
    options = parser.parse_args()
    kills = max(2, options.operations // OPERATIONS_PER_KILL)
    load = Load(options.operations, seed=options.seed, kills=kills)
    started = time.monotonic()
    with ExitStack() as stack:
        directory = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(parents=True, exist_ok=True)
        url = stack.enter_context(database())
        external_faults = run(load, url, directory)
        verdict = check_run(directory, conninfo_of(url))
    print(f"seed {load.seed}, {load.workers} workers in {load.processes} processes")
    print(verdict)
    listed = ", ".join(f"{count} {name}" for name, count in external_faults.most_common())
    print(f"external faults: {listed}")
    print(f"{time.monotonic() - started:.0f} s including the check")
    return min(1, len(verdict.violations))


if __name__ == "__main__":
    sys.exit(main())
