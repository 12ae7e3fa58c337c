"""The rules of a request, each with the message of its error.

Fields have the names that documents and applications use: ``contents[0].range``,
``academy_schedules[1].start``. Indexes are those of the rows in the request.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from domain.errors import FieldError
from domain.scheduling.minutes import raw_unit_minutes, subject_factor
from domain.scheduling.types import (
    LAST_UNIT,
    MAX_UNITS,
    MINUTES_PER_DAY,
    AcademySchedule,
    Allocation,
    Block,
    Content,
    ContentType,
    Factors,
    NonStudyBlock,
    Request,
    SpecialDay,
)

MAX_CONTENTS: Final = 9
MAX_DAYS: Final = 731
"""Two years, one of them a leap year."""
LAST_DATE: Final = date.max - timedelta(days=MAX_DAYS)
"""The last date on which a period may end: longer periods are tried as repairs."""
MAX_SPANS: Final = 24
"""The maximum number of spans of one kind on a weekday."""
MAX_STUDY_DAYS: Final = 30
MAX_REVIEW_DAYS: Final = 7
WEEKLY_DAYS: Final = (2, 3, 4)
MAX_SESSION: Final = 240
"""The maximum of the shortest session, in minutes."""
MAX_PAUSE: Final = 120
MAX_FACTOR: Final = Decimal(10)

PAST_MIDNIGHT: Final = "divide a span past midnight into one until 24:00 and one from 00:00"
"""How to enter such a span; part of the error."""


def field_errors(request: Request) -> list[FieldError]:
    """Return all errors of a request. A request without errors can be scheduled."""
    found = [*_period(request), *_cycle(request), *_factors(request.factors)]
    found += balance_errors(request)
    found += _weekly("blocks", request.blocks)
    found += _weekly("non_study_blocks", request.non_study_blocks)
    found += _weekly("academy_schedules", request.academy_schedules)
    found += _classes(request.academy_schedules)
    found += _special_days(request)
    found += too_many_spans("blocks", request.blocks)
    found += too_many_spans("non_study_blocks", request.non_study_blocks)
    found += too_many_spans("academy_schedules", request.academy_schedules)
    if len(request.contents) > MAX_CONTENTS:
        found.append(FieldError("contents", f"at most {MAX_CONTENTS} contents are allowed"))
    found += _units_in_total(request.contents)
    factors_are_wrong = any(field_error.field.startswith("factors") for field_error in found)
    positions = Counter(content.position for content in request.contents)
    for index, content in enumerate(request.contents):
        field = f"contents[{index}]"
        if positions[content.position] > 1:
            found.append(FieldError(f"{field}.position", "must be unique in the group"))
        found += content_errors(field, content)
        found += deadline_errors(field, content, request.period_start)
        found += day_shift_errors(field, content, request.study_days)
        if not factors_are_wrong:
            found += _too_short(field, content, request.factors)
    return found


def _units_in_total(contents: Iterable[Content]) -> Iterator[FieldError]:
    """Yield an error if the contents have more units than can be planned in a short time.

    A content that has too many by itself has its own error.
    """
    counts = [content.last_unit - content.first_unit + 1 for content in contents]
    if max(counts, default=0) <= MAX_UNITS < sum(counts):
        yield FieldError("contents", f"must have at most {MAX_UNITS} units in total")


def content_errors(field: str, content: Content) -> Iterator[FieldError]:
    """Yield the errors of a single content; ``field`` is the path of the content."""
    first, last = content.first_unit, content.last_unit
    if first < 1 or last < first:
        yield FieldError(f"{field}.range", "must be 1 ≤ first ≤ last")
    elif last - first >= MAX_UNITS:
        yield FieldError(f"{field}.range", f"must have at most {MAX_UNITS} units")
    elif last > LAST_UNIT:
        yield FieldError(f"{field}.range", f"must not end after {LAST_UNIT}")
    if content.allocation is Allocation.STRATEGY and content.weekly_days not in WEEKLY_DAYS:
        yield FieldError(f"{field}.weekly_days", "must be 2, 3 or 4 for a strategy content")
    if content.allocation is Allocation.WEAKNESS and content.weekly_days is not None:
        yield FieldError(f"{field}.weekly_days", "is only allowed for strategy contents")
    if not 0 <= content.wrap_up_minutes <= MINUTES_PER_DAY:
        yield FieldError(f"{field}.wrap_up_minutes", "must be 0 to 1440")
    yield from _length_errors(field, content)


def balance_errors(request: Request) -> Iterator[FieldError]:
    """Yield the errors of the settings of the strategy ``balanced``."""
    limits = {
        "shortest_session": MAX_SESSION,
        "longest_sitting": MINUTES_PER_DAY,
        "pause_minutes": MAX_PAUSE,
        "buffer_days": MAX_DAYS - 1,
    }
    for name, most in limits.items():
        least = 1 if name == "longest_sitting" else 0
        if not least <= getattr(request, name) <= most:
            yield FieldError(name, f"must be {least} to {most}")


def day_shift_errors(field: str, content: Content, study_days: int) -> Iterator[FieldError]:
    """Yield an error if the days of a content cannot be turned by its ``day_shift``."""
    if content.day_shift is None:
        return
    if content.allocation is not Allocation.STRATEGY:
        yield FieldError(f"{field}.day_shift", "is only allowed for strategy contents")
    elif not 0 <= content.day_shift < study_days:
        yield FieldError(f"{field}.day_shift", "must be 0 to the number of study days - 1")


def deadline_errors(field: str, content: Content, period_start: date) -> Iterator[FieldError]:
    """Yield an error if the deadline of a content is before the period."""
    if content.deadline is not None and content.deadline < period_start:
        yield FieldError(f"{field}.deadline", "must not be before the start of the period")


def _length_errors(field: str, content: Content) -> Iterator[FieldError]:
    given = content.minutes_per_unit
    if given is not None and not 1 <= given <= MINUTES_PER_DAY:
        yield FieldError(f"{field}.minutes_per_unit", "must be 1 to 1440")
    if content.difficulty is not None and content.type is not ContentType.BOOK:
        yield FieldError(f"{field}.difficulty", "is only allowed for books")
    elif content.difficulty is not None and given is not None:
        yield FieldError(f"{field}.difficulty", "cannot be combined with minutes_per_unit")
    if content.type is ContentType.CUSTOM and given is None:
        yield FieldError(f"{field}.minutes_per_unit", "is required for a custom content")
    if content.type is not ContentType.LECTURE:
        if content.episode_minutes:
            yield FieldError(f"{field}.episodes", "are only allowed for lectures")
        return
    if given is not None:
        yield FieldError(f"{field}.minutes_per_unit", "is not allowed for lectures: use episodes")
    yield from _episode_errors(field, content)


def _episode_errors(field: str, content: Content) -> Iterator[FieldError]:
    count = content.last_unit - content.first_unit + 1
    # An invalid range is an error of its own; it does not determine the number of episodes.
    if 1 <= count <= MAX_UNITS and len(content.episode_minutes) != count:
        yield FieldError(f"{field}.episodes", f"must have {count} entries, one per unit")
    if any(m is not None and not 1 <= m <= MINUTES_PER_DAY for m in content.episode_minutes):
        yield FieldError(f"{field}.episodes", "each must be 1 to 1440 minutes, or null")


def _too_short(field: str, content: Content, factors: Factors) -> Iterator[FieldError]:
    """Yield an error if a unit lasts less than a minute.

    Several such units could have the same start and end.
    """
    if content.last_unit - content.first_unit >= MAX_UNITS:
        return
    shortest = min(raw_unit_minutes(content), default=1)
    if shortest >= 1 and Fraction(shortest) * subject_factor(content, factors) < 1:
        lecture = content.type is ContentType.LECTURE
        name = "episodes" if lecture else "minutes_per_unit"
        message = "must be at least one minute per unit after multiplication by the factors"
        yield FieldError(f"{field}.{name}", message)


def _period(request: Request) -> Iterator[FieldError]:
    length = (request.period_end - request.period_start).days + 1
    if length < 1:
        yield FieldError("period", "must not end before it starts")
    elif length > MAX_DAYS:
        yield FieldError("period", f"must have at most {MAX_DAYS} days")
    if request.period_end > LAST_DATE:
        yield FieldError("period.end", f"must not be after {LAST_DATE}")
    if request.target_date is not None and request.target_date < request.period_start:
        yield FieldError("target_date", "must not be before the start of the period")


def _cycle(request: Request) -> Iterator[FieldError]:
    if not 1 <= request.study_days <= MAX_STUDY_DAYS:
        yield FieldError("cycle.study_days", f"must be 1 to {MAX_STUDY_DAYS}")
    if not 0 <= request.review_days <= MAX_REVIEW_DAYS:
        yield FieldError("cycle.review_days", f"must be 0 to {MAX_REVIEW_DAYS}")


def _factors(factors: Factors) -> Iterator[FieldError]:
    for name in ("level", "weakness", "strategy", "review"):
        # Callers without a type checker may pass floats, whose values are not exact decimals.
        value: object = getattr(factors, name)
        if not isinstance(value, Decimal | int):
            yield FieldError(f"factors.{name}", "must be a Decimal")
        elif not Decimal(value).is_finite() or not 0 < value <= MAX_FACTOR:
            yield FieldError(f"factors.{name}", f"must be greater than 0, at most {MAX_FACTOR}")
        elif not has_factor_places(Decimal(value)):
            yield FieldError(f"factors.{name}", "must have at most 6 decimal places")


def has_factor_places(value: Decimal) -> bool:
    """Whether a factor has at most six decimal places.

    More places are likely to be an error, and make exact arithmetic slow.
    """
    return value == round(value, 6)


def _weekly(
    field: str, rows: Iterable[Block | NonStudyBlock | AcademySchedule]
) -> Iterator[FieldError]:
    for index, row in enumerate(rows):
        if not 0 <= row.weekday <= 6:
            yield FieldError(f"{field}[{index}].weekday", "must be 0 (Sunday) to 6 (Saturday)")
        if not _is_in_one_day(row):
            message = f"must be before end, both on the same day; {PAST_MIDNIGHT}"
            yield FieldError(f"{field}[{index}].start", message)


def too_many_spans(
    field: str, rows: Iterable[Block | NonStudyBlock | AcademySchedule]
) -> Iterator[FieldError]:
    """Yield an error if there are too many spans of one kind on a weekday.

    It names the field and not a row, because a document has one entry for several weekdays.
    """
    spans = Counter((getattr(row, "kind", None), row.weekday) for row in rows)
    if max(spans.values(), default=0) > MAX_SPANS:
        message = f"must have at most {MAX_SPANS} spans of one kind per weekday"
        yield FieldError(field, message)


def _special_days(request: Request) -> Iterator[FieldError]:
    dates = Counter(day.date for day in request.special_days)
    first, last = request.period_start, request.period_end
    for index, day in enumerate(request.special_days):
        field = f"special_days[{index}]"
        # No date is within a period that ends before it starts, which is an error of its own.
        if first <= last and not first <= day.date <= last:
            yield FieldError(f"{field}.date", "must be within the period")
        elif dates[day.date] > 1:
            yield FieldError(f"{field}.date", "must be unique in the group")
        yield from special_day_errors(field, day)


def special_day_errors(field: str, day: SpecialDay) -> Iterator[FieldError]:
    """Yield the errors of the spans of a special day; ``field`` is the path of the day."""
    for name, spans in (("study", day.study), ("self_study", day.self_study)):
        if len(spans) > MAX_SPANS:
            yield FieldError(f"{field}.{name}", f"must have at most {MAX_SPANS} spans")
        for index, (start, stop) in enumerate(spans):
            if not 0 <= start < stop <= MINUTES_PER_DAY:
                message = f"must start before it ends, both on the same day; {PAST_MIDNIGHT}"
                yield FieldError(f"{field}.{name}[{index}]", message)


def _is_in_one_day(row: Block | NonStudyBlock | AcademySchedule) -> bool:
    return 0 <= row.start_minute < row.end_minute <= MINUTES_PER_DAY


def _classes(lessons: tuple[AcademySchedule, ...]) -> Iterator[FieldError]:
    for index, lesson in enumerate(lessons):
        if not 0 <= lesson.travel_minutes <= MINUTES_PER_DAY:
            yield FieldError(f"academy_schedules[{index}].travel_minutes", "must be 0 to 1440")
    # Each weekday is an integer with one bit per minute, so the cost is linear in the number of
    # classes. To compare all pairs of a long list would take minutes.
    taken: defaultdict[int, int] = defaultdict(int)
    for index, lesson in enumerate(lessons):
        minutes = (
            (1 << lesson.end_minute) - (1 << lesson.start_minute) if _is_in_one_day(lesson) else 0
        )
        if taken[lesson.weekday] & minutes:
            yield FieldError(f"academy_schedules[{index}].start", "overlaps another class")
        taken[lesson.weekday] |= minutes
