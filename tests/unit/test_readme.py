"""What the handbook says of names, codes, functions and files is true."""

import ast
import importlib
import importlib.util
import re
import textwrap
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from domain import errors

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text("utf-8")
EXAMPLES = [textwrap.dedent(text) for text in re.findall(r"```python\n(.*?)```", README, re.DOTALL)]
DOTTED = sorted(set(re.findall(r"`(domain(?:\.\w+)+)", README)))
LINKS = sorted(set(re.findall(r"\]\(([\w./]+)\)", README)))
CODES = {kind.code: kind for kind in vars(errors).values() if hasattr(kind, "code")}
CODE_ROWS = re.findall(r"^\| (`[^|]+) \| ([\d, ]+) \| (yes|no) \|", README, re.MULTILINE)


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def found(dotted: str) -> Any:
    """A module, or what one has by that name."""
    module, _, name = dotted.rpartition(".")
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        return getattr(importlib.import_module(module), name)


def revision() -> ModuleType:
    path = PROJECT / "alembic" / "versions" / "sp_0002_lock_functions.py"
    spec = importlib.util.spec_from_file_location("revision", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[0])
def test_an_example_is_python_and_what_it_imports_is_there(example: str) -> None:
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    # An ellipsis as a keyword argument stands for what the reader has.
    tree = compile(re.sub(r"…", "...", example), "README.md", "exec", flags)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("dotted", DOTTED)
def test_a_name_of_the_package_is_there(dotted: str) -> None:
    assert found(dotted) is not None


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_to_a_file(link: str) -> None:
    assert (PROJECT / link).exists()


def test_the_table_of_errors_has_every_code_with_its_status() -> None:
    told: dict[str, tuple[int, bool]] = {}
    for codes, statuses, retryable in CODE_ROWS:
        for code, status in zip(
            re.findall(r"`([a-z_]+)`", codes),
            [int(status) for status in statuses.split(",")] * 9,
            strict=False,
        ):
            told[code] = (status, retryable == "yes")
    rows = {"content_not_found", "student_plan_not_found", "time_entry_not_found"}
    assert told == {
        code: (kind.http_status, kind.retryable) for code, kind in CODES.items() if code not in rows
    }


def test_the_table_of_functions_has_every_function_of_the_revision() -> None:
    signatures = revision().FUNCTIONS
    functions = {re.split(r"[.(]", signature)[1] for signature in signatures}
    named = set(re.findall(r"`(\w+)\(", section("Schema"))) - {"upgrade"}
    assert named == functions


def test_the_extras_that_are_named_exist() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    named = set(re.findall(r"[Ee]xtras? `(\w+)`", README)) | set(
        re.findall(r"'\.\[(\w+)\]'", README)
    )
    assert named
    assert named <= set(project["optional-dependencies"])
