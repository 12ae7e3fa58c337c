"""The document of a group, from which the command ``generate`` plans the same schedule."""

from datetime import date
from typing import Any

from domain.scheduling.result import clock
from domain.scheduling.types import Content, Request


def document(request: Request) -> dict[str, Any]:
    """Return the request as the JSON values of a document.

    Plans of other groups and kept plans are not part of a document; their number is in a note.
    """
    factors = request.factors
    return {
        "name": "group",
        "_note": f"without {len(request.busy)} busy rows and {len(request.kept)} kept plans",
        "period": {"start": str(request.period_start), "end": str(request.period_end)},
        "_today": str(request.today),
        "target_date": _text(request.target_date),
        "cycle": {"study_days": request.study_days, "review_days": request.review_days},
        "strategy": str(request.strategy),
        "balance": str(request.balance),
        "shortest_session": request.shortest_session,
        "longest_sitting": request.longest_sitting,
        "pause_minutes": request.pause_minutes,
        "buffer_days": request.buffer_days,
        "factors": {
            "level": str(factors.level),
            "weakness": str(factors.weakness),
            "strategy": str(factors.strategy),
            "review": str(factors.review),
        },
        "blocks": [{"kind": str(row.kind), **_weekly(row)} for row in request.blocks],
        "self_study_on_holidays": request.self_study_on_holidays,
        "non_study_blocks": [_weekly(row) for row in request.non_study_blocks],
        "academy_schedules": [
            {
                "weekday": row.weekday,
                "start": clock(row.start_minute),
                "end": clock(row.end_minute),
                "travel_minutes": row.travel_minutes,
            }
            for row in request.academy_schedules
        ],
        "special_days": [
            {
                "date": str(row.date),
                "study": [[clock(start), clock(end)] for start, end in row.study],
                "self_study": [[clock(start), clock(end)] for start, end in row.self_study],
            }
            for row in request.special_days
        ],
        "exclusions": [
            {"date": str(day), "type": str(type_)}
            for day, type_ in sorted({row.date: row.type for row in request.exclusions}.items())
        ],
        "contents": [_content(content) for content in request.contents],
    }


def _weekly(row: Any) -> dict[str, Any]:
    return {
        "weekdays": [row.weekday],
        "start": clock(row.start_minute),
        "end": clock(row.end_minute),
    }


def _text(day: date | None) -> str | None:
    return None if day is None else str(day)


def _content(content: Content) -> dict[str, Any]:
    found = {
        "type": str(content.type),
        "title": f"content {content.position}",
        "allocation": str(content.allocation),
        "weekly_days": content.weekly_days,
        "range": [content.first_unit, content.last_unit],
        "minutes_per_unit": content.minutes_per_unit,
        "difficulty": None if content.difficulty is None else str(content.difficulty),
        "episodes": list(content.episode_minutes) or None,
        "wrap_up_minutes": content.wrap_up_minutes,
        "deadline": _text(content.deadline),
        "day_shift": content.day_shift,
    }
    return {key: value for key, value in found.items() if value is not None}
