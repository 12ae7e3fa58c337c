"""What the handbook says of names, codes, functions and files is true."""

import ast
import asyncio
import importlib
import importlib.util
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from domain import errors

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text("utf-8")
EXAMPLES = [textwrap.dedent(text) for text in re.findall(r"```python\n(.*?)```", README, re.DOTALL)]
DOTTED = sorted(set(re.findall(r"`(domain(?:\.\w+)+)", README)))
LINKS = sorted(set(re.findall(r"\]\(([\w./]+)\)", README)))
CODES = {kind.code: kind for kind in vars(errors).values() if hasattr(kind, "code")}
CODE_ROWS = re.findall(r"^\| (`[^|]+) \| (\d+) \| (yes|no) \|", README, re.MULTILINE)
FRAMEWORKS = {"fastapi"}
"""What an example may import without the project depending on it."""


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def root(module: str | None) -> str:
    return (module or "").partition(".")[0]


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
        if isinstance(node, ast.ImportFrom) and root(node.module) not in FRAMEWORKS:
            module = importlib.import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("dotted", DOTTED)
def test_a_name_of_the_package_is_there(dotted: str) -> None:
    assert found(dotted) is not None


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_to_a_file(link: str) -> None:
    assert (PROJECT / link).exists()


def test_table_of_errors_has_every_code_once_with_its_status_and_no_other() -> None:
    listed = [
        (code, int(status), retryable == "yes")
        for codes, status, retryable in CODE_ROWS
        for code in re.findall(r"`([a-z_]+)`", codes)
    ]
    assert sorted(listed) == sorted(
        (code, kind.http_status, kind.retryable) for code, kind in CODES.items()
    )


def test_handler_of_errors_answers_a_problem_document_and_retry_after_only_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The example's own text, with FastAPI's names replaced by what they are given."""
    (example,) = (text for text in EXAMPLES if "exception_handler" in text)
    handlers: dict[type[Exception], Any] = {}

    class App:
        def exception_handler(self, kind: type[Exception]) -> Callable[[Any], None]:
            return lambda handler: handlers.update({kind: handler})

    names = {"FastAPI": App, "Request": object, "JSONResponse": lambda body, **rest: (body, rest)}
    for module in ("fastapi", "fastapi.responses"):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**names))
    exec(compile(example, "README.md", "exec"), {"__name__": "example"})  # noqa: S102 - our own text
    for error, headers in (
        (errors.PlanGroupLockedError(group_id=None), {"Retry-After": "1"}),
        (errors.NoContentsError(), None),
    ):
        body, rest = asyncio.run(handlers[errors.DomainError](None, error))
        assert body == error.to_problem("ko")
        assert rest == {
            "status_code": error.http_status,
            "headers": headers,
            "media_type": "application/problem+json",
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
