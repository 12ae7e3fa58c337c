"""``schema.upgrade`` and ``schema.downgrade`` called inside an application's Alembic run."""

from pathlib import Path

import alembic.context
import alembic.op
import pytest
import sqlalchemy as sa
from alembic import command

from domain import schema
from domain.errors import MisuseError, SchemaError
from tests.migrations.catalog import catalog
from tests.migrations.hosts import PLAIN, Host

UPGRADE = "schema.upgrade(op.get_bind())"
DOWNGRADE = "schema.downgrade(op.get_bind())"
CREATE = "op.execute('CREATE TABLE public.lessons (id integer)')"
DROP = "op.execute('DROP TABLE public.lessons')"
# A revision can still use its operations context after the package's run.
CHECK_CONTEXT = "assert op.get_context().connection is op.get_bind() and context.config.attributes"
PACKAGE_FIRST = (f"{UPGRADE}\n{CHECK_CONTEXT}\n{CREATE}", f"{DOWNGRADE}\n{CHECK_CONTEXT}\n{DROP}")
PACKAGE_LAST = (f"{CREATE}\n{UPGRADE}\n{CHECK_CONTEXT}", f"{DROP}\n{DOWNGRADE}\n{CHECK_CONTEXT}")
per_migration = pytest.mark.parametrize("per_migration", [False, True])


@pytest.fixture
def host(tmp_path: Path, empty_url: sa.URL) -> Host:
    return Host(tmp_path, empty_url)


def tables(connection: sa.Connection) -> set[str]:
    with connection.begin():
        return set(sa.inspect(connection).get_table_names(schema="public"))


def is_current(connection: sa.Connection) -> bool:
    with connection.begin():
        return schema.is_current(connection)


def proxies() -> list[object]:
    """Return the proxies behind Alembic's modules, which are ``None`` while nothing runs."""
    return [vars(module).get("_proxy") for module in (alembic.op, alembic.context)]


@per_migration
@pytest.mark.parametrize("revision", [PACKAGE_FIRST, PACKAGE_LAST], ids=["first", "last"])
def test_upgrade_in_a_revision_leaves_its_op_usable(
    *, host: Host, connection: sa.Connection, revision: tuple[str, str], per_migration: bool
) -> None:
    host.write_revision("h1", *revision)
    host.write_revision("h2", "op.execute('CREATE TABLE public.later ()')", after="h1")
    host.upgrade(transaction_per_migration=per_migration)
    assert tables(connection) == {"alembic_version", "lessons", "later"}
    assert is_current(connection)
    assert proxies() == [None, None]


@per_migration
@pytest.mark.parametrize("revision", [PACKAGE_FIRST, PACKAGE_LAST], ids=["first", "last"])
def test_downgrade_in_a_revision_leaves_its_op_usable(
    *, host: Host, connection: sa.Connection, revision: tuple[str, str], per_migration: bool
) -> None:
    host.write_revision("h1", *revision)
    before = catalog(connection)
    host.upgrade(transaction_per_migration=per_migration)
    host.downgrade(transaction_per_migration=per_migration)
    with connection.begin():
        connection.exec_driver_sql("DROP TABLE public.alembic_version")
    assert catalog(connection) == before


ENVIRONMENTS = {
    "before": f"schema.upgrade(c)\n{PLAIN}",
    "after": f"{PLAIN}\nc.commit()\nschema.upgrade(c)",
    "before, in one transaction": f"c.begin()\nschema.upgrade(c)\n{PLAIN}\nc.commit()",
    "after, in one transaction": f"c.begin()\n{PLAIN}\nschema.upgrade(c)\nc.commit()",
}


@per_migration
@pytest.mark.parametrize("body", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_upgrade_in_env_py_works_before_and_after_the_revisions(
    *, host: Host, connection: sa.Connection, body: str, per_migration: bool
) -> None:
    host.write_env(body)
    host.write_revision("h1", CREATE)
    host.upgrade(transaction_per_migration=per_migration)
    assert tables(connection) == {"alembic_version", "lessons"}
    assert is_current(connection)
    assert proxies() == [None, None]


@per_migration
@pytest.mark.parametrize(
    "revision",
    [f"{UPGRADE}\n{CREATE}\n1 / 0", f"{CREATE}\n{UPGRADE}\n1 / 0"],
    ids=["first", "last"],
)
def test_revision_that_fails_later_rolls_back_the_schema(
    *, host: Host, connection: sa.Connection, revision: str, per_migration: bool
) -> None:
    before = catalog(connection)
    host.write_revision("h1", revision)
    with pytest.raises(ZeroDivisionError):
        host.upgrade(transaction_per_migration=per_migration)
    assert {"lessons"}.isdisjoint(tables(connection))
    # With a transaction per migration, Alembic has committed its version table.
    with connection.begin():
        connection.exec_driver_sql("DROP TABLE IF EXISTS public.alembic_version")
    assert catalog(connection) == before


def test_upgrade_commits_nothing_before_the_caller_commits(
    host: Host, connection: sa.Connection
) -> None:
    host.write_env(f"c.begin()\nschema.upgrade(c)\n{PLAIN}\nc.rollback()")
    host.write_revision("h1", CREATE)
    before = catalog(connection)
    host.upgrade()
    assert catalog(connection) == before


def test_failed_upgrade_in_a_revision_leaves_its_op_and_its_transaction_usable(
    host: Host, connection: sa.Connection
) -> None:
    """The package's run is a savepoint, so the revision can continue after it has failed."""
    with connection.begin():
        connection.exec_driver_sql("CREATE FUNCTION public.check_plan_group_lock(uuid) "
            "RETURNS integer LANGUAGE sql AS 'SELECT 1'")  # fmt: skip
    host.write_revision(
        "h1",
        f"try:\n    {UPGRADE}\nexcept SchemaError:\n    {CREATE}\nelse:\n    raise AssertionError",
    )
    host.upgrade()
    assert tables(connection) == {"alembic_version", "lessons"}
    assert "studyplan" not in sa.inspect(connection).get_schema_names()


def test_search_path_of_the_caller_is_restored_after_a_failed_run(
    connection: sa.Connection,
) -> None:
    with connection.begin():
        connection.exec_driver_sql("SET LOCAL search_path = public, pg_catalog")
        with pytest.raises(SchemaError, match="nope"):
            schema.upgrade(connection, "nope")
        assert connection.scalar(sa.text("SHOW search_path")) == "public, pg_catalog"


def test_offline_mode_of_a_host_is_refused_with_the_command_that_prints_sql(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.write_revision("h1", UPGRADE)
    host.write_env(
        "context.configure(dialect_name='postgresql')\n"
        "with context.begin_transaction():\n    context.run_migrations()"
    )
    with pytest.raises(MisuseError, match=r"offline mode \(--sql\).*domain upgrade --sql"):
        command.upgrade(host.config, "head", sql=True)
    assert "plan_groups" not in capsys.readouterr().out
