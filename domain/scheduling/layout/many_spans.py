"""Divides the sessions of a day that has more spans than ``few_spans`` can divide them between.

The search goes span by span, and looks for the sessions that stay whole in a span, and for the one
that is cut at its end. It is depth first, with the fewest cuts first, and stops after a fixed
number of steps.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from domain.scheduling.layout.day_sessions import FreeSpan, Pieces, Session

_MAX_STEPS: Final = 2_000
"""The number of steps of the search; a step decides about one session in one span."""


def divided_by_search(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], reserve: int
) -> Pieces | None:
    """Return what each span holds of each session, with as few cuts as possible.

    ``spans`` are in order of time, and of the reserve at most ``reserve`` minutes are used. No
    piece is too short. ``None`` means that the search found nothing.
    """
    total = sum(session.minutes for session in sessions)
    waste = sum(span.stop - span.start for span in spans if not span.reserve) + reserve - total
    attempt = _Search(sessions, spans)
    for cuts in range(len(spans)):
        found = attempt.fill(0, _State(tuple(range(len(sessions))), None, waste, cuts))
        if found is not None or attempt.steps > _MAX_STEPS:
            return found
    return None


class _State(NamedTuple):
    """Before a span: the sessions that are left, and the one of which a part is left.

    ``waste`` has the minutes of study time that may still be left free.
    """

    left: tuple[int, ...]
    begun: tuple[int, range] | None
    waste: int
    cuts: int


class _Search:
    """Fills the spans one after another."""

    def __init__(self, sessions: Sequence[Session], spans: Sequence[FreeSpan]) -> None:
        self.sessions = sessions
        self.spans = spans
        self.minutes = [session.minutes for session in sessions]
        self.steps = 0

    def fill(self, index: int, state: _State) -> Pieces | None:
        """Return what the spans from ``index`` on hold, or ``None`` if something does not fit."""
        if not state.left and state.begun is None:
            idle = sum(span.stop - span.start for span in self.spans[index:] if not span.reserve)
            if idle > state.waste:
                return None
            return [[range(0)] * len(self.sessions) for _ in self.spans[index:]]
        if index == len(self.spans) or state.waste < 0:
            return None
        span = self.spans[index]
        for pieces, free, after in self._begun(state, span.stop - span.start):
            for whole, rest, left in self._whole(after.left, free, 0):
                waste = rest if span.reserve else state.waste
                for cut, unused, last in self._cut(after._replace(left=left), rest, waste):
                    lost = 0 if span.reserve else unused
                    found = self.fill(index + 1, last._replace(waste=state.waste - lost))
                    if found is not None:
                        return [self._held({**pieces, **whole, **cut}), *found]
                    if self.steps > _MAX_STEPS:
                        return None
        return None

    def _held(self, pieces: dict[int, range]) -> list[range]:
        return [pieces.get(index, range(0)) for index in range(len(self.sessions))]

    def _begun(self, state: _State, free: int) -> Iterator[tuple[dict[int, range], int, _State]]:
        """Yield the ways to go on with the session of which a part is left."""
        if state.begun is None:
            yield {}, free, state
            return
        index, items = state.begun
        session = self.sessions[index]
        minutes = session.length(items)
        if minutes <= free:
            yield {index: items}, free - minutes, state._replace(begun=None)
        if state.cuts:
            for some in session.beginnings(items, 1, free):
                rest = range(some.stop, items.stop)
                after = state._replace(begun=(index, rest), cuts=state.cuts - 1)
                yield {index: some}, free - session.length(some), after
        yield {}, free, state

    def _whole(
        self, left: tuple[int, ...], free: int, at: int
    ) -> Iterator[tuple[dict[int, range], int, tuple[int, ...]]]:
        """Yield the sets of sessions, from the one at ``at`` on, that a span holds whole."""
        self.steps += 1
        if self.steps > _MAX_STEPS:
            return
        if at == len(left):
            yield {}, free, left
            return
        index = left[at]
        if self.minutes[index] <= free:
            own = self.sessions[index].items
            without = left[:at] + left[at + 1 :]
            for whole, rest, others in self._whole(without, free - self.minutes[index], at):
                yield {index: own, **whole}, rest, others
        yield from self._whole(left, free, at + 1)

    def _cut(
        self, state: _State, free: int, waste: int
    ) -> Iterator[tuple[dict[int, range], int, _State]]:
        """Yield the ways to end a span: as it is, or with the beginning of a session.

        A session is only begun if at most ``waste`` of the ``free`` minutes are left free then.
        """
        yield {}, free, state
        if state.begun is not None or not state.cuts:
            return
        for index in state.left:
            session = self.sessions[index]
            left = tuple(other for other in state.left if other != index)
            for some in session.beginnings(session.items, free - waste, free):
                begun = index, range(some.stop, session.items.stop)
                after = state._replace(left=left, begun=begun, cuts=state.cuts - 1)
                yield {index: some}, free - session.length(some), after
