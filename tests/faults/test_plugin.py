"""The pytest plugin in the test suite of another project, which must opt in to it."""

import os
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

THEIR_CONFTEST = """
import os
import pytest
import sqlalchemy as sa

pytest_plugins = ["domain.testing.plugin"]

@pytest.fixture(scope="session")
def studyplan_engine():
    engine = sa.create_engine(os.environ["THEIR_DATABASE"])
    yield engine
    engine.dispose()
"""
THEIR_LOCKS = """
from datetime import date
from uuid import uuid4

import pytest
from sqlalchemy.orm import sessionmaker

from domain import PlanGroup, PlanGroupLock, PlanGroupLockedError, UnitOfWork

def test_locks(studyplan_engine, assert_lock_held, assert_lock_free, contend):
    factory, tenant, group = sessionmaker(studyplan_engine), uuid4(), uuid4()
    lock = PlanGroupLock(tenant, group)
    stored = PlanGroup(
        tenant_id=tenant,
        id=group,
        student_id=uuid4(),
        name="theirs",
        period_start=date(2025, 1, 6),
        period_end=date(2025, 1, 19),
    )
    with UnitOfWork(factory, lock=lock) as uow:
        uow.groups.add(stored)
        uow.commit()

    def request(hold):
        with UnitOfWork(factory, lock=lock) as uow:
            assert_lock_held(group, by=uow)
            with pytest.raises(AssertionError):
                assert_lock_free(group)
            hold()

    answers = contend(3, request)
    assert len(answers.results) == 1
    assert [type(refusal) for refusal in answers.refusals] == [PlanGroupLockedError] * 2
    assert_lock_free(group, seconds=1)
    with pytest.raises(AssertionError, match="no transaction holds the lock"):
        assert_lock_held(group)
"""
THEIR_NETWORK = """
import socket

def test_network(cutting_proxy, fault_at):
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = cutting_proxy(*server.getsockname())
        client = socket.create_connection((proxy.host, proxy.port))
        upstream, _ = server.accept()
        client.sendall(b"hello")
        assert upstream.recv(5) == b"hello"
        proxy.cut()
        for end in (client, upstream):
            try:
                assert not end.recv(1), "the connection was cut"
            except ConnectionResetError:
                end.close()
                continue
            raise AssertionError("the connection was closed instead of reset")
"""
WITHOUT_AN_ENGINE = "def test_locks(assert_lock_held): pass"
OPTED_IN = ("-m", "pytest", "-p", "domain.testing.plugin")


def _run(*arguments: str, cwd: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    return subprocess.run(  # noqa: S603 - no shell; our own argument list
        [sys.executable, *arguments], cwd=cwd, env=environment | variables, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_plugin_named_in_the_top_conftest_provides_its_fixtures(
    tmp_path: Path, database_url: sa.URL
) -> None:
    tmp_path.joinpath("conftest.py").write_text(THEIR_CONFTEST)
    tmp_path.joinpath("test_locks.py").write_text(THEIR_LOCKS)
    tmp_path.joinpath("test_network.py").write_text(THEIR_NETWORK)
    url = database_url.render_as_string(hide_password=False)
    done = _run("-m", "pytest", "-W", "error", cwd=tmp_path, THEIR_DATABASE=url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_suite_that_does_not_opt_in_runs_without_the_package(tmp_path: Path) -> None:
    tmp_path.joinpath("test_theirs.py").write_text(
        "import sys\n\n"
        "def test_theirs(): assert not {'domain', 'sqlalchemy', 'psycopg'} & set(sys.modules)\n\n"
        "def test_locks(fault_at): pass\n"
    )
    done = _run("-m", "pytest", cwd=tmp_path)
    assert "1 passed, 1 error" in done.stdout
    assert "fixture 'fault_at' not found" in done.stdout


def test_plugin_without_an_engine_names_the_fixture_to_define(tmp_path: Path) -> None:
    tmp_path.joinpath("test_locks.py").write_text(WITHOUT_AN_ENGINE)
    done = _run(*OPTED_IN, cwd=tmp_path)
    assert done.returncode == 1
    assert "Define a fixture studyplan_engine" in done.stdout


def test_plugin_loads_if_warnings_are_errors(tmp_path: Path) -> None:
    tmp_path.joinpath("test_theirs.py").write_text("def test_theirs(fault_at): pass")
    strict = {"PYTHONWARNINGS": "error", "SQLALCHEMY_WARN_20": "1"}
    done = _run(*OPTED_IN, cwd=tmp_path, **strict)
    assert done.returncode == 0, done.stdout + done.stderr


def test_plugin_loads_in_a_program_that_has_already_imported_the_package(tmp_path: Path) -> None:
    tmp_path.joinpath("conftest.py").write_text("pytest_plugins = ['domain.testing.plugin']")
    tmp_path.joinpath("pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    tmp_path.joinpath("test_theirs.py").write_text("def test_theirs(fault_at): pass")
    program = "import domain.testing, pytest; raise SystemExit(pytest.main())"
    done = _run("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_of_domain_testing_needs_no_pytest_and_starts_no_thread(tmp_path: Path) -> None:
    program = (
        "import sys, threading, domain.testing; "
        "print(*{'pytest', '_pytest', 'alembic', 'domain.embedded'} & set(sys.modules), "
        "threading.active_count())"
    )
    done = _run("-W", "error", "-c", program, cwd=tmp_path)
    assert done.stdout.strip() == "1", done.stderr
