"""Days of the corpus that have just the room for a rule, so that a simpler layout breaks it.

And all of its days with more room: no session is divided more often than with less.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import pytest

from domain.scheduling.demand import problem_of
from domain.scheduling.distribution.strategies import distribute
from domain.scheduling.layout.comfort import comfort_of
from domain.scheduling.layout.study import lay_out
from domain.scheduling.placement import Room
from domain.scheduling.rows import Row
from domain.scheduling.schedule import schedule
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.day_layout import check_layout
from tests.unit.scheduling.checking.reviews import check_reviews
from tests.unit.scheduling.corpus import balanced, group_of

GROUPS = {
    "a weakness opens two days if its sessions may not be interrupted": (13, 175),
    "a row is off the mark if a session may not be interrupted": (13, 235),
    "a wrap-up that is lengthened takes the place of a pause": (13, 321),
    "a review has a short piece beside another row": (13, 310),
    "a review has two short pieces one after another": (15, 325),
    "a strategy is first if the weaknesses fit in turn only in another turn": (14, 416),
    "a row is off the mark where sessions are divided": (17, 106),
    "units were cut for a placement that is not used": (13, 403),
    "an episode was cut for a placement that is not used": (13, 115),
}


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_layout_of_a_hard_day_breaks_no_rule(group: tuple[int, int]) -> None:
    request = balanced(group_of(*group))
    case = Case(request, schedule(request))
    assert list(chain(check_layout(case), check_reviews(case))) == []


@pytest.mark.parametrize("number", range(30))
@pytest.mark.parametrize("minutes", [5, 30])
def test_more_room_divides_no_session_of_the_same_units_more_often(
    number: int, minutes: int
) -> None:
    """A session has first as few pieces under ten minutes as possible, then as few pieces.

    Wrap-ups are left aside, because they take the time that they get, and so are days that use the
    reserve: to use less of it, which comes first, may leave a short piece there.
    """
    group = balanced(group_of(13, number))
    contents = (replace(content, wrap_up_minutes=0) for content in group.contents)
    distribution = distribute(problem_of(replace(group, contents=tuple(contents))))
    rooms, comfort = distribution.problem.rooms, comfort_of(group)
    longer = {day: _longer(room, minutes) for day, room in rooms.items()}
    before = _divisions(lay_out(distribution.deals, rooms, comfort)[0], rooms)
    after = _divisions(lay_out(distribution.deals, longer, comfort)[0], longer)
    assert [day for day in before if after[day] > before[day]] == []


def _longer(room: Room, minutes: int) -> Room:
    """Return the room with more time at the end of its study time, if no reserve is there."""
    if not room.study or any(start < room.study[-1][1] + minutes for start, _ in room.reserve):
        return room
    *others, (start, stop) = room.study
    return Room([*others, (start, stop + minutes)], room.reserve)


def _divisions(rows: Sequence[Row], rooms: Mapping[int, Room]) -> Mapping[int, tuple[int, int]]:
    """Return the numbers of short pieces of divided sessions and of further pieces, by day.

    Days that use the reserve are left out.
    """
    in_reserve = {row.day for row in rows if row.reserve}
    pieces: Mapping[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for row in (row for row in rows if row.day not in in_reserve):
        spans = sorted([*rooms[row.day].study, *rooms[row.day].reserve])
        (span,) = (start for start, stop in spans if start <= row.start and row.stop <= stop)
        pieces[row.day, row.content][span] += row.stop - row.start
    found: dict[int, tuple[int, int]] = {}
    for (day, _), own in pieces.items():
        short = sum(minutes < 10 for minutes in own.values()) if len(own) > 1 else 0
        shorts, further = found.get(day, (0, 0))
        found[day] = shorts + short, further + len(own) - 1
    return found
