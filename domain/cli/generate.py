"""``generate``: documents in, plans out, each document a student of its own."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final
from uuid import uuid4

from rich.console import Console
from rich.text import Text
from sqlalchemy.orm import Session, sessionmaker

from domain.cli.answer import encoded, error_line, result_line
from domain.cli.database import current_database, given_url
from domain.cli.paper import clean, encodes, new_console, show
from domain.cli.summary import marked, print_quality, print_unplaced, print_warnings
from domain.cli.timetable import print_timetable
from domain.cli.wording import Wording, readable_language
from domain.documents import PlanGroupDocument, read_json
from domain.documents.rows import faults_of, to_request
from domain.errors import DomainError, Fault, InvalidInputError
from domain.locking.policy import PlanGroupLock
from domain.scheduling.calendar import calendar
from domain.scheduling.notices import Language
from domain.services import GenerationResult, PlanGenerationService, PlanGroupService
from domain.unit_of_work.unit import UnitOfWork

FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class Job:
    """A document without faults, and the file it came from."""

    file: str
    document: PlanGroupDocument
    today: date


def checked(files: Sequence[str], today: date | None = None) -> list[Job]:
    """The documents without faults; each fault of the others is a line on stderr.

    A file that cannot be read is such a fault. ``today`` is each period's start by default.
    """
    jobs = []
    for file in files:
        try:
            document = _read(file)
        except InvalidInputError as error:
            for fault in error.faults:
                sys.stderr.write(f"{clean(file)}: {fault.field}: {fault.message}\n")
        else:
            jobs.append(Job(file, document, today or document.period.start))
    return jobs


def run(jobs: Sequence[Job], *, as_json: bool, language: Language) -> int:
    """Plan every job and print what came of it; 1 if a group could not be planned, else 0."""
    code = 0
    with current_database(given_url()) as engine:
        factory = sessionmaker(engine)
        for job in jobs:
            try:
                result = generate(factory, job.document, job.today)
            except DomainError as error:
                code = FAILED
                _refused(job, error, as_json=as_json, language=language)
            else:
                _answered(job, result, as_json=as_json, language=language)
    return code


def generate(
    factory: sessionmaker[Session], document: PlanGroupDocument, today: date
) -> GenerationResult:
    """Store the document for a new student of a new tenant and plan it: both, or neither."""
    lock = PlanGroupLock(uuid4(), uuid4())
    with UnitOfWork(factory, lock=lock) as uow:
        PlanGroupService(uow).create(document, student_id=uuid4(), status="saved")
        result = PlanGenerationService(uow).generate(today=today, requested_by="command line")
        uow.commit()
    return result


def print_result(
    console: Console, document: PlanGroupDocument, result: GenerationResult, language: Language
) -> None:
    """The timetable, what is unplaced, the warnings and the quality."""
    wording = Wording.of(console, document.contents, language)
    reasons: dict[date, str] = {}
    for exclusion in document.exclusions:
        words = [wording.word(exclusion.type), exclusion.reason or ""]
        told = [word for word in words if word and encodes(word, console.encoding)]
        reasons.setdefault(exclusion.date, " · ".join(told))
    print_timetable(console, wording, calendar(to_request(document)), result.plans, reasons)
    print_unplaced(console, wording, result.unplaced)
    print_warnings(console, wording, result.warnings)
    print_quality(console, wording, result.quality)


def _read(file: str) -> PlanGroupDocument:
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        fault = Fault("document", f"cannot be read: {error.strerror}")
        raise InvalidInputError([fault]) from None
    document = read_json(data)
    if found := faults_of(document):
        raise InvalidInputError(found)
    return document


def _answered(job: Job, result: GenerationResult, *, as_json: bool, language: Language) -> None:
    if as_json:
        _write(encoded(result_line(job.file, job.document.contents, result), _encoding()))
        return
    console = new_console()
    _print_heading(console, job)
    print_result(console, job.document, result, language)


def _refused(job: Job, error: DomainError, *, as_json: bool, language: Language) -> None:
    if as_json:
        _write(encoded(error_line(job.file, error), _encoding()))
        return
    console = new_console()
    _print_heading(console, job)
    sentence = error.message(readable_language(console, language))
    show(console, marked("×", "bold red", Text(f"{sentence} ({error.code})")))


def _print_heading(console: Console, job: Job) -> None:
    show(console, Text(f"\n {clean(job.file)}  {clean(job.document.name)}", style="bold"))


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"
