"""What workers record of their operations, line by line, so that a killed worker's are there too.

Times are ``time.monotonic()``: on Linux one clock for all processes of the machine.
Nothing here or in what reads it knows the package under test.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """What an operation sets out to do."""

    GENERATE = "generate"
    ROLL_BACK = "roll_back"
    READ = "read"


class Outcome(StrEnum):
    """How it ended, as its worker knows."""

    UNKNOWN = "unknown"
    """It may be committed or not: the connection or the worker died before the answer."""
    GENERATED = "generated"
    ROLLED_BACK = "rolled_back"
    READ = "read"
    BUSY = "busy"
    TIMEOUT = "timeout"
    FAILED = "failed"
    """An injected fault, and certainly nothing committed."""
    COLLIDED = "collided"
    """A wall behind the lock, a constraint or the fence, refused it."""
    CRASHED = "crashed"
    """Something that neither the package nor the faults promise."""


REFUSED = frozenset({Outcome.BUSY, Outcome.TIMEOUT})


@dataclass(slots=True)
class Operation:
    """One request. The times that are None were not reached."""

    id: str
    kind: Kind
    group: str
    student: str
    started: float
    entered: float | None = None
    """Just after the group's lock was taken: it is held from before this time."""
    planned: float | None = None
    """Just after the service returned: the student's lock is held as well from before."""
    leaving: float | None = None
    """Just before the commit, or the last sign of life, was sent: held beyond this time."""
    ended: float | None = None
    outcome: Outcome = Outcome.UNKNOWN
    number: int | None = None
    """The generation made, or the one read."""
    rows: int = 0
    digest: str = ""
    """Of the ids of the generation's plans."""
    foreign: int = 0
    """Plans read that are neither of the generation read nor kept."""
    error: str = ""


class Journal:
    """A worker's file. Each line is one write, so that a kill tears at most the last."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, operation: Operation) -> None:
        """Once when it begins and once when it has ended; the later line counts."""
        os.write(self._file, json.dumps(asdict(operation)).encode() + b"\n")

    def close(self) -> None:
        os.close(self._file)


def digest(ids: Iterable[Any]) -> str:
    """One word for a set of ids."""
    return hashlib.sha256("\n".join(sorted(map(str, ids))).encode()).hexdigest()[:24]


def read_histories(directory: Path) -> list[Operation]:
    """Every operation of every worker, by the time it started."""
    found: dict[str, Operation] = {}
    for path in sorted(directory.glob("*.jsonl")):
        for operation in _lines(path):
            found[operation.id] = operation
    return sorted(found.values(), key=lambda operation: operation.started)


def _lines(path: Path) -> Iterator[Operation]:
    for line in path.read_text().splitlines():
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue  # torn by a kill; the line before it says that the operation began
        told["kind"], told["outcome"] = Kind(told["kind"]), Outcome(told["outcome"])
        yield Operation(**told)
