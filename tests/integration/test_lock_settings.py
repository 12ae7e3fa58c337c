"""The SQL functions return the same results under all settings of the session's role."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain.locking import lock_status, plan_group_lock_key
from tests.factories import PlanGroupFactory
from tests.integration.lock_answers import (
    ALL,
    BEHIND_SHARED,
    CHECK,
    GROUP,
    LONG_MS,
    MANY,
    PARALLEL,
    SHARED,
    STUDENTS,
    WITH_LIMITS,
    Settings,
    answers,
    client,
    role_settings,
    scalar,
    sqlstate_of,
)
from tests.integration.storing import store
from tests.integration.test_lock_functions import STUDENT_VECTORS, VECTORS

FREE = VECTORS[0][0]
ACQUIRING = [
    GROUP.format(FREE, 0),
    GROUP.format(FREE, 10),
    MANY.format([1], 0),
    MANY.format([1, 2], 10),
    SHARED.format([1], 0),
    BEHIND_SHARED.format([1], 10),
    STUDENTS.format([1], 0),
    WITH_LIMITS.format([1], 0),
    WITH_LIMITS.format([1, 2], 10),
]


@pytest.fixture(scope="module")
def expected(database_url: sa.URL, engine: sa.Engine) -> dict[str, Any]:
    """The results under the default settings."""
    with engine.connect() as observer:
        return answers(database_url, database_url, observer)


@pytest.fixture
def observer(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A session that was started before the settings were changed."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        connection.rollback()
        yield connection


def test_results_under_the_default_settings_are_as_documented(expected: dict[str, Any]) -> None:
    outcomes = {
        name: (found["outcome"], found["lock_key"], found["holder_pid"])
        for name, found in expected.items()
        if isinstance(found, dict) and "outcome" in found
    }
    for name, found in outcomes.items():
        if "refused" in name:
            is_busy = name.endswith(", 0") or name.startswith("behind shared")
            outcome = "busy" if is_busy else "timeout"
            assert found == (outcome, "held", "holder"), name
    assert outcomes["group, refused, 0"][0] == "busy"
    assert outcomes["all or none, refused, 30"][0] == "timeout"
    assert outcomes["group, waited"] == ("waited", "held", None)
    assert expected["with limits, free"] is None
    assert expected["with limits, mine"]["held_by_me"]
    assert expected["check, held"]["held"]
    assert not expected["check, held"]["held_by_me"]
    assert [value for name, value in expected.items() if name.endswith("refused, 0, locks")] == [
        0
    ] * 7
    assert (
        expected["requires another transaction"],
        expected["requires an ended transaction"],
    ) == ("SP001", "SP001")
    identity = (
        "is the transaction",
        "is another transaction",
        "has the new identity",
        "is the transaction after a rollback",
    )
    assert [expected[name] for name in identity] == ["true", "false", "true", "false"]
    assert expected["exclusive after shared"] == "SP002"
    assert expected["exclusive with limits after shared"] == "SP002"


@pytest.mark.parametrize("name", ALL)
def test_results_are_the_same_under_the_settings(
    name: str,
    maintenance: sa.Connection,
    database_url: sa.URL,
    observer: sa.Connection,
    expected: dict[str, Any],
) -> None:
    with role_settings(maintenance, database_url, ALL[name]):
        found = answers(database_url, database_url, observer)
    if name == "track_activities":
        found = _without_times(found)
        expected = _without_times(expected)
    assert found == expected


def _without_times(found: dict[str, Any]) -> dict[str, Any]:
    """Return the results without what a holder with track_activities off does not publish."""
    hidden = dict.fromkeys(("holder_since", "holder_held_ms"))
    return {
        name: {**value, **hidden} if isinstance(value, dict) else value
        for name, value in found.items()
    }


def test_results_are_the_same_in_parallel_workers(
    maintenance: sa.Connection,
    database_url: sa.URL,
    observer: sa.Connection,
    expected: dict[str, Any],
) -> None:
    assert maintenance.dialect.server_version_info is not None
    version = int(maintenance.dialect.server_version_info[0])
    settings = {PARALLEL.get(version, "debug_parallel_query"): "on"}
    with role_settings(maintenance, database_url, settings):
        assert answers(database_url, database_url, observer) == expected


@pytest.mark.parametrize("name", ALL)
def test_lock_keys_match_the_published_vectors_under_the_settings(
    name: str, maintenance: sa.Connection, database_url: sa.URL
) -> None:
    with role_settings(maintenance, database_url, ALL[name]), client(database_url) as session:
        for kind, vectors in (("plan_group", VECTORS), ("student", STUDENT_VECTORS)):
            for *ids, key in vectors:
                given = "', '".join(map(str, ids))
                assert scalar(session, f"SELECT studyplan.{kind}_lock_key('{given}')") == key


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("statement", ACQUIRING)
def test_default_isolation_above_read_committed_is_refused(
    maintenance: sa.Connection, database_url: sa.URL, level: str, statement: str
) -> None:
    settings = {"default_transaction_isolation": level}
    with role_settings(maintenance, database_url, settings), client(database_url) as session:
        assert sqlstate_of(session, statement) == "25001"
        assert scalar(session, CHECK.format(FREE)) is not None


@pytest.mark.parametrize("statement", ACQUIRING)
def test_read_only_transaction_is_refused_with_a_hint_that_names_the_setting(
    maintenance: sa.Connection, database_url: sa.URL, statement: str
) -> None:
    settings = {"default_transaction_read_only": "on"}
    with role_settings(maintenance, database_url, settings), client(database_url) as session:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as refused:
            scalar(session, statement)
        assert "default_transaction_read_only" in (refused.value.diag.message_hint or "")
        assert "standby" not in str(refused.value)
        session.rollback()
        assert scalar(session, CHECK.format(FREE)) is not None


@pytest.mark.parametrize(
    "settings",
    [{"statement_timeout": "300ms"}, {"statement_timeout": "300ms", "lock_timeout": "5ms"}],
    ids=["statement_timeout", "both"],
)
@pytest.mark.parametrize("style", ["postgres", "sql_standard", "iso_8601"])
def test_statement_timeout_of_the_role_bounds_the_wait(
    maintenance: sa.Connection,
    database_url: sa.URL,
    observer: sa.Connection,
    settings: Settings,
    style: str,
) -> None:
    group, key = VECTORS[3]
    statements = (
        GROUP.format(group, LONG_MS),
        MANY.format([key], LONG_MS),
        WITH_LIMITS.format([key], LONG_MS),
    )
    observer.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (key,))
    settings = {**settings, "IntervalStyle": style}
    with role_settings(maintenance, database_url, settings), client(database_url) as session:
        for statement in statements:
            assert '"outcome": "timeout"' in scalar(session, statement)
            session.rollback()


def test_lock_status_works_with_the_client_encoding_sql_ascii(
    session_factory: sessionmaker[Session],
    connection: sa.Connection,
    other: sa.Connection,
    tenant_id: UUID,
) -> None:
    group_id, other_id = UUID(VECTORS[4][0]), UUID(VECTORS[5][0])
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (plan_group_lock_key(group_id),))
    other.exec_driver_sql("SET client_encoding = SQL_ASCII")
    store(
        session_factory,
        *(PlanGroupFactory.build(tenant_id=tenant_id, id=id_) for id_ in (group_id, other_id)),
    )
    status = lock_status(other, tenant_id, group_id)
    assert status.held
    assert status.holder is not None
    assert status.holder.since == connection.scalar(sa.select(sa.func.now()))
    assert not lock_status(other, tenant_id, other_id).held
    other.invalidate()
