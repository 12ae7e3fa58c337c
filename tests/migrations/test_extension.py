"""btree_gist is created if it is missing, and dropped only if the package created it."""

import sqlalchemy as sa

from domain import schema

COMMENT = sa.text(
    "SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'btree_gist'"
)
OURS = "created by studyplan-domain"


def comments(connection: sa.Connection) -> list[str | None]:
    """Return the extension's comment in a list, which is empty if the extension is missing."""
    with connection.begin():
        return list(connection.scalars(COMMENT).all())


def test_btree_gist_is_created_with_a_comment_if_it_is_missing(connection: sa.Connection) -> None:
    assert comments(connection) == []
    schema.upgrade(connection)
    assert comments(connection) == [OURS]


def test_btree_gist_that_the_package_created_is_dropped_by_the_downgrade(
    connection: sa.Connection,
) -> None:
    schema.upgrade(connection)
    schema.downgrade(connection)
    assert comments(connection) == []


def test_btree_gist_that_existed_before_is_neither_commented_nor_dropped(
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


def test_btree_gist_in_another_schema_is_used(connection: sa.Connection) -> None:
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA extensions")
        connection.exec_driver_sql("CREATE EXTENSION btree_gist SCHEMA extensions")
    schema.upgrade(connection)
    assert connection.scalar(sa.text("SELECT count(*) FROM pg_constraint WHERE contype = 'x'")) == 3
