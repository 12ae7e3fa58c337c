"""The names, commands, fields, codes, events and files in the documents match the code."""

import ast
import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

import domain
from tests.benchmarks.__main__ import WITH_DATABASE, WITHOUT_DATABASE
from tests.handbook import BLOCKS, DOCUMENTS, EXTRAS, PROJECT, Example, code, example, parsers

PYTHON = [block for block in BLOCKS if block.language == "python"]
DOTTED = sorted(
    {name for text in DOCUMENTS.values() for name in re.findall(r"`(domain(?:\.\w+)+)", text)}
)
LINKS = sorted(
    {
        (path, link)
        for path, text in DOCUMENTS.items()
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)
    }
)
PATHS = sorted(
    {
        path
        for text in DOCUMENTS.values()
        for path in re.findall(
            r"(?<![\w/.])((?:tests|domain|alembic|\.ci|\.github)/[\w./-]*\w)", text
        )
    }
)
COMMANDS = sorted({
    command
    for text in DOCUMENTS.values()
    for command in re.findall(r"python (?:-P )?-m (domain [a-z]+|tests\.\w+(?: \w+)*)", text)
})  # fmt: skip


PROSE = [re.sub(r"```.*?```", "", text, flags=re.DOTALL) for text in DOCUMENTS.values()]
SOURCES = "".join(
    path.read_text("utf-8")
    for folder in ("domain", "tests", "alembic")
    for path in (PROJECT / folder).rglob("*.py")
    if path.name not in {"test_handbook.py", "test_handbook_tables.py"}
)
EXTERNAL_NAMES = {"DeprecationWarning", "create_distributed_table", "pg_current_xact_id"}
"""Names from PostgreSQL and other software that only the documents mention."""


def resolve(dotted: str) -> Any:
    """Return the module, or the attribute of a module, with this dotted name."""
    module, _, name = dotted.rpartition(".")
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        return getattr(importlib.import_module(module), name)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub generates from a document's headings."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# --- examples ---------------------------------------------------------------------------


def test_examples_are_all_run_by_a_test_or_the_gate() -> None:
    executed = set(
        re.findall(r"^example '([^']+)'", (PROJECT / ".ci" / "run").read_text(), re.MULTILINE)
    )
    # The set-up of contributors is a part of the test command, as the test below checks.
    executed.add("set up")
    for path in (PROJECT / "tests").rglob("*.py"):
        if path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "example":
                arguments = (arg for arg in node.args if isinstance(arg, ast.Constant))
                executed |= {argument.value for argument in arguments}
    names = [block.name for block in BLOCKS]
    assert [block.text for block in BLOCKS if block.name is None] == []
    assert sorted(map(str, names)) == sorted(map(str, executed))


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_example_imports_only_existing_names(block: Example) -> None:
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for node in ast.walk(compile(block.text, block.document, "exec", flags)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert [name for name in missing if resolve(f"{node.module}.{name}") is None] == []


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_example_fits_in_100_columns(block: Example) -> None:
    assert [line for line in block.text.splitlines() if len(line) > 100] == []


def test_contributor_set_up_is_the_beginning_of_the_test_command() -> None:
    assert example("tests").startswith(example("set up").rstrip())


# --- names and links --------------------------------------------------------------------


@pytest.mark.parametrize("dotted", DOTTED)
def test_dotted_name_exists(dotted: str) -> None:
    assert resolve(dotted) is not None


@pytest.mark.parametrize(("document", "link"), LINKS)
def test_link_refers_to_an_existing_file_and_heading(document: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (PROJECT / document).parent / path if path else PROJECT / document
    assert target.exists()
    if anchor:
        assert anchor in anchors(target.read_text("utf-8"))


@pytest.mark.parametrize("path", PATHS)
def test_path_exists(path: str) -> None:
    assert (PROJECT / path).exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_command_exists(command: str) -> None:
    module, *arguments = command.split()
    if module == "domain":
        assert arguments[0] in parsers()
    else:
        assert importlib.util.find_spec(f"{module}.__main__")
        if module == "tests.benchmarks":
            assert set(arguments) <= WITHOUT_DATABASE.keys() | WITH_DATABASE.keys()


def test_identifiers_occur_in_the_code() -> None:
    spans = [span for text in PROSE for span in code(text) if "/" not in span]
    named = {name for span in spans for name in re.findall(r"[A-Za-z_]\w{2,}[A-Za-z0-9]\b", span)}
    identifiers = {name for name in named if "_" in name or re.match(r"[A-Z][a-z]+[A-Z]", name)}
    assert sorted(identifiers - EXTERNAL_NAMES - set(re.findall(r"\w+", SOURCES))) == []


def test_environment_variables_are_read_by_the_code() -> None:
    named = {
        name for text in DOCUMENTS.values() for name in re.findall(r"\b[A-Z]+_[A-Z_]+\b", text)
    }
    assert [name for name in sorted(named) if name not in SOURCES] == []


def test_extras_in_the_documents_exist() -> None:
    named = {name for text in DOCUMENTS.values() for name in re.findall(r"[Ee]xtra `(\w+)`", text)}
    installed = {name for text in DOCUMENTS.values() for name in re.findall(r"'\.\[(\w+)\]'", text)}
    assert named | installed <= EXTRAS.keys()


def test_front_page_has_at_most_1200_words() -> None:
    assert len(DOCUMENTS["README.md"].split()) <= 1200


def test_front_page_links_to_every_other_document() -> None:
    linked = {link.partition("#")[0] for document, link in LINKS if document == "README.md"}
    decisions = {path for path in DOCUMENTS if path.startswith(".github/decisions/0")}
    assert DOCUMENTS.keys() - linked - decisions == {"README.md"}


def test_decisions_are_all_in_the_list() -> None:
    directory = ".github/decisions/"
    listed = {link for document, link in LINKS if document == f"{directory}README.md"}
    assert {f"{directory}{name}" for name in listed} == {
        path for path in DOCUMENTS if path.startswith(f"{directory}0")
    }


# --- distribution and workflow ----------------------------------------------------------


def test_version_matches_the_distribution() -> None:
    assert domain.__version__ == importlib.metadata.version("studyplan-domain")


def test_project_page_has_no_relative_link() -> None:
    """A package index does not resolve relative links, so the build replaces them with paths."""
    page = importlib.metadata.metadata("studyplan-domain").json["description"]
    assert isinstance(page, str)
    assert "domain/locking/README.md" in page
    assert re.findall(r"\]\((?!https?:)[^)]*\)", page) == []


def test_workflow_calls_the_gate() -> None:
    workflow = (PROJECT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    assert "run: .ci/run\n" in workflow
