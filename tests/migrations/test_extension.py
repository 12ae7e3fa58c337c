"""btree_gist is made where it is missing, and dropped only where we made it."""

import sqlalchemy as sa

from domain import schema

COMMENT = sa.text(
    "SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'btree_gist'"
)
OURS = "created by studyplan-domain"


def comments(connection: sa.Connection) -> list[str | None]:
    """The comment of the extension, in a list that is empty where it is missing."""
    with connection.begin():
        return list(connection.scalars(COMMENT).all())


def test_a_database_without_btree_gist_gets_it_with_our_mark(connection: sa.Connection) -> None:
    assert comments(connection) == []
    schema.upgrade(connection)
    assert comments(connection) == [OURS]


def test_our_btree_gist_goes_with_the_downgrade(connection: sa.Connection) -> None:
    schema.upgrade(connection)
    schema.downgrade(connection)
    assert comments(connection) == []


def test_a_btree_gist_that_was_there_before_is_neither_marked_nor_dropped(
    connection: sa.Connection,
) -> None:
    with connection.begin():
        connection.exec_driver_sql("CREATE EXTENSION btree_gist")
    before = comments(connection)
    schema.upgrade(connection)
    assert comments(connection) == before
    assert before != [OURS]
    schema.downgrade(connection)
    assert comments(connection) == before


def test_a_btree_gist_in_another_schema_serves_as_well(connection: sa.Connection) -> None:
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA extensions")
        connection.exec_driver_sql("CREATE EXTENSION btree_gist SCHEMA extensions")
    schema.upgrade(connection)
    assert connection.scalar(sa.text("SELECT count(*) FROM pg_constraint WHERE contype = 'x'")) == 2
