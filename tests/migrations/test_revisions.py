"""The revision files themselves: one line of descent, frozen, and apart from the package."""

import ast
import re
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from domain.schema import head_revision, migrations_directory

PROJECT = Path(__file__).parents[2]
FILES = sorted((PROJECT / "alembic" / "versions").glob("*.py"))
FORBIDDEN = "create" + "_all"
LEAVES_THE_TRANSACTION = ["autocommit", "concurrently", "vacuum", "alter system", "create database"]


@pytest.fixture
def scripts() -> ScriptDirectory:
    return ScriptDirectory(str(migrations_directory()))


def test_there_is_one_head(scripts: ScriptDirectory) -> None:
    assert scripts.get_heads() == [head_revision()]


def test_the_root_is_labelled_for_hosts_with_revisions_of_their_own(
    scripts: ScriptDirectory,
) -> None:
    (root,) = scripts.get_bases()
    assert scripts.get_revision(root).branch_labels == {"studyplan"}
    assert scripts.get_revision("studyplan@head").revision == head_revision()


def test_every_revision_id_has_our_prefix_and_names_its_file(scripts: ScriptDirectory) -> None:
    ids = {script.revision for script in scripts.walk_revisions()}
    assert all(re.fullmatch(r"sp_\d{4}", revision) for revision in ids)
    assert {path.stem[:7] for path in FILES} == ids


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_revision_imports_nothing_of_the_package(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).partition(".")[0])
    assert imported <= {"alembic", "sqlalchemy"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_first_text_of_a_function_replaces_nobody_elses(path: Path) -> None:
    assert "OR REPLACE" not in path.read_text("utf-8").upper()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_revision_stays_inside_its_transaction(path: Path) -> None:
    """It may be part of somebody else's: see ``schema.upgrade``."""
    text = path.read_text("utf-8")
    assert [word for word in LEAVES_THE_TRANSACTION if re.search(word, text, re.IGNORECASE)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_revision_has_no_percent_sign(path: Path) -> None:
    """In offline mode a host's environment may print it doubled."""
    assert "%" not in path.read_text("utf-8")


def test_alembic_makes_the_schema_and_nothing_else_does() -> None:
    files = [*(PROJECT / "domain").rglob("*.py"), *(PROJECT / "tests").rglob("*.py")]
    assert len(files) > 50
    assert [path for path in files if FORBIDDEN in path.read_text("utf-8")] == []
