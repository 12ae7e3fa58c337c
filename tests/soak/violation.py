"""The rules that a history and its rows must satisfy, each a sentence."""

from dataclasses import dataclass
from enum import Enum


class Rule(Enum):
    """What must be true; the name is for programs, the sentence for people."""

    OVERLAP = "two units of work of one group held its lock at the same time"
    STUDENT_LOCK = "two units of work of one student planned at the same time"
    ORDER = "a later generation has a lower number"
    STALE_READ = "a read saw a generation that was over, not there yet, or not whole"
    GROUNDLESS = "a request was refused although nobody could have held a lock"
    REPEAT = "two generations have one number"
    GAP = "the numbers of generations have a gap"
    LOST = "a generation that was answered is not in the database"
    ROWS = "a generation's rows are not the rows that its request made"
    TRACE = "a request that did not generate left rows"
    LIVE = "live plans are not those of the last generation"
    KEPT = "a kept plan was retired"
    STUDENT_TIME = "a student had two live plans at the same time"
    LEAK = "an advisory lock is held after everybody has left"
    COLLISION = "a wall behind the lock was reached"
    CRASH = "a request ended in a way that nobody promised"


@dataclass(frozen=True, slots=True)
class Violation:
    rule: Rule
    text: str
