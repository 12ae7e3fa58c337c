"""The package's metadata requires everything that the package imports or reads."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).parents[2]
READ_THE_EXAMPLE = """
from importlib import resources
from domain.documents import read_json; from domain.documents.rows import field_errors_of
document = read_json(resources.files("domain.documents").joinpath("example.json").read_bytes())
print(document.time_zone, field_errors_of(document))
"""


def requirements() -> Iterator[tuple[str, str]]:
    """Yield the installed metadata's requirements: normalized name and extra, without ``dev``."""
    for line in metadata.requires("studyplan-domain") or ():
        requirement, _, marker = line.partition(";")
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([^'\"]+)", marker)
        if extra is None or extra[1] != "dev":
            yield normalized(name), extra[1] if extra else ""


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level packages that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_imported_packages_are_requirements_of_the_package_or_of_an_extra() -> None:
    required = {name for name, _ in requirements()}
    distributions = metadata.packages_distributions()
    undeclared = {
        f"{path.relative_to(PROJECT)}: {name}"
        for folder in ("domain", "alembic")
        for path in (PROJECT / folder).rglob("*.py")
        for name in set(imported(path)) - sys.stdlib_module_names - {"domain"}
        if required.isdisjoint(map(normalized, distributions.get(name, ())))
    }
    assert undeclared == set()


def test_tzdata_is_required_without_an_extra() -> None:
    assert ("tzdata", "") in requirements()


def test_shipped_example_is_accepted_on_a_system_without_time_zone_files() -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", READ_THE_EXAMPLE],
        env={**os.environ, "PYTHONTZPATH": ""},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("Asia/Seoul []\n", "")
