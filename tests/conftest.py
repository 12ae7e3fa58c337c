"""Fixtures of a real PostgreSQL: the embedded server, or the one of ``TEST_DATABASE_URL``.

With ``TEST_ROLE=1`` the tests connect as a role that owns nothing and has only the privileges that
``schema.upgrade(…, grant_to=…)`` grants; ``owner_engine`` connects as the owner.

A missing server is an error and never skips a test. Units of work commit for real, in a database
that each module clones from a migrated template; each test uses its own ids.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from itertools import count
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import settings
from sqlalchemy.orm import Session, sessionmaker

from domain import schema
from domain.embedded import embedded_postgres
from tests.factories import PlanGroupFactory
from tests.servers import OWNERS, binaries

pytest_plugins = ["domain.testing.plugin"]

# Every run tests the same examples, so that a failure of the gate can be reproduced anywhere.
# HYPOTHESIS_PROFILE=exploring searches for new examples.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("exploring", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

SERVER_REMAINS = bool(os.environ.get("TEST_DATABASE_URL"))
"""Whether the server is still there after the tests; the embedded one is deleted with its data."""
_numbers = count(1)


@pytest.fixture(scope="session")
def server_url() -> Iterator[sa.URL]:
    """The URL of a database on the server under test; its role may create databases."""
    if SERVER_REMAINS:
        url = sa.make_url(os.environ["TEST_DATABASE_URL"])
        yield url.set(drivername="postgresql+psycopg")
        return
    with embedded_postgres(bindir=binaries()) as server:
        yield sa.make_url(server.url)


@pytest.fixture(scope="session")
def maintenance(server_url: sa.URL) -> Iterator[sa.Connection]:
    """An autocommit connection that creates and drops databases."""
    engine = sa.create_engine(server_url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture(scope="session")
def app_role(maintenance: sa.Connection) -> Iterator[tuple[str, str] | None]:
    """The name and password of the application's role; ``None`` means that it is the owner."""
    if not os.environ.get("TEST_ROLE"):
        yield None
        return
    name, password = f"studyplan_test_role_{os.getpid()}", secrets.token_hex(16)
    maintenance.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    yield name, password
    if SERVER_REMAINS:
        maintenance.exec_driver_sql(f"DROP ROLE {name}")


@pytest.fixture(scope="session")
def new_database(
    server_url: sa.URL,
    maintenance: sa.Connection,
    app_role: object,  # must be dropped after the databases that grant it privileges
) -> Iterator[Callable[[str], sa.URL]]:
    """A function that creates a copy of the database ``template``.

    All are dropped at the end, unless the server is: each of them costs a checkpoint.
    """
    made: list[str] = []

    def make(template: str = "template0") -> sa.URL:
        name = f"studyplan_test_{os.getpid()}_{next(_numbers)}"
        maintenance.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        made.append(name)
        return server_url.set(database=name)

    yield make
    for name in reversed(made) if SERVER_REMAINS else ():
        maintenance.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def template(new_database: Callable[[str], sa.URL], app_role: tuple[str, str] | None) -> str:
    """The name of a database with the current schema.

    It has no open connections, because ``CREATE DATABASE`` refuses to copy a database that has.
    """
    url = new_database("template0")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        schema.upgrade(connection, grant_to=app_role[:1] if app_role else ())
    engine.dispose()
    assert url.database is not None
    return url.database


@pytest.fixture(scope="module")
def owner_url(template: str, new_database: Callable[[str], sa.URL]) -> sa.URL:
    """The URL of a migrated database for one module, whose tests commit for real, as its owner."""
    return new_database(template)


@pytest.fixture(scope="module")
def database_url(
    request: pytest.FixtureRequest, owner_url: sa.URL, app_role: tuple[str, str] | None
) -> sa.URL:
    """The URL with which the application connects to the same database."""
    if app_role is None or request.module.__name__ in OWNERS:
        return owner_url
    name, password = app_role
    return owner_url.set(username=name, password=password)


@pytest.fixture(scope="module")
def engine(database_url: sa.URL) -> Iterator[sa.Engine]:
    engine = sa.create_engine(database_url, pool_size=40, max_overflow=0, pool_timeout=20)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def owner_engine(owner_url: sa.URL) -> Iterator[sa.Engine]:
    """An engine for statements that the application's role is not allowed to execute."""
    engine = sa.create_engine(owner_url, poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def session_factory(engine: sa.Engine) -> sessionmaker[Session]:
    return sessionmaker(engine)


@pytest.fixture
def tenant_id() -> UUID:
    """The id of the tenant of the group ``group_id``."""
    return uuid4()


@pytest.fixture
def group_id(tenant_id: UUID, session_factory: sessionmaker[Session]) -> UUID:
    """The id of a stored group.

    It must be stored, because a request for the busy lock of another group is refused as not found.
    """
    group = PlanGroupFactory.build(tenant_id=tenant_id)
    with session_factory(expire_on_commit=False) as session, session.begin():
        session.add(group)
    return group.id


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    """A Session whose work is rolled back; a commit only releases a savepoint."""
    with engine.connect() as connection:
        transaction = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        transaction.rollback()
