"""Applications with an Alembic environment of their own, written into a directory."""

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
    """An environment in ``path``, for the database of ``url``."""

    def __init__(self, path: Path, url: sa.URL) -> None:
        self.path = path
        (path / "versions").mkdir()
        self.write_env(PLAIN)
        self.config = Config()
        self.config.set_main_option("script_location", str(path))
        self.config.set_main_option("path_separator", "newline")
        self.config.attributes.update(url=url, options={})

    def write_env(self, body: str) -> None:
        """The block of ``env.py`` in which ``c`` is the connection."""
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
from domain.errors import SchemaError

revision, down_revision = {name!r}, {after!r}


def upgrade():
{textwrap.indent(up, "    ")}


def downgrade():
{textwrap.indent(down, "    ")}
"""
        (self.path / "versions" / f"{name}.py").write_text(text)

    def add_branch(self) -> None:
        """This package's revisions, in the host's ``version_locations``."""
        locations = [self.path / "versions", schema.migrations_directory() / "versions"]
        self.config.set_main_option("version_locations", "\n".join(map(str, locations)))

    def upgrade(self, revision: str = "heads", **options: object) -> None:
        self.config.attributes["options"] = options
        command.upgrade(self.config, revision)

    def downgrade(self, revision: str = "base", **options: object) -> None:
        self.config.attributes["options"] = options
        command.downgrade(self.config, revision)
