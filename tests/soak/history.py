"""The records of operations, written line by line so that those of a killed worker survive.

Times are ``time.monotonic()``, which on Linux is one clock for all processes of the machine. This
module and the checker that reads the records do not use the package under test.
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
    """The kind of work of an operation."""

    GENERATE = "generate"
    RESCHEDULE = "reschedule"
    ROLL_BACK = "roll back"
    UNDO = "undo"
    REDO = "redo"
    MARK = "mark a plan"
    MARK_ALL = "mark several plans"
    MISS = "miss a plan"
    MOVE = "move a plan"
    EDIT = "edit a group"
    STATE = "change a state"
    READ = "read"


class Outcome(StrEnum):
    """How an operation ended, as far as its worker knows."""

    UNKNOWN = "unknown"
    """Stored or not: the connection was lost or the worker was killed before the answer."""
    DONE = "done"
    REPEATED = "repeated"
    """The idempotency key already had an answer, which was returned; nothing was written."""
    ROLLED_BACK = "rolled back"
    BUSY = "busy"
    TIMEOUT = "timed out"
    DECLINED = "declined"
    """The lock was held, but the state of the group did not allow the operation."""
    OVERTAKEN = "overtaken"
    """Another mark changed the same plan first; both shared the lock."""
    UNDONE = "undone since"
    """The run that had answered the idempotency key was undone; nothing was written."""
    FAILED = "failed"
    """A fault ended the operation before its commit was sent; nothing was stored."""
    COLLIDED = "collided"
    """A safeguard behind the lock, a constraint or the fence, refused the operation."""
    CRASHED = "crashed"
    """An error that neither the package documents nor the faults explain."""


REFUSED = frozenset({Outcome.BUSY, Outcome.TIMEOUT})
COMPUTED = frozenset({Kind.GENERATE, Kind.RESCHEDULE})
"""The kinds that compute plans and write the difference."""
RUNS = frozenset({*COMPUTED, Kind.UNDO, Kind.REDO})
"""The kinds that write a numbered run."""
BY_HAND = frozenset({Kind.MISS, Kind.MOVE})
"""The kinds that retire a plan without a run."""
PLANS = frozenset({*RUNS, *BY_HAND, Kind.ROLL_BACK})
"""The kinds that also acquire the student's lock."""


@dataclass(slots=True)
class Operation:
    """One request. A time is None if the operation did not reach that step."""

    id: str
    kind: Kind
    groups: list[str]
    """The groups whose locks it requests."""
    student: str
    started: float
    shared: bool = False
    """Whether it requests the groups' locks in shared mode."""
    entered: float | None = None
    """Just after the groups' locks were acquired; they are held from before this time."""
    seen: dict[str, list[int]] = field(default_factory=dict)
    """Each group's generation and version, read under the lock."""
    alive: float | None = None
    """Just before a statement that was answered; the locks are held beyond this time."""
    planned: float | None = None
    """Just after the service returned; the student's lock is also held from before this time."""
    committing: float | None = None
    """Just before the commit was sent; the locks are held beyond this time if it succeeded."""
    ended: float | None = None
    outcome: Outcome = Outcome.UNKNOWN
    number: int | None = None
    """The number of the run that was stored, returned again or read."""
    undone: int | None = None
    """The number of the run that an undo took back."""
    frozen_until: str = ""
    """The date before which a reschedule leaves all plans as they are."""
    repeated: bool = False
    """Whether the number is that of an earlier answer to its idempotency key."""
    rows: int = 0
    digest: str = ""
    """The digest of the ids of the plans that the run planned, or that were read as of the run."""
    gone: list[str] = field(default_factory=list)
    """The plans as of the run that were read and are no longer live."""
    added: list[str] = field(default_factory=list)
    """The live plans that were read and are not among the plans as of the run."""
    retired: list[str] = field(default_factory=list)
    """The plan that it retires by hand."""
    made: list[str] = field(default_factory=list)
    """The plan that a move makes."""
    reason: str = ""
    """Why an undo was not possible."""
    in_the_way: list[str] = field(default_factory=list)
    """The plans that made it impossible."""
    writes: dict[str, int] = field(default_factory=dict)
    """The row versions that it writes if it is stored, or would have written if overtaken."""
    key: str = ""
    """The idempotency key."""
    fault: str = ""
    """The fault that it injects into itself."""
    error: str = ""

    @property
    def made_run(self) -> bool:
        """Whether it stored a run, as far as its worker knows."""
        return self.kind in RUNS and self.outcome is Outcome.DONE

    @property
    def may_be_stored(self) -> bool:
        """Whether its changes may be in the database, because its commit was sent."""
        if self.kind is Kind.READ or self.outcome not in {Outcome.DONE, Outcome.UNKNOWN}:
            return False
        return self.committing is not None


class Journal:
    """The file of a worker. Each line is one write, so a kill can only truncate the last line."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, operation: Operation) -> None:
        """Append the current record of the operation; its last line replaces the earlier ones."""
        os.write(self._file, json.dumps(asdict(operation)).encode() + b"\n")

    def close(self) -> None:
        os.close(self._file)


def digest(ids: Iterable[Any]) -> str:
    """Return a short hash of a set of ids."""
    return hashlib.sha256("\n".join(sorted(map(str, ids))).encode()).hexdigest()[:24]


def read_histories(directory: Path) -> list[Operation]:
    """Return all operations of all workers, sorted by start time."""
    found: dict[str, Operation] = {}
    for path in sorted(directory.glob("*.jsonl")):
        for operation in _lines(path):
            found[operation.id] = operation
    return sorted(found.values(), key=lambda operation: operation.started)


def _lines(path: Path) -> Iterator[Operation]:
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # truncated by a kill; the line before it is the last known state
        record["kind"], record["outcome"] = Kind(record["kind"]), Outcome(record["outcome"])
        yield Operation(**record)
