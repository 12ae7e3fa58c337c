"""The throwaway server in unusual environments: libpq's variables, TMPDIR, accounts, mounts."""

import os
import pwd
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.pq import Conninfo

from domain.embedded import EmbeddedServer, embedded_postgres
from domain.embedded.process import PLAIN_PATH, ServerStartError, Workspace
from domain.embedded.server import find_binaries

VARIABLES = sorted(
    option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar is not None
)
STARTUP = {"PGTZ": "Nowhere/None", "PGDATESTYLE": "wrong", "PGGEQO": "wrong"}
NAMES = ["a,b", "it's", "a b", "job@2", "50%", "back\\slash", 'qu"ote', "new\nline", "a#b", "a?b&c"]


@pytest.mark.parametrize("variable", VARIABLES)
def test_variable_of_libpq_does_not_reach_the_server(
    server: EmbeddedServer, variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, "wrong")
    if variable == "PGSERVICE":
        file = tmp_path / "services"
        settings = [f"{name.decode()}=wrong\n" for name in _service_parameters()]
        file.write_text("".join(["[wrong]\n", *settings]))
        monkeypatch.setenv("PGSERVICEFILE", str(file))
    _assert_connects(server)


def test_variables_of_libpq_together_do_not_reach_the_server(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in set(VARIABLES) - {"PGSERVICE"}:
        monkeypatch.setenv(variable, "wrong")
    monkeypatch.setenv("PGREQUIRESSL", "1")
    _assert_connects(server)


def test_pgoptions_do_not_reach_the_server(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_isolation=serializable")
    engines = [sa.create_engine(url) for url in (server.url, server.url_for("postgres", tcp=True))]
    query = "SHOW transaction_isolation"
    for engine in engines:
        with engine.connect() as connection:
            assert connection.scalar(sa.text(query)) == "read committed"
        engine.dispose()
    with psycopg.connect(server.conninfo) as plain:
        assert plain.execute(query).fetchone() == ("read committed",)


@pytest.mark.parametrize("command", ["demo", "generate"])
def test_commands_on_a_throwaway_server_ignore_the_variables_of_libpq(
    command: str, tmp_path: Path
) -> None:
    example = tmp_path / "example.json"
    example.write_bytes(resources.files("domain.documents").joinpath("example.json").read_bytes())
    poisoned = dict.fromkeys(VARIABLES, "wrong") | STARTUP | {"PGSERVICEFILE": "/nonexistent"}
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "domain", command, *([example] if command == "generate" else [])],
        env={**os.environ, **poisoned, "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [*NAMES, "a=b", "x" * 90], ids=repr)
def test_workspace_avoids_a_tmpdir_with_an_unsuitable_name(
    name: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / name).mkdir(mode=0o777)
    (temporary / name).chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(temporary / name))
    with Workspace() as workspace:
        assert PLAIN_PATH.fullmatch(str(workspace.path))
        assert temporary not in workspace.path.parents
        assert workspace.path.is_dir()


def test_server_runs_in_a_tmpdir_with_a_korean_name(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / "한글").mkdir()
    (temporary / "한글").chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(temporary / "한글"))
    with embedded_postgres() as server:
        assert server.data_directory.parents[1] == temporary / "한글"
        _assert_connects(server)
    assert list((temporary / "한글").iterdir()) == []


def test_workspace_avoids_a_tmpdir_that_the_account_cannot_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Workspace() as workspace:
        assert tmp_path not in workspace.path.parents


def test_workspace_without_a_suitable_tmpdir_is_an_error_with_a_hint(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.embedded.process.SOCKET_PATH_LIMIT", 10)
    with pytest.raises(ServerStartError, match="Set TMPDIR to a directory in which the account"):
        Workspace()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("uid", [0, 12345])
def test_user_without_an_account_is_an_error_with_a_hint(
    uid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: object) -> None:
        raise KeyError

    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    hint = "none of these accounts exists" if uid == 0 else r"12345 .*a user of /etc/passwd"
    with pytest.raises(ServerStartError, match=hint):
        embedded_postgres().__enter__()


def test_installation_that_the_account_cannot_run_is_copied(tmp_path: Path) -> None:
    closed = tmp_path / "home"
    site = find_binaries().parents[2]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / name, closed / name)
    closed.chmod(0o700)
    with embedded_postgres(bindir=closed / "embedded_postgres/pginstall/bin") as server:
        # The client library is in a directory next to the package, so its copy is used as well.
        with psycopg.connect(server.conninfo) as connection:
            row = connection.execute("SELECT count(*) > 500 FROM pg_timezone_names").fetchone()
        assert row == (True,)
        assert server.data_directory.parent.joinpath("install").exists() is (os.geteuid() == 0)
    assert closed.stat().st_mode & 0o777 == 0o700


def test_copy_of_the_installation_is_not_made_on_a_noexec_mount(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted_noexec = _mount_noexec(monkeypatch, temporary)
    monkeypatch.setattr("domain.embedded.process.Account.can_run", lambda *_: False)
    with Workspace(find_binaries()) as workspace:
        assert temporary not in workspace.path.parents
    mounted_noexec.append(workspace.path.parent)
    mounted_noexec.append(Path("/var/tmp"))  # noqa: S108 - nothing is written there
    with pytest.raises(ServerStartError, match=r"and run programs \(not noexec\)"):
        Workspace(find_binaries())


def test_server_that_runs_the_installation_itself_may_be_on_a_noexec_mount(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _mount_noexec(monkeypatch, temporary)
    monkeypatch.setattr("domain.embedded.process.Account.can_run", lambda *_: True)
    with Workspace(find_binaries()) as workspace:
        assert workspace.path.parent == temporary


def _service_parameters() -> list[bytes]:
    """Return the parameters with an environment variable that a service file can set."""
    return [
        option.keyword
        for option in Conninfo.get_defaults()
        if option.envvar is not None and option.keyword != b"service"
    ]


def _mount_noexec(monkeypatch: pytest.MonkeyPatch, *directories: Path) -> list[Path]:
    """Make os.statvfs report these directories, and no others, as mounted noexec."""
    mounted = list(directories)
    statvfs = os.statvfs

    def altered(path: Path) -> os.statvfs_result:
        found = statvfs(path)
        flags = found.f_flag | os.ST_NOEXEC if path in mounted else found.f_flag & ~os.ST_NOEXEC
        return os.statvfs_result([*found[:8], flags, *found[9:]])

    monkeypatch.setattr(os, "statvfs", altered)
    return mounted


def _assert_connects(server: EmbeddedServer) -> None:
    for url in (server.url, server.url_for("postgres", tcp=True)):
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT current_user")) == "postgres"
        engine.dispose()
    with psycopg.connect(server.conninfo) as plain:
        assert plain.execute("SELECT current_user").fetchone() == ("postgres",)
