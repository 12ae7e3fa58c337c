"""The sessions of a day and its free spans, and the division of sessions that fill the spans.

A *session* is what a content gets on one day. If a day is nearly full, sessions that are placed one
after another end with pieces that are too short. ``divided`` searches then, span by span, for the
sessions that stay whole in a span, and for the one that is cut at its end. The search is depth
first, with the fewest cuts first, and stops after a fixed number of steps.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from domain.scheduling.placement import Run

_MAX_STEPS: Final = 2_000
"""The number of steps of the search; a step decides about one session in one span."""

SHORTEST_PIECE: Final = 10
"""The least minutes of a piece of a session of study that is cut."""
SHORTEST_REVIEW: Final = 5
"""The same for a review."""


class Session(NamedTuple):
    """Units of a content on one day: the items of each row, in order, and a wrap-up after them."""

    prefix: Sequence[int]
    rows: Sequence[range]
    wrap_up: int = 0
    shortest_piece: int = SHORTEST_PIECE
    is_weakness: bool = False

    @property
    def minutes(self) -> int:
        """The length, with the wrap-up."""
        return self.prefix[self.rows[-1].stop] - self.prefix[self.rows[0].start] + self.wrap_up

    def length(self, items: range) -> int:
        """Return the length of some items, with the wrap-up after the last one."""
        wrap_up = self.wrap_up if items.stop == self.rows[-1].stop else 0
        return self.prefix[items.stop] - self.prefix[items.start] + wrap_up

    @property
    def items(self) -> range:
        """The items of all rows."""
        return range(self.rows[0].start, self.rows[-1].stop)

    def fitting(self, items: range, limit: int) -> range:
        """Return the first items that fit into ``limit`` minutes, so that no piece is too short."""
        if self.length(items) <= limit:
            return items
        prefix, first, stop = self.prefix, items.start, items.stop
        at = min(bisect_right(prefix, prefix[first] + limit, first, stop) - 1, stop - 1)
        after = self.length(range(first, stop)) + prefix[first]
        while at > first and after - prefix[at] < self.shortest_piece:
            at -= 1
        if prefix[max(at, first)] - prefix[first] < self.shortest_piece:
            at = first
        return range(first, at)

    def beginnings(self, items: range, shortest: int, longest: int) -> Iterator[range]:
        """Yield the first items that have so many minutes, the longest ones first.

        Neither they nor the others are too short.
        """
        prefix, first, stop = self.prefix, items.start, items.stop
        after = self.length(items) + prefix[first]
        at = min(self.fitting(items, longest).stop, stop - 1)
        while at > first:
            minutes, rest = prefix[at] - prefix[first], after - prefix[at]
            if minutes < max(shortest, self.shortest_piece):
                return
            if rest >= self.shortest_piece:
                yield range(first, at)
            at -= 1


class FreeSpan(NamedTuple):
    """A free span of a day, and whether it is in the reserve."""

    start: int
    stop: int
    reserve: bool


Pieces: TypeAlias = list[list[range]]
"""For each span, in order of time, the items of each session; empty ranges for none."""


def divided_runs(
    sessions: Sequence[Session],
    spans: Sequence[FreeSpan],
    reserve: int,
    bare: Sequence[Sequence[Run]] | None,
) -> Sequence[Sequence[Run]] | None:
    """Return runs of sessions that are cut where a span ends, with the fewest short pieces."""
    spans = sorted(spans)
    pieces = divided(sessions, spans, reserve)
    if pieces is not None:
        return _in_turn(sessions, spans, pieces)
    if bare is not None and not _short_pieces(sessions, bare):
        return bare
    pieces = divided([one._replace(shortest_piece=1) for one in sessions], spans, reserve)
    if pieces is None:
        return bare
    runs = _in_turn(sessions, spans, pieces)
    if bare is None or _short_pieces(sessions, runs) < _short_pieces(sessions, bare):
        return runs
    return bare


def _short_pieces(sessions: Iterable[Session], runs: Iterable[Sequence[Run]]) -> int:
    """Return how many pieces of sessions are too short."""
    return sum(
        len(own) > 1 and run.stop - run.start < session.shortest_piece
        for session, own in zip(sessions, runs, strict=True)
        for run in own
    )


def _in_turn(
    sessions: Sequence[Session], spans: Sequence[FreeSpan], pieces: Pieces
) -> list[list[Run]]:
    """Return the runs of the pieces, one after another in each span."""
    runs: list[list[Run]] = [[] for _ in sessions]
    for span, held in zip(spans, pieces, strict=True):
        start = span.start
        for session, items, own in zip(sessions, held, runs, strict=True):
            if items:
                stop = start + session.length(items)
                own.append(Run(start, stop, items, span.reserve))
                start = stop
    return runs


def divided(sessions: Sequence[Session], spans: Sequence[FreeSpan], reserve: int) -> Pieces | None:
    """Return what each span holds of each session, with as few cuts as possible.

    ``spans`` are in order of time, and of the reserve at most ``reserve`` minutes are used. No
    piece is too short. ``None`` means that the search found nothing.
    """
    total = sum(session.minutes for session in sessions)
    waste = sum(span.stop - span.start for span in spans if not span.reserve) + reserve - total
    search = _Search(sessions, spans)
    for cuts in range(len(spans)):
        found = search.fill(0, _State(tuple(range(len(sessions))), None, waste, cuts))
        if found is not None or search.steps > _MAX_STEPS:
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

        At most ``waste`` of the ``free`` minutes are left free.
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
