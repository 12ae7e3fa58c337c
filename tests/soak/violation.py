"""The rules that a history and its rows must satisfy, each a sentence."""

from dataclasses import dataclass
from enum import Enum


class Rule(Enum):
    """What is told when it is broken; the name is for programs, the sentence for people."""

    OVERLAP = "two exclusive units of work of one group held its lock at the same time"
    BESIDE_SHARED = "an exclusive unit of work held a group's lock while another shared it"
    STUDENT_LOCK = "two units of work of one student planned at the same time"
    ORDER = "a later generation has a lower number"
    OLD_SIGHT = "a holder of the lock did not see what an earlier one had committed"
    STALE_READ = "a read saw a generation that was over, not there yet, or not whole"
    GROUNDLESS = "a request was refused although nobody could have held a lock against it"
    OVERTAKEN = "a mark gave way to another mark of its plan, and there was none"
    REPEAT = "two generations have one number"
    GAP = "the numbers of generations have a gap"
    LOST = "what was answered as done is not in the database"
    ROWS = "a generation's rows are not the rows that its request made"
    TRACE = "a request that was not done left something"
    KEY = "one idempotency key was given two answers"
    VERSIONS = "a row's versions are not one for each change that was made"
    LIVE = "live plans are not those of the last generation"
    KEPT = "a kept plan was retired"
    STUDENT_TIME = "a student had two live plans at the same time"
    STATES = "a student has two active groups"
    LEAK = "an advisory lock is held after everybody has left"
    COLLISION = "a wall behind the lock was reached"
    CRASH = "a request ended in a way that nobody promised"


@dataclass(frozen=True, slots=True)
class Violation:
    rule: Rule
    text: str
