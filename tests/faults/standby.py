"""A streaming standby of an embedded server, from the pieces of ``domain.embedded``."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from domain.embedded import EmbeddedServer
from domain.embedded.process import Workspace
from domain.testing import PATIENCE, eventually
from tests.servers import binaries


@contextmanager
def standby_of(primary: EmbeddedServer) -> Iterator["Standby"]:
    """A standby for the length of the block; its server and directory are gone after it."""
    with Workspace(binaries()) as workspace:
        server = EmbeddedServer(workspace, primary.password)
        try:
            _copy(primary, workspace)
            server.start()
            yield Standby(server)
        finally:
            server.release_port()


class Standby:
    """Replays what its primary commits, and can be promoted."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    def url_for(self, database: str) -> sa.URL:
        """The URL of a database on the standby."""
        return sa.make_url(self._server.url_for(database))

    def catch_up(self, primary: sa.Engine, standby: sa.Engine) -> None:
        """Return when everything that the primary has written so far is replayed."""
        with primary.connect() as connection:
            written = connection.scalar(sa.text("SELECT pg_current_wal_flush_lsn()::text"))
        replayed = sa.text("SELECT pg_last_wal_replay_lsn() >= CAST(:written AS pg_lsn)")

        def caught_up() -> bool:
            with standby.connect() as connection:
                return bool(connection.scalar(replayed, {"written": written}))

        eventually(caught_up, "the standby has caught up")

    def promote(self, standby: sa.Engine) -> None:
        """Make it a server of its own, as a failover does; it takes writes on return."""
        with standby.connect() as connection:
            assert connection.scalar(sa.text("SELECT pg_promote(wait => true)"))


def _copy(primary: EmbeddedServer, workspace: Workspace) -> None:
    command = [
        str(binaries() / "pg_basebackup"),
        *("-d", primary.conninfo, "-D", str(workspace.data)),
        *("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--no-password"),
    ]
    subprocess.run(  # noqa: S603 - the server's own program
        command, check=True, capture_output=True, timeout=PATIENCE
    )
    with (workspace.data / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write("listen_addresses = ''\nwal_retrieve_retry_interval = '100ms'\n")
    workspace.log.touch(mode=0o600)
    for path in (workspace.log, workspace.data, *workspace.data.rglob("*")):
        workspace.account.own(path)
