"""The project's documentation as data: its examples by name, its tables, its links."""

import argparse
import re
import textwrap
import tomllib
from pathlib import Path
from typing import NamedTuple

from domain.cli import main

PROJECT = Path(__file__).parents[1]
DOCUMENTS = {
    str(path.relative_to(PROJECT)): path.read_text("utf-8")
    for path in sorted(
        [
            PROJECT / "README.md",
            PROJECT / "tests" / "README.md",
            *(PROJECT / "alembic").rglob("*.md"),
            *(PROJECT / "domain").rglob("*.md"),
            *(PROJECT / ".github").rglob("*.md"),
        ]
    )
}
"""The text of every document, by its path."""
EXTRAS = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
_BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- example: (?P<name>[^>]+) -->\n *)?"
    r"```(?P<language>\w*)\n(?P<text>.*?)\n *```$",
    re.DOTALL | re.MULTILINE,
)


class Example(NamedTuple):
    """A fenced block; ``name`` is the one in the comment before it."""

    document: str
    name: str | None
    language: str
    text: str


BLOCKS = [
    Example(path, match["name"], match["language"], textwrap.dedent(f"{match['text']}\n"))
    for path, document in DOCUMENTS.items()
    for match in _BLOCK.finditer(document)
]
"""Every fenced block of every document."""


def example(name: str) -> str:
    """Return the text of the example with this name; each name is unique."""
    (block,) = (block for block in BLOCKS if block.name == name)
    return block.text


def section(document: str, title: str) -> str:
    """Return the text under a heading, up to the next heading of any level."""
    _, _, rest = DOCUMENTS[document].partition(f"# {title}\n")
    assert rest, f"{document} has no section {title!r}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(document: str, title: str, head: str) -> list[list[str]]:
    """Return the cells of the table under a heading whose first column is called ``head``."""
    lines = iter(section(document, title).splitlines())
    for line in lines:
        if line.startswith(f"| {head} |"):
            break
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    assert found, f"{document} has no table of {head!r} in {title!r}"
    return found


def code(text: str) -> list[str]:
    """Return what is between backticks, in order."""
    return re.findall(r"`([^`]+)`", text)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the argument parser of each command."""
    (action,) = (
        action
        for action in main._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(action.choices)
