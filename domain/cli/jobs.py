"""Reads the documents of a command, and reports those that have errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from domain.cli.streams import report
from domain.cli.text import clean
from domain.documents import PlanGroupDocument, read_json
from domain.documents.rows import field_errors_of
from domain.errors import FieldError, InvalidInputError

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


def _report_errors(file: str, field_errors: Sequence[FieldError]) -> None:
    lines = [
        f"{field_error.field}: {field_error.message}" for field_error in field_errors[:MAX_ERRORS]
    ]
    if (rest := len(field_errors) - MAX_ERRORS) > 0:
        lines.append(f"… and {rest} more error{'s' if rest > 1 else ''}")
    report("".join(f"{clean(file)}: {line}\n" for line in lines))


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
