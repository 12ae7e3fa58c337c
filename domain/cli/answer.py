"""A generation's result as one line of JSON; contents are named by index in the document."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from domain.cli.document import ContentEntry
from domain.cli.paper import clock, encodes
from domain.errors import DomainError
from domain.scheduling import Notice, ScheduledPlan, Unplaced
from domain.services import GenerationResult


def result_line(
    file: str, contents: Sequence[ContentEntry], result: GenerationResult
) -> dict[str, Any]:
    """What a generation came to."""
    return {
        "file": file,
        "generation": result.generation,
        "plans": [_plan(plan) for plan in result.plans],
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


def _plan(plan: ScheduledPlan) -> dict[str, Any]:
    return {
        "date": plan.date.isoformat(),
        "from": clock(plan.start),
        "to": clock(plan.end),
        "content": plan.content,
        "kind": plan.kind.value,
        "first_unit": plan.first_unit,
        "last_unit": plan.last_unit,
        "part": plan.part,
        "parts": plan.parts,
        "minutes": plan.minutes,
        "reserve": plan.reserve,
        "week": plan.week,
        "cycle": plan.cycle,
        "cycle_day": plan.cycle_day,
        "sequence": plan.sequence,
    }


def _unplaced(item: Unplaced) -> dict[str, Any]:
    return {**asdict(item), "reason": item.reason.value}


def _warning(warning: Notice, contents: Sequence[ContentEntry]) -> dict[str, Any]:
    """Its data as they are; in its sentences the title stands for the content's index."""
    index = warning.data.get("content")
    named = {"content": contents[index].title} if isinstance(index, int) else {}
    spoken = Notice(warning.code, {**warning.data, **named})
    return {
        "code": warning.code,
        "data": dict(warning.data),
        "messages": {"ko": spoken.message("ko"), "en": spoken.message("en")},
    }
