"""Applications with their own Alembic environment, which use the built wheel.

``academy`` is the application. ``nested``, ``branch`` and ``plain_sql`` are three ways in which
its migrations can install the package's schema.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from domain import schema
from tests.hosts.conftest import Run
from tests.migrations.catalog import Catalog, catalog

HOSTS = Path(__file__).parent
PROJECTS = ("nested", "branch", "plain_sql")
ENV = Path("migrations", "env.py")
SETTINGS = {
    "include_schemas": "        include_schemas=True,\n",
    "include_name": "        include_name=schema.include_name,\n",
    "include_object": "        include_object=schema.include_object,\n",
}


@dataclass(frozen=True)
class Host:
    """A copy of one of the projects, with its database."""

    directory: Path
    url: sa.URL
    run: Run

    def python(self, *arguments: str) -> str:
        """Return what the command prints; raise ``AssertionError`` if it fails."""
        url = self.url.render_as_string(hide_password=False)
        done = self.run(*arguments, cwd=self.directory, DATABASE_URL=url)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def upgrade(self) -> None:
        """Upgrade the database as the project's deployment does."""
        if self.directory.name == "plain_sql":
            script = self.python("-m", "domain", "upgrade", "--sql")
            url = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(script.encode())
        self.python("-m", "alembic", "upgrade", "heads")

    def downgrade(self) -> None:
        """Downgrade the revisions of the application and of the package to base."""
        self.python("-m", "alembic", "downgrade", "base")
        if self.directory.name == "plain_sql":
            self.python("-m", "domain", "downgrade", "--revision", "base")

    def engine(self) -> sa.Engine:
        """Return an engine for the database, without a connection pool."""
        return sa.create_engine(self.url, poolclass=sa.NullPool)

    def execute(self, statement: str) -> None:
        """Execute a statement and commit."""
        with self.engine().begin() as connection:
            connection.exec_driver_sql(statement)

    def catalog(self) -> Catalog:
        """Return the catalog of the database."""
        with self.engine().connect() as connection:
            return catalog(connection)

    def remove_settings(self, settings: Sequence[str]) -> None:
        """Remove settings from the project's ``env.py``."""
        env = self.directory / ENV
        text = env.read_text()
        for setting in settings:
            assert SETTINGS[setting] in text
            text = text.replace(SETTINGS[setting], "")
        env.write_text(text)


@pytest.fixture(scope="session", params=PROJECTS)
def upgraded(
    request: pytest.FixtureRequest,
    run: Run,
    new_database: Callable[[str], sa.URL],
    tmp_path_factory: pytest.TempPathFactory,
) -> Host:
    """Return a project whose database is upgraded."""
    directory = tmp_path_factory.mktemp("host") / request.param
    shutil.copytree(HOSTS / request.param, directory)
    shutil.copytree(HOSTS / "academy", directory / "academy")
    host = Host(directory, new_database("template0"), run)
    host.upgrade()
    return host


@pytest.fixture
def host(upgraded: Host, tmp_path: Path) -> Host:
    """Return a copy of the project with the shared database, whose schema must not change."""
    directory = tmp_path / upgraded.directory.name
    shutil.copytree(upgraded.directory, directory)
    return replace(upgraded, directory=directory)


@pytest.fixture
def host_with_own_database(host: Host, new_database: Callable[[str], sa.URL]) -> Host:
    """Return a copy of the project with a clone of the database."""
    assert host.url.database is not None
    return replace(host, url=new_database(host.url.database))


@pytest.fixture(scope="session")
def empty_catalog(new_database: Callable[[str], sa.URL], run: Run) -> Catalog:
    """Return the catalog of an empty database."""
    return Host(HOSTS, new_database("template0"), run).catalog()


@pytest.mark.parametrize("removed", [(), ("include_schemas",)], ids=["all schemas", "one schema"])
def test_alembic_check_of_a_host_proposes_nothing(host: Host, removed: Sequence[str]) -> None:
    host.remove_settings(removed)
    assert "No new upgrade operations" in host.python("-m", "alembic", "check")


@pytest.mark.parametrize("upgraded", ["nested"], indirect=True)
@pytest.mark.parametrize("removed", ["include_name", "include_object"])
def test_alembic_check_of_a_host_needs_one_of_the_two_filters(host: Host, removed: str) -> None:
    host.remove_settings([removed])
    assert "No new upgrade operations" in host.python("-m", "alembic", "check")


@pytest.mark.parametrize("upgraded", ["nested"], indirect=True)
def test_filters_do_not_hide_the_tables_of_a_host_from_alembic_check(
    host_with_own_database: Host,
) -> None:
    host_with_own_database.execute(
        "ALTER TABLE bookings DROP CONSTRAINT ck_bookings_seats, "
        "DROP CONSTRAINT fk_bookings_plan_groups, DROP COLUMN room"
    )
    with pytest.raises(AssertionError) as found:
        host_with_own_database.python("-m", "alembic", "check")
    for missing in ("ck_bookings_seats", "fk_bookings_plan_groups", "'room'"):
        assert missing in str(found.value)


def test_simultaneous_request_of_a_host_is_refused(host: Host) -> None:
    report = json.loads(host.python("-m", "academy"))
    assert report["generation"] == 1
    assert report["plans"] > 0
    assert report["refused"] == [409, "plan_group_locked"]
    assert report["afterwards"] == [200, {"generation": 2, "plans": report["plans"]}]


def test_schema_of_a_host_is_current_for_the_package_and_its_command_line(host: Host) -> None:
    with host.engine().connect() as connection:
        assert schema.is_current(connection)
        schema.require_current(connection)
    before = host.catalog()
    assert "already" in host.python("-m", "domain", "upgrade")
    assert host.catalog() == before


def test_downgrade_of_a_host_removes_everything_of_the_package(
    host_with_own_database: Host, empty_catalog: Catalog
) -> None:
    host = host_with_own_database
    before = host.catalog()
    host.downgrade()
    with host.engine().connect() as connection:
        assert schema.current_revision(connection) is None
    host.execute("DROP TABLE public.alembic_version")
    assert host.catalog() == empty_catalog
    host.upgrade()
    assert host.catalog() == before
