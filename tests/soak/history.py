"""What workers record of their operations, line by line, so that a killed worker's are there too.

Times are ``time.monotonic()``: on Linux one clock for all processes of the machine.
Nothing here or in what reads it knows the package under test.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """What an operation sets out to do."""

    GENERATE = "generate"
    ROLL_BACK = "roll back"
    MARK = "mark a plan"
    EDIT = "edit a group"
    STATE = "change a state"
    READ = "read"


class Outcome(StrEnum):
    """How it ended, as its worker knows."""

    UNKNOWN = "unknown"
    """It may be stored or not: the connection or the worker died before the answer."""
    DONE = "done"
    REPEATED = "repeated"
    """The answer to an idempotency key that had one already; nothing was written."""
    ROLLED_BACK = "rolled back"
    BUSY = "busy"
    TIMEOUT = "timed out"
    DECLINED = "declined"
    """The lock was held; the state of the group did not allow it."""
    OVERTAKEN = "overtaken"
    """Another mark of the same plan was faster; both shared the lock."""
    FAILED = "failed"
    """An injected fault, and certainly nothing stored."""
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
    groups: list[str]
    """Whose locks it asks for."""
    student: str
    started: float
    shared: bool = False
    """Whether it asks for the groups' locks shared."""
    entered: float | None = None
    """Just after the groups' locks were taken: they are held from before this time."""
    seen: dict[str, list[int]] = field(default_factory=dict)
    """Each group's generation and version, read under the lock."""
    alive: float | None = None
    """Before a statement that the same transaction answered: held beyond this time."""
    planned: float | None = None
    """Just after the service returned: the student's lock is held as well from before."""
    leaving: float | None = None
    """Just before the commit was sent: held beyond this time if it took place."""
    ended: float | None = None
    outcome: Outcome = Outcome.UNKNOWN
    number: int | None = None
    """The generation made, repeated or read."""
    repeated: bool = False
    """Whether the number is an earlier answer to its key."""
    rows: int = 0
    digest: str = ""
    """Of the ids of the generation's plans."""
    foreign: int = 0
    """Plans read that nobody ever touched and that are not of the generation read."""
    writes: dict[str, int] = field(default_factory=dict)
    """Which versions of which rows it writes if it is stored, or would have if overtaken."""
    key: str = ""
    """The idempotency key."""
    fault: str = ""
    """What it does to itself."""
    error: str = ""

    @property
    def makes(self) -> bool:
        """Whether it made a generation, as far as its worker knows."""
        return self.kind is Kind.GENERATE and self.outcome is Outcome.DONE

    @property
    def may_be_stored(self) -> bool:
        """Whether something of it may be in the database: it asked for the commit."""
        if self.kind is Kind.READ or self.outcome not in {Outcome.DONE, Outcome.UNKNOWN}:
            return False
        return self.leaving is not None


class Journal:
    """A worker's file. Each line is one write, so that a kill tears at most the last."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, operation: Operation) -> None:
        """At every step that says something about the lock; the last line counts."""
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
            continue  # torn by a kill; the line before it says how far the operation came
        told["kind"], told["outcome"] = Kind(told["kind"]), Outcome(told["outcome"])
        yield Operation(**told)
