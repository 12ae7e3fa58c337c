"""``generate``: generates plans for documents, each for a separate student."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from rich.console import Console
from rich.text import Text
from sqlalchemy.orm import Session, sessionmaker

from domain.cli.console import clean, encodes, marked, new_console, show
from domain.cli.database import open_database, url_from_environment
from domain.cli.timetable import print_result
from domain.cli.wording import readable_language
from domain.documents import PlanGroupDocument, read_json
from domain.documents.rows import field_errors_of
from domain.errors import DomainError, FieldError, InvalidInputError, Language
from domain.locking.policy import PlanGroupLock
from domain.repositories.plan_rows import GenerationResult, day_shifts_as_json, explanation_as_json
from domain.scheduling.result import PlanWarning
from domain.services.plan_generation import PlanGenerationService
from domain.services.plan_groups import PlanGroupService
from domain.unit_of_work.unit import UnitOfWork

MAX_ERRORS: Final = 50
"""How many errors of a file are listed on stderr at most."""


@dataclass(frozen=True, slots=True)
class Job:
    """A document without errors, the file that contains it, and the date to plan from."""

    file: str
    document: PlanGroupDocument
    today: date


def read_jobs(files: Sequence[str], today: date | None = None) -> list[Job]:
    """Return the documents without errors; write each error of the others to stderr, one per line.

    A file that cannot be read is such an error. At most ``MAX_ERRORS`` errors are listed per
    file, and a last line has the number of the others. ``today`` defaults to the first day of
    each period.
    """
    jobs = []
    for file in files:
        try:
            document = _read(file)
        except InvalidInputError as error:
            _report_errors(file, error.errors)
        else:
            jobs.append(Job(file, document, today or document.period.start))
    return jobs


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


def _report_errors(file: str, field_errors: Sequence[FieldError]) -> None:
    lines = [
        f"{field_error.field}: {field_error.message}" for field_error in field_errors[:MAX_ERRORS]
    ]
    if (rest := len(field_errors) - MAX_ERRORS) > 0:
        lines.append(f"… and {rest} more error{'s' if rest > 1 else ''}")
    sys.stderr.writelines(f"{clean(file)}: {line}\n" for line in lines)


def _read(file: str) -> PlanGroupDocument:
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        field_error = FieldError("document", f"cannot be read: {error.strerror}")
        raise InvalidInputError([field_error]) from None
    document = read_json(data)
    if found := field_errors_of(document):
        raise InvalidInputError(found)
    return document


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
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
