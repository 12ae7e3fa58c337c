"""The invariants of a schedule, checked without a line of the engine.

``check`` looks at a request and its schedule, ``check_refusal`` at a request and the error
it met. Both answer with sentences; none means that all is well.
"""

from collections.abc import Iterator

from domain.errors import (
    DomainError,
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NothingPlacedError,
)
from domain.scheduling.planning import Request
from domain.scheduling.schedule import Schedule
from domain.scheduling.vocabulary import ContentType
from tests.unit.scheduling.checking.case import Case, check_places
from tests.unit.scheduling.checking.reviews import check_evenness, check_reviews
from tests.unit.scheduling.checking.units import check_units
from tests.unit.scheduling.checking.world import World, amounts_of


def check(request: Request, schedule: Schedule) -> list[str]:
    """Every violation, one sentence each."""
    case = Case(request, schedule)
    if any(plan.content not in case.contents for plan in schedule.plans):
        return ["a row names a content that the request does not have"]
    return [
        *check_units(case),
        *check_places(case),
        *check_reviews(case),
        *check_evenness(case),
        *_emptiness(case),
        *_assumptions(case),
    ]


def check_refusal(request: Request, error: DomainError) -> list[str]:
    """Why the error is wrong for a request that is well-formed."""
    match error:
        case NoContentsError():
            return ["there are contents"] if request.contents else []
        case NoBlocksError():
            return ["there are blocks"] if request.blocks else []
        case NoStudyDaysError():
            return list(_study_days_left(request))
        case NothingPlacedError():
            return list(_something_fits(request))
    return [f"a well-formed request was refused with {type(error).__name__}: {error}"]


def _study_days_left(request: Request) -> Iterator[str]:
    if not any(amounts.remaining for amounts in amounts_of(request).values()):
        yield "nothing is left to plan, which is a result and no error"
    if days := World(request).study_days():
        yield f"there are {len(days)} study days from {days[0]} on"


def _something_fits(request: Request) -> Iterator[str]:
    world = World(request)
    left = [amounts for amounts in amounts_of(request).values() if amounts.remaining]
    if not left:
        yield "nothing is left to plan, which is a result and no error"
    for amounts in left:
        following = amounts.remaining[0]
        room = sum(world.room(day) for day in world.open_days(amounts.content))
        if amounts.minutes[following] <= room:
            yield f"unit {following} of content {amounts.content.position} fits {room} min"


def _emptiness(case: Case) -> Iterator[str]:
    left = any(amounts.remaining for amounts in case.amounts.values())
    told = any(notice.code == "nothing_left" for notice in case.schedule.warnings)
    if left and told:
        yield "something is left to plan, and a warning denies it"
    if not left and not told:
        yield "nothing is left to plan, and no warning says so"
    if left and not case.study:
        yield "there was something to plan, and no study row came of it, and no error"


def _assumptions(case: Case) -> Iterator[str]:
    """Episodes of unknown length that are planned are reported."""
    for position, amounts in case.amounts.items():
        if amounts.content.type is not ContentType.LECTURE:
            continue
        first, entries = amounts.content.first_unit, amounts.content.episode_minutes
        unknown = {u for u in amounts.remaining if entries[u - first] is None}
        for data in case.notices("assumed_minutes"):
            if data["content"] == position:
                told = range(int(str(data["first_unit"])), int(str(data["last_unit"])) + 1)
                unknown -= set(told)
        if unknown:
            yield f"content {position} has {len(unknown)} episodes assumed without a warning"
