"""Checks that exactly the expected warnings are reported.

What a missing warning means for its subject is checked with the subject: ``units`` has the
wrap-ups, ``reviews`` the reviews and the shortages, and ``review_minutes`` the shortened reviews.
"""

from collections import Counter
from collections.abc import Iterator

from domain.scheduling.types import ContentType
from tests.unit.scheduling.checking.amounts import UNKNOWN_EPISODE, runs
from tests.unit.scheduling.checking.case import Case, listed
from tests.unit.scheduling.checking.reviews import Studied, kept_reviews

LONG_PERIOD = 366
MANY_CONTENTS = 6


def check_warnings(case: Case) -> Iterator[str]:
    """Check the warnings about the input, and that no warning is superfluous."""
    yield from _input(case)
    yield from _twice(case)
    yield from _wrap_ups(case)
    yield from _unreviewed(case)
    yield from _shrunk_reviews(case)


def _input(case: Case) -> Iterator[str]:
    days = len(case.world.days)
    count = len(case.contents)
    expected: dict[str, list[dict[str, object]]] = {
        "long_period": [{"days": days}] if days > LONG_PERIOD else [],
        "many_contents": [{"count": count}] if count > MANY_CONTENTS else [],
        "assumed_minutes": [*_assumed(case)],
        "nothing_left": [] if any(a.remaining for a in case.amounts.values()) else [{}],
    }
    for code, wanted in expected.items():
        found = list(case.warnings(code))
        if found != wanted:
            yield f"the warning {code} is {found}, but {wanted} is expected"
    unknown = {w.code for w in case.schedule.warnings} - {
        *expected, "shortage", "wrap_up_shrunk", "review_shrunk", "unreviewed",
    }  # fmt: skip
    if unknown:
        yield f"the warnings {sorted(unknown)} do not exist"


def _assumed(case: Case) -> Iterator[dict[str, object]]:
    """Yield the ranges of episodes of unknown length, whether they are kept or not."""
    for position, content in sorted(case.contents.items()):
        if content.type is ContentType.LECTURE:
            entries = enumerate(content.episode_minutes, content.first_unit)
            for first, last in runs(unit for unit, minutes in entries if minutes is None):
                yield {"content": position, "first_unit": first, "last_unit": last,
                       "minutes": UNKNOWN_EPISODE}  # fmt: skip


def _twice(case: Case) -> Iterator[str]:
    found = Counter(
        (warning.code, tuple(sorted(warning.data.items()))) for warning in case.schedule.warnings
    )
    for (code, data), times in found.items():
        if times > 1:
            yield f"the warning {code} is reported {times} times with {dict(data)}"


def _wrap_ups(case: Case) -> Iterator[str]:
    """Check that each shortened wrap-up is one of a new session, with its minutes."""
    last = {(str(row.date), row.content): row.wrap_up_minutes for row in case.study}
    for data in case.warnings("wrap_up_shrunk"):
        session = str(data["date"]), int(str(data["content"]))
        if session not in last:
            yield f"a wrap-up is reported as shrunk, but there is no session: {data}"
            continue
        wanted = case.contents[session[1]].wrap_up_minutes
        if (data["need"], data["given"]) != (wanted, last[session]) or last[session] >= wanted:
            yield f"the wrap-up of {session} has {last[session]} of {wanted} min, not {data}"


def _unreviewed(case: Case) -> Iterator[str]:
    """Check that what is reported as unreviewed is studied in the cycle, and not reviewed."""
    studied = Studied(case)
    for data in case.warnings("unreviewed"):
        cycle, position = int(str(data["cycle"])), int(str(data["content"]))
        units = set(range(int(str(data["first_unit"])), int(str(data["last_unit"])) + 1))
        known = set(studied.units(cycle, position)) - set(kept_reviews(case, cycle, position))
        if not case.request.review_days or not units or units - known:
            yield (
                f"units {listed(units - known)} of content {position} are reported as unreviewed, "
                f"but cycle {cycle} does not study them"
            )


def _shrunk_reviews(case: Case) -> Iterator[str]:
    """Check that reviews are reported as shrunk only in cycles that have some, once in each."""
    has_reviews = {row.cycle for row in case.reviews} | {
        data["cycle"] for data in case.warnings("unreviewed")
    }
    seen = set()
    for data in case.warnings("review_shrunk"):
        if data["cycle"] not in has_reviews or data["cycle"] in seen:
            yield f"reviews of cycle {data['cycle']} are reported as shrunk twice or without any"
        if not 0 < int(str(data["free"])) < int(str(data["need"])):
            yield f"reviews are reported as shrunk, but fit: {data}"
        seen.add(data["cycle"])
