"""Applications that have their own package named ``domain``, as the README describes."""

from pathlib import Path

import pytest

from tests.hosts.conftest import Run

TESTS = "from domain.orders import total\ndef test_total(): assert total() == 3\n"
MAIN = "from domain import UnitOfWork\nfrom myapp.domain.orders import total\nprint(total())\n"
USAGE = "usage: python -m domain"


def add_package(directory: Path) -> None:
    """Create a package ``domain`` in the directory."""
    (directory / "domain").mkdir(parents=True)
    (directory / "domain" / "__init__.py").touch()
    (directory / "domain" / "orders.py").write_text("def total(): return 3\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Create an application with a top-level package ``domain`` and a test of it."""
    add_package(tmp_path)
    (tmp_path / "test_orders.py").write_text(TESTS)
    return tmp_path


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Create an application with ``myapp.domain``, which also uses the installed package."""
    add_package(tmp_path / "myapp")
    (tmp_path / "myapp" / "__init__.py").touch()
    (tmp_path / "myapp" / "main.py").write_text(MAIN)
    return tmp_path


@pytest.mark.parametrize(
    "environment",
    [{}, {"PSYCOPG_IMPL": "c"}, {"PYTHONWARNINGS": "error"}],
    ids=["default", "without a driver", "strict"],
)
def test_pytest_runs_the_tests_of_an_application_with_its_own_domain(
    project: Path, run: Run, environment: dict[str, str]
) -> None:
    done = run("-m", "pytest", cwd=project, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_import_finds_the_domain_of_the_working_directory_first(project: Path, run: Run) -> None:
    done = run("-c", "from domain import UnitOfWork", cwd=project)
    assert "ImportError: cannot import name 'UnitOfWork' from 'domain'" in done.stderr


def test_command_line_runs_the_domain_of_the_working_directory(
    project: Path, tmp_path_factory: pytest.TempPathFactory, run: Run
) -> None:
    assert run("-m", "domain", "--help", cwd=project).returncode == 1
    assert run("-P", "-m", "domain", "--help", cwd=project).stdout.startswith(USAGE)
    safe = run("-m", "domain", "--help", cwd=project, PYTHONSAFEPATH="1")
    assert safe.stdout.startswith(USAGE)
    other = tmp_path_factory.mktemp("other")
    (other / "domain").mkdir()
    found = run("-m", "domain", "--help", cwd=other)
    assert found.stdout.startswith(USAGE), "a directory without __init__.py hid the package"


def test_package_domain_inside_a_parent_package_is_used_with_this_package(
    nested: Path, run: Run
) -> None:
    assert run("-m", "myapp.main", cwd=nested).stdout == "3\n"
    assert run("-m", "domain", "--help", cwd=nested).stdout.startswith(USAGE)
    (nested / "myapp" / "test_import.py").write_text(f"{MAIN}def test_import(): pass\n")
    tested = run("-m", "pytest", cwd=nested)
    assert tested.returncode == 0, tested.stdout
    as_a_file = run(str(nested / "myapp" / "main.py"), cwd=nested)
    assert "ImportError: cannot import name 'UnitOfWork' from 'domain'" in as_a_file.stderr
    (nested / "myapp" / "__init__.py").unlink()
    assert "1 error" in run("-m", "pytest", cwd=nested).stdout
