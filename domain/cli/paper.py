"""What the output can bear: its encoding, its width, and no commands to the terminal."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_PLAIN_SIGNS: Final = dict(zip("–…▌·×✓≈›", "-~|-x+=>", strict=True))


def new_console() -> Console:
    """A console that prints text as it is: no markup, no emoji codes, no colours of its own."""
    return _Console(markup=False, emoji=False, highlight=False)


def show(console: Console, content: RenderableType, *, end: str = "\n") -> None:
    """Print; signs that the output's encoding lacks are replaced by others as wide."""
    console.print(_Encodable(content), end=end)


def encodes(text: str, encoding: str) -> bool:
    """Whether the encoding has every sign of the text."""
    try:
        text.encode(encoding)
    except UnicodeError:
        return False
    return True


def clean(text: str) -> str:
    """The text on one line, without escape sequences that the terminal would obey."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def clipped(text: str, width: int) -> str:
    """The text in at most ``width`` columns, a Korean letter counting two."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) >= width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def folded(words: Iterable[str], width: int) -> list[str]:
    """Lines of whole words, none wider than ``width`` unless a single word is."""
    lines: list[str] = []
    for word in words:
        if lines and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the caller; rich would end the process."""
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
        sign if encodes(sign, encoding) else _PLAIN_SIGNS.get(sign, "?" * cell_len(sign))
        for sign in text
    )
