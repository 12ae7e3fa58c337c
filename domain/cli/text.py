"""Texts in Korean and English, and what a terminal can show of them."""

from collections.abc import Mapping
from typing import TypeAlias

from domain.errors import Language

Texts: TypeAlias = Mapping[str, tuple[str, str]]
"""Texts by name, each in Korean and in English."""


def text_in(language: Language, texts: Texts, name: str, **data: object) -> str:
    """Return the text with this name, formatted with ``data``."""
    korean, english = texts[name]
    return (korean if language == "ko" else english).format(**data)


def encodes(text: str, encoding: str) -> bool:
    """Return whether the encoding can represent every character of the text."""
    try:
        text.encode(encoding)
    except UnicodeError:
        return False
    return True


def clean(text: str) -> str:
    """Return the text on one line; non-printable characters are replaced by spaces.

    Otherwise escape sequences in a document could control the terminal.
    """
    return "".join(character if character.isprintable() else " " for character in text)
