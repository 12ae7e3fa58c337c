"""Console output that the output's encoding can represent, without terminal commands."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from domain.cli.streams import writing
from domain.cli.text import encodes

_BARS: Final = ("▁▂▃▄▅▆▇█", "12345678")
_SUBSTITUTES: Final = dict(zip("–…▌·×✓≈›", "-~|-x+=>", strict=True))


def new_console() -> Console:
    """Return a console that prints text verbatim: no markup, emoji codes or highlighting."""
    return _Console(markup=False, emoji=False, highlight=False)


def show(console: Console, content: RenderableType, *, end: str = "\n") -> None:
    """Print the content; replace characters that the encoding lacks by others of equal width.

    Raises ``OutputError`` if it cannot be written.
    """
    with writing():
        console.print(_Encodable(content), end=end)


def marked(mark: str, style: str, text: Text) -> RenderableType:
    """Return the mark followed by the text; continuation lines are aligned with the text."""
    table = Table.grid(Column(), Column(overflow="fold"), padding=(0, 1, 0, 0))
    table.add_row(Text(mark, style=style), text)
    return Padding(table, (0, 1), expand=False)


def indented(content: RenderableType) -> RenderableType:
    """Return the content aligned with the text of ``marked``."""
    return Padding(content, (0, 1, 0, 3), expand=False)


def bar_characters(encoding: str) -> str:
    """Return eight characters for bars of increasing height: blocks, or else digits.

    Some encodings have only a few of the blocks, which beside digits could not be compared.
    """
    blocks, digits = _BARS
    return blocks if encodes(blocks, encoding) else digits


def clipped(text: str, width: int) -> str:
    """Return the text, shortened to ``width`` columns; a Korean letter occupies two."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) >= width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def folded(words: Iterable[str], width: int, separator: str = " ") -> list[str]:
    """Return the words in lines of at most ``width`` columns; a longer word has its own line."""
    lines: list[str] = []
    for word in words:
        if lines and cell_len(f"{lines[-1]}{separator}{word}") <= width:
            lines[-1] += f"{separator}{word}"
        else:
            lines.append(word)
    return lines


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise the error for the caller to handle; by default rich ends the process."""
        raise BrokenPipeError


@dataclass(frozen=True, slots=True)
class _Encodable:
    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.content, options):
            yield segment._replace(text=_encodable(segment.text, console.encoding))


def _encodable(text: str, encoding: str) -> str:
    if encodes(text, encoding):
        return text
    return "".join(
        character
        if encodes(character, encoding)
        else _SUBSTITUTES.get(character, "?" * cell_len(character))
        for character in text
    )
