"""``generate``: generates plans for documents, each for a separate student."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.text import Text
from sqlalchemy.orm import Session, sessionmaker

from domain.cli.console import marked, new_console, show
from domain.cli.database import open_database
from domain.cli.jobs import Job
from domain.cli.streams import writing
from domain.cli.text import clean, encodes
from domain.cli.timetable import print_result
from domain.cli.wording import readable_language
from domain.database_url import url_from_environment
from domain.documents import PlanGroupDocument
from domain.errors import DomainError, Language
from domain.locking.policy import PlanGroupLock
from domain.repositories.plan_rows import GenerationResult, day_shifts_as_json, explanation_as_json
from domain.scheduling.result import PlanWarning
from domain.services.plan_generation import PlanGenerationService
from domain.services.plan_groups import PlanGroupService
from domain.unit_of_work.unit import UnitOfWork


def run(jobs: Sequence[Job], *, as_json: bool, language: Language) -> bool:
    """Plan every job and print its result or error; return whether all were planned."""
    all_planned = True
    with open_database(url_from_environment()) as engine:
        factory = sessionmaker(engine)
        for job in jobs:
            outcome: GenerationResult | DomainError
            try:
                outcome = generate(factory, job.document, job.today)
            except DomainError as error:
                outcome = error
                all_planned = False
            if as_json:
                _write_line(_as_json(job, outcome))
            else:
                _print(new_console(), job, outcome, language)
    return all_planned


def generate(
    factory: sessionmaker[Session], document: PlanGroupDocument, today: date
) -> GenerationResult:
    """Store the document for a new student of a new tenant and plan it, in one transaction."""
    lock = PlanGroupLock(uuid4(), uuid4())
    with UnitOfWork(factory, lock=lock) as uow:
        PlanGroupService(uow).create(document, student_id=uuid4(), status="saved")
        result = PlanGenerationService(uow).generate(today=today, requested_by="command line")
        uow.commit()
    return result


def _print(
    console: Console, job: Job, outcome: GenerationResult | DomainError, language: Language
) -> None:
    show(console, Text(f"\n {clean(job.file)}  {clean(job.document.name)}", style="bold"))
    if isinstance(outcome, DomainError):
        message = outcome.message(readable_language(console, language))
        show(console, marked("×", "bold red", Text(f"{message} ({outcome.code})")))
    else:
        print_result(console, job.document, outcome, language, job.today)


# --- one line of JSON -----------------------------------------------------------------


def _as_json(job: Job, outcome: GenerationResult | DomainError) -> dict[str, Any]:
    """Return the outcome as a JSON object; contents are identified by their document index."""
    if isinstance(outcome, DomainError):
        return {"file": job.file, "error": outcome.to_problem()}
    titles = {index: content.title for index, content in enumerate(job.document.contents)}
    return {
        "file": job.file,
        "generation": outcome.generation,
        "plans": [plan.to_dict() for plan in outcome.plans],
        "unplaced": [{**asdict(item), "reason": item.reason.value} for item in outcome.unplaced],
        **explanation_as_json(outcome),
        "warnings": [_warning(item, titles) for item in outcome.warnings],
        "quality": asdict(outcome.quality),
        "day_shifts": day_shifts_as_json(outcome),
    }


def _warning(warning: PlanWarning, titles: dict[int, str]) -> dict[str, Any]:
    """Return the warning as a JSON object; its messages have the content's title."""
    return {
        "code": warning.code,
        "data": dict(warning.data),
        "messages": {"ko": warning.message("ko", titles), "en": warning.message("en", titles)},
    }


def _write_line(line: dict[str, Any]) -> None:
    text = json.dumps(line, ensure_ascii=False)
    if not encodes(text, sys.stdout.encoding or "utf-8"):
        text = json.dumps(line)
    with writing():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
