"""Reading a schedule in tests: the rows of a content, their units, dates and hours."""

from domain.scheduling.engine import schedule
from domain.scheduling.planning import Request
from domain.scheduling.schedule import Schedule, ScheduledPlan
from domain.scheduling.vocabulary import PlanKind
from tests.unit.scheduling.checker import check
from tests.unit.scheduling.checking.case import clock


def answer_to(request: Request) -> Schedule:
    """The schedule, once the checker has nothing against it."""
    answer = schedule(request)
    assert check(request, answer) == []
    return answer


def study(answer: Schedule, content: int = 1) -> list[ScheduledPlan]:
    """The study rows of a content."""
    return [r for r in answer.plans if r.kind is PlanKind.STUDY and r.content == content]


def reviews(answer: Schedule) -> list[ScheduledPlan]:
    """The review rows."""
    return [row for row in answer.plans if row.kind is PlanKind.REVIEW]


def ranges(rows: list[ScheduledPlan]) -> list[tuple[int, int]]:
    """Their units."""
    return [(row.first_unit, row.last_unit) for row in rows]


def hours(rows: list[ScheduledPlan]) -> list[str]:
    """Their times."""
    return [f"{clock(row.start_minute)}-{clock(row.end_minute)}" for row in rows]


def dates(rows: list[ScheduledPlan]) -> list[str]:
    """Their month and day, each once."""
    return list(dict.fromkeys(f"{row.date:%m-%d}" for row in rows))
