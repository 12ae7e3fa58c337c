"""The wishes for a day, and a clock that follows them: pauses, and rows that begin on marks."""

from dataclasses import dataclass
from typing import Final

from domain.scheduling.types import Request, Strategy

MARK: Final = 5
"""Rows begin at multiples of so many minutes."""
UNLIMITED: Final = 24 * 60
"""At least as many minutes as a day can spend on pauses or marks, or on a sitting."""


@dataclass(frozen=True, slots=True)
class Comfort:
    """The wishes for a day: minutes of the longest sitting and of a pause.

    Without pauses, sittings are unlimited.
    """

    longest_sitting: int
    pause_minutes: int


def comfort_of(request: Request) -> Comfort | None:
    """Return the wishes of a group, or ``None`` if its strategy places rows one after another."""
    if request.strategy is Strategy.EVEN:
        return None
    longest = request.longest_sitting if request.pause_minutes else UNLIMITED
    return Comfort(longest, request.pause_minutes)


@dataclass(slots=True)
class Clock:
    """The next free minute of a span, and the minutes of rows since the last pause.

    ``pauses`` and ``marks`` have the minutes that may still be spent on pauses and marks. With
    ``early``, a session that fits into one sitting, but not into the rest of this one, begins after
    a pause. ``excess`` counts the minutes of sittings that are too long. ``rested`` has the idle
    minutes before the span, if they are only a part of a pause.
    """

    comfort: Comfort
    now: int
    pauses: int = UNLIMITED
    marks: int = UNLIMITED
    sitting: int = 0
    early: bool = True
    excess: int = 0
    rested: int = 0

    def copy(self) -> "Clock":
        """Return a clock that shows the same."""
        return Clock(
            self.comfort,
            self.now,
            self.pauses,
            self.marks,
            self.sitting,
            self.early,
            self.excess,
            self.rested,
        )

    def start(self) -> int:
        """Return the minute at which the next row begins: on a mark, if it may."""
        gap = -self.now % MARK
        return self.now + gap if gap <= self.marks else self.now

    def left(self) -> int:
        """Return how many minutes the next row may have before a pause."""
        if self.pauses < self._needed():
            return UNLIMITED
        return self.comfort.longest_sitting - self.sitting

    def pause(self) -> bool:
        """Make a pause, unless there is nothing to rest from; return whether there is one."""
        needed = self._needed()
        if not self.sitting or self.pauses < needed:
            return False
        self.pauses -= needed
        self.now += needed
        self.sitting = 0
        return True

    def _needed(self) -> int:
        """Return the minutes that complete a pause."""
        return self.comfort.pause_minutes - self.rested

    def run(self, start: int, stop: int) -> None:
        """Go on to the end of a row."""
        self.marks -= start - self.now
        self.now, self.rested = stop, 0
        before, self.sitting = self.sitting, self.sitting + stop - start
        longest = self.comfort.longest_sitting
        self.excess += max(0, self.sitting - longest) - max(0, before - longest)
