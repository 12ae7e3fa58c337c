"""The time of ``import domain`` after its libraries, in a new interpreter each time."""

import os
import subprocess
import sys
import tempfile
from statistics import median
from typing import Final

from tests.benchmarks.timing import line

ROUNDS: Final = 15
PROGRAM: Final = """
import time
started = time.perf_counter()
import alembic, psycopg, sqlalchemy, sqlalchemy.dialects.postgresql.psycopg, sqlalchemy.orm
libraries = time.perf_counter()
import domain
print(libraries - started, time.perf_counter() - libraries)
"""


def run() -> None:
    """Print medians; a first run, which is not counted, compiles all modules."""
    with tempfile.TemporaryDirectory() as compiled:
        measured = [_import_times(compiled) for _ in range(ROUNDS + 1)][1:]
    libraries = median(first for first, _ in measured)
    package = median(second for _, second in measured)
    line("import sqlalchemy, alembic, psycopg", f"{libraries * 1000:.0f} ms")
    line("import domain after them", f"{package * 1000:.0f} ms", "goal ≤ 120 ms")
    line("import domain after them / the libraries", f"{package / libraries:.2f}")


def _import_times(compiled: str) -> tuple[float, float]:
    """Return the seconds that importing the libraries and the package takes."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    completed = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    first, second = map(float, completed.stdout.split())
    return first, second
