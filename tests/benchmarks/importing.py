"""What ``import domain`` costs beyond the libraries that it needs, each in a fresh interpreter."""

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
began = time.perf_counter()
import alembic, psycopg, sqlalchemy, sqlalchemy.dialects.postgresql.psycopg, sqlalchemy.orm
libraries = time.perf_counter()
import domain
print(libraries - began, time.perf_counter() - libraries)
"""


def run() -> None:
    """Medians, after a run that compiles everything."""
    with tempfile.TemporaryDirectory() as compiled:
        measured = [_imported(compiled) for _ in range(ROUNDS + 1)][1:]
    libraries = median(first for first, _ in measured)
    package = median(second for _, second in measured)
    line("import sqlalchemy, alembic, psycopg", f"{libraries * 1000:.0f} ms")
    line("import domain after them", f"{package * 1000:.0f} ms", "goal <= 120 ms")
    line("import domain after them / the libraries", f"{package / libraries:.2f}")


def _imported(compiled: str) -> tuple[float, float]:
    """The seconds of the libraries and of the package."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    first, second = map(float, done.stdout.split())
    return first, second
