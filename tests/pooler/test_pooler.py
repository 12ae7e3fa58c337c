"""The lock belongs to the transaction, and so does the backend behind a pooler."""

from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from domain import LockTimeoutError, PlanGroup, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from tests.concurrency.contenders import contend
from tests.concurrency.worlds import advisory_locks, generate, live_plans, stored_group, traces
from tests.pooler.conftest import POOL_SIZE
from tests.pooler.pgbouncer import INSTALL, Pooler, transaction_pooler

CONTENDERS = 32


@pytest.fixture
def group(session_factory: sessionmaker[Session]) -> PlanGroup:
    return stored_group(session_factory)


def test_a_client_meets_another_backend_in_its_next_transaction(engine: sa.Engine) -> None:
    with engine.connect() as one, engine.connect() as other:
        first = one.scalar(sa.text("SELECT pg_backend_pid()"))
        one.rollback()
        assert other.scalar(sa.text("SELECT pg_backend_pid()")) == first
        assert one.scalar(sa.text("SELECT pg_backend_pid()")) != first


def test_of_many_requests_through_few_backends_exactly_one_generates(
    direct: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    answers = contend(CONTENDERS, lambda hold: generate(session_factory, group, hold))
    assert [type(refusal) for refusal in answers.refusals] == [PlanGroupLockedError] * (
        CONTENDERS - 1
    )
    generation, records, plans = traces(direct, group.id)
    assert generation == len(records) == 1
    assert {row.id for row in plans} == set(answers.results[0].plan_ids)


def test_there_are_more_clients_than_server_connections(
    engine: sa.Engine, pooler: Pooler, session_factory: sessionmaker[Session]
) -> None:
    groups = [stored_group(session_factory) for _ in range(CONTENDERS)]
    free = iter(groups)
    answers = contend(CONTENDERS, lambda _: generate(session_factory, next(free)))
    assert len(answers.results) == CONTENDERS
    assert pooler.count("CLIENTS", engine.url.database) > 2 * POOL_SIZE
    assert 1 < pooler.count("SERVERS", engine.url.database) <= POOL_SIZE


def test_the_lock_is_free_after_commit_rollback_and_exception(
    direct: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    generate(session_factory, group)
    assert advisory_locks(direct) == 0
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.id)) as uow:
        assert advisory_locks(direct) == 1
        uow.rollback()
        assert advisory_locks(direct) == 0
    with pytest.raises(ZeroDivisionError):
        generate(session_factory, group, _divide_by_zero)
    assert advisory_locks(direct) == 0


def test_the_lock_is_free_after_the_client_has_vanished(
    direct: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    uow = UnitOfWork(session_factory, lock=PlanGroupLock(group.id)).__enter__()
    driver = uow.session.connection().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.pgconn.finish()
    with pytest.raises(DBAPIError):
        uow.groups.get(group.tenant_id, group.id)
    uow.__exit__(None, None, None)
    assert generate(session_factory, group).generation == 1
    assert advisory_locks(direct) == 0


def test_the_lock_is_free_after_the_backend_was_killed_behind_the_pooler(
    direct: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    def kill_the_holder() -> None:
        with direct.connect() as connection:
            killed = connection.scalars(
                sa.text(
                    "SELECT DISTINCT pg_terminate_backend(pid, 10000) FROM pg_locks "
                    "WHERE locktype = 'advisory' AND granted AND database = "
                    "(SELECT oid FROM pg_database WHERE datname = current_database())"
                )
            )
            assert list(killed) == [True]

    with pytest.raises(DBAPIError):
        generate(session_factory, group, kill_the_holder)
    assert live_plans(direct, group.id) == []
    assert generate(session_factory, group).generation == 1


def test_a_bounded_wait_ends_and_leaves_no_setting_to_the_backends_next_client(
    engine: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    wait = PlanGroupLock(group.id, wait=timedelta(milliseconds=50))
    with (
        UnitOfWork(session_factory, lock=PlanGroupLock(group.id)),
        pytest.raises(LockTimeoutError),
        UnitOfWork(session_factory, lock=wait),
    ):
        pass
    settings = sa.text(
        "SELECT current_setting('lock_timeout'), "
        "current_setting('idle_in_transaction_session_timeout')"
    )
    with engine.connect() as one, engine.connect() as two, engine.connect() as three:
        assert {tuple(client.execute(settings).one()) for client in (one, two, three)} == {
            ("0", "0")
        }


def test_a_missing_pooler_is_an_error_that_says_how_to_install_it(
    server_url: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with (
        pytest.raises(FileNotFoundError, match="apt-get") as missing,
        transaction_pooler(server_url),
    ):
        pass
    assert str(missing.value) == INSTALL


def _divide_by_zero() -> None:
    raise ZeroDivisionError
