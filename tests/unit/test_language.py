"""Names and prose of the project keep to the field's standard words."""

import ast
import re
from pathlib import Path

import pytest

from tests.handbook import DOCUMENTS, PROJECT

SOURCES = [
    path
    for folder in ("domain", "tests", "alembic")
    for path in sorted((PROJECT / folder).rglob("*.py"))
    if path != Path(__file__)
]
# A test's name begins with its subject, so not with an article, a pronoun or a preposition.
NO_SUBJECT = set(
    """a all an another any as at because both by each every everything for from how if in it no
    not nothing of on one only that the there this to under what when where which who with
    without""".split()  # noqa: SIM905 - a list of words
)
# Each has a standard word, such as reported, no client, any client that, MAX_ or DEFAULT_. The
# system's user "nobody" is not meant.
AVOIDED = re.compile(
    r"\b(?:told|nobody(?![\"@])|whoever|somebody|everybody|hereby|thereof|wherein"
    r"|(?:MOST|LONGEST|HIGHEST|LARGEST|USUAL)(?:_\w+)?)\b"
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_names_of_tests_begin_with_what_is_tested(path: Path) -> None:
    names = [
        node.name.removeprefix("test_")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]
    assert [name for name in names if name.partition("_")[0] in NO_SUBJECT] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_source_avoids_words_that_have_a_standard_one(path: Path) -> None:
    assert AVOIDED.findall(path.read_text("utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_avoids_words_that_have_a_standard_one(document: str) -> None:
    assert AVOIDED.findall(DOCUMENTS[document]) == []
