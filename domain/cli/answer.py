"""A generation's result as one line of JSON; contents are named by index in the document."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from domain.cli.paper import encodes
from domain.documents.document import ContentEntry
from domain.errors import DomainError
from domain.scheduling.notices import Notice
from domain.scheduling.schedule import Unplaced
from domain.services import GenerationResult


def result_line(
    file: str, contents: Sequence[ContentEntry], result: GenerationResult
) -> dict[str, Any]:
    """What a generation came to."""
    return {
        "file": file,
        "generation": result.generation,
        "plans": [plan.to_dict() for plan in result.plans],
        "unplaced": [_unplaced(item) for item in result.unplaced],
        "warnings": [_warning(item, contents) for item in result.warnings],
        "quality": asdict(result.quality),
    }


def error_line(file: str, error: DomainError) -> dict[str, Any]:
    """Why there was no generation."""
    return {"file": file, "error": error.to_problem()}


def encoded(line: dict[str, Any], encoding: str) -> str:
    """The line as text that the encoding can write, escaped where it must be."""
    text = json.dumps(line, ensure_ascii=False)
    return text if encodes(text, encoding) else json.dumps(line)


def _unplaced(item: Unplaced) -> dict[str, Any]:
    return {**asdict(item), "reason": item.reason.value}


def _warning(warning: Notice, contents: Sequence[ContentEntry]) -> dict[str, Any]:
    """Its data as they are; in its sentences the title stands for the content's index."""
    titles = {index: content.title for index, content in enumerate(contents)}
    return {
        "code": warning.code,
        "data": dict(warning.data),
        "messages": {"ko": warning.message("ko", titles), "en": warning.message("en", titles)},
    }
