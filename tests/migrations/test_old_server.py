"""A server that is older than the package supports is refused before anything is created."""

import pytest
import sqlalchemy as sa

from domain import schema
from domain.errors import SchemaError


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("version", [(14, 11), (9, 6, 24)])
def test_upgrade_refuses_a_server_that_is_too_old(
    *, connection: sa.Connection, version: tuple[int, ...], in_transaction: bool
) -> None:
    if in_transaction:
        connection.begin()
    connection.dialect.server_version_info = version
    with pytest.raises(SchemaError, match=r"needs 15 or later"):
        schema.upgrade(connection)
    connection.rollback()
    assert sa.inspect(connection).get_table_names() == []
    connection.rollback()
    connection.dialect.server_version_info = (15,)
    schema.upgrade(connection)
    assert schema.is_current(connection)
