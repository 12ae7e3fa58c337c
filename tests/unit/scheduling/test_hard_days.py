"""Days of the corpus that have just the room for a rule, so that a simpler layout breaks it."""

from itertools import chain

import pytest

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
