"""The rules that a history and its rows must satisfy, and their violations."""

from dataclasses import dataclass
from enum import Enum


class Rule(Enum):
    """A rule of the checker; its value describes a violation."""

    OVERLAP = "two exclusive units of work of one group held its lock at the same time"
    SHARED_AND_EXCLUSIVE = "an exclusive unit of work held a group's lock while another shared it"
    STUDENT_LOCK = "two units of work of one student planned at the same time"
    ORDER = "a later run has a lower number"
    STALE_HOLDER = (
        "a holder of the lock did not see the changes that an earlier holder had committed"
    )
    STALE_READ = "a read saw a run that was replaced, not yet stored or incomplete"
    GROUNDLESS = "a request was refused although no other request can have held the lock"
    OVERTAKEN = "a mark was overtaken although no other mark of its plan can have overtaken it"
    REPEAT = "two runs have the same number"
    GAP = "the numbers of runs have a gap"
    LOST = "a change that was confirmed is not in the database"
    ROWS = "the rows of a run are not those of its record or of its answer"
    TRACE = "a request that did not succeed left a change"
    KEY = "an idempotency key got two different answers"
    VERSIONS = "a row does not have exactly one version per change"
    LIVE = "the live plans are not those of the last run and of the changes by hand since"
    RETIRED = "a retired plan does not tell why, or in which run"
    COUNTS = "the counts of a run are not those of its changes"
    DIFFERENCE = "a run replaced a plan by another one at the same place"
    LINEAGE = "a lineage was lost, or two live plans have the same one"
    UNITS = "a unit of a content was planned twice"
    FROZEN = "a reschedule changed plans before the date until which they were frozen"
    UNDISTURBED = "a reschedule changed plans although nothing had happened since the last run"
    LOST_UNITS = "a run neither kept nor planned nor reported units"
    UNDO = "an undo did not return to the plans before the last run in effect"
    REFUSED_UNDO = "an undo was refused although nothing stood in its way"
    KEPT = "a plan was retired although it was done, or undone although it was marked since"
    STUDENT_TIME = "a student had two live plans at the same time"
    STATES = "a student has two active groups"
    LEAK = "an advisory lock is held after all clients have ended"
    COLLISION = "a safeguard behind the lock refused a request"
    CRASH = "a request ended with an unexpected error"


@dataclass(frozen=True, slots=True)
class Violation:
    rule: Rule
    text: str
