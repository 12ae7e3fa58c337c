"""The revision files: they have a single head and do not depend on the package's code."""

import ast
import re
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from domain.schema import head_revision, migrations_directory

PROJECT = Path(__file__).parents[2]
FILES = sorted((PROJECT / "alembic" / "versions").glob("*.py"))
# In two parts, so that the search does not find this file.
FORBIDDEN = "create" + "_all"
OUTSIDE_A_TRANSACTION = ["autocommit", "concurrently", "vacuum", "alter system", "create database"]


@pytest.fixture
def scripts() -> ScriptDirectory:
    return ScriptDirectory(str(migrations_directory()))


def test_revisions_have_a_single_head(scripts: ScriptDirectory) -> None:
    assert scripts.get_heads() == [head_revision()]


def test_root_revision_has_a_branch_label_for_hosts(scripts: ScriptDirectory) -> None:
    (root,) = scripts.get_bases()
    assert scripts.get_revision(root).branch_labels == {"studyplan"}
    assert scripts.get_revision("studyplan@head").revision == head_revision()


def test_revision_ids_have_the_prefix_and_name_their_files(scripts: ScriptDirectory) -> None:
    ids = {script.revision for script in scripts.walk_revisions()}
    assert all(re.fullmatch(r"sp_\d{4}", revision) for revision in ids)
    assert {path.stem[:7] for path in FILES} == ids


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_revision_imports_nothing_from_the_package(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).partition(".")[0])
    assert imported <= {"alembic", "sqlalchemy"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_revision_does_not_replace_existing_functions(path: Path) -> None:
    assert "OR REPLACE" not in path.read_text("utf-8").upper()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_revision_stays_inside_its_transaction(path: Path) -> None:
    """A revision may run in the caller's transaction: see ``schema.upgrade``."""
    text = path.read_text("utf-8")
    assert [word for word in OUTSIDE_A_TRANSACTION if re.search(word, text, re.IGNORECASE)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_revision_has_no_percent_sign(path: Path) -> None:
    """In offline mode, an application's environment may print each percent sign twice."""
    assert "%" not in path.read_text("utf-8")


def test_schema_is_created_only_by_alembic() -> None:
    files = [*(PROJECT / "domain").rglob("*.py"), *(PROJECT / "tests").rglob("*.py")]
    assert len(files) > 50
    assert [path for path in files if FORBIDDEN in path.read_text("utf-8")] == []
