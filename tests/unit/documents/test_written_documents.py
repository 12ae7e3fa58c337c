"""A document can be written, by itself and by pydantic, and read again as the same document."""

import json
from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from domain.documents import PlanGroupDocument, read_json
from domain.documents.document import (
    AcademyScheduleEntry,
    BlockEntry,
    ContentEntry,
    CycleEntry,
    ExclusionEntry,
    FactorsEntry,
    NonStudyBlockEntry,
    PeriodEntry,
    SpecialDayEntry,
)
from domain.documents.pydantic_schema import PlanGroupModel
from domain.scheduling.types import (
    Allocation,
    Balance,
    BlockKind,
    ContentType,
    Difficulty,
    ExclusionType,
    Level,
    Strategy,
)
from tests.unit.documents.documents import BOOK, EXAMPLE, SMALL

EXAMPLES = [
    json.loads(EXAMPLE),
    SMALL,
    {
        **SMALL,
        "contents": [{**BOOK, "type": "lecture", "minutes_per_unit": None, "episodes": [None, 30]}],
    },
]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NAME = TEXT.filter(str.strip)
DATE = st.dates()
COUNT = st.integers(0, 2**31 - 1)
MINUTES = st.integers(1, 1440)
ANY_MINUTES = st.integers(0, 1440)
FACTOR = st.decimals("0.000001", 10, places=6) | st.integers(1, 10).map(Decimal)
SPAN = st.tuples(st.integers(0, 1439), MINUTES).filter(lambda span: span[0] < span[1])
RANGE = st.tuples(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
WEEKDAYS = st.sets(st.integers(0, 6), min_size=1).map(sorted).map(tuple)


def listed(item: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(item, max_size=3).map(tuple)


def entries(kind: type[Any], /, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for entries of a kind, of which every field has a strategy."""
    assert given.keys() == {field.name for field in fields(kind)}
    return st.builds(kind, **given)


def spans(kind: type[Any], /, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return SPAN.flatmap(
        lambda span: entries(kind, start=st.just(span[0]), end=st.just(span[1]), **given)
    )


def without_both(content: ContentEntry) -> bool:
    return content.episodes is None or content.minutes_per_unit is None


CONTENTS = entries(
    ContentEntry,
    type=st.sampled_from(ContentType),
    title=NAME,
    subject=st.none() | TEXT,
    allocation=st.sampled_from(Allocation),
    weekly_days=st.none() | COUNT,
    range=RANGE,
    minutes_per_unit=st.none() | MINUTES,
    difficulty=st.none() | st.sampled_from(Difficulty),
    episodes=st.none() | listed(st.none() | MINUTES),
    wrap_up_minutes=ANY_MINUTES,
    deadline=st.none() | DATE,
    day_shift=st.none() | st.integers(0, 29),
).filter(without_both)
DOCUMENTS = entries(
    PlanGroupDocument,
    name=NAME,
    purpose=st.none() | TEXT,
    period=entries(PeriodEntry, start=DATE, end=DATE),
    target_date=st.none() | DATE,
    time_zone=st.sampled_from(["Asia/Seoul", "UTC", "America/Argentina/Ushuaia"]),
    cycle=entries(CycleEntry, study_days=COUNT, review_days=COUNT),
    strategy=st.sampled_from(Strategy),
    balance=st.sampled_from(Balance),
    shortest_session=st.integers(0, 240),
    longest_sitting=MINUTES,
    pause_minutes=st.integers(0, 120),
    buffer_days=st.integers(0, 730),
    level=st.sampled_from(Level),
    factors=entries(
        FactorsEntry,
        **dict.fromkeys(("level", "weakness", "strategy", "review"), st.none() | FACTOR),
    ),
    blocks=listed(spans(BlockEntry, kind=st.sampled_from(BlockKind), weekdays=WEEKDAYS)),
    self_study_on_holidays=st.booleans(),
    non_study_blocks=listed(spans(NonStudyBlockEntry, label=st.none() | TEXT, weekdays=WEEKDAYS)),
    special_days=listed(
        entries(SpecialDayEntry, date=DATE, study=listed(SPAN), self_study=listed(SPAN))
    ),
    academy_schedules=listed(
        spans(
            AcademyScheduleEntry,
            weekday=st.integers(0, 6),
            name=st.none() | TEXT,
            subject=st.none() | TEXT,
            travel_minutes=ANY_MINUTES,
        )
    ),
    exclusions=listed(
        entries(
            ExclusionEntry, date=DATE, type=st.sampled_from(ExclusionType), reason=st.none() | TEXT
        )
    ),
    contents=listed(CONTENTS),
)
# Hypothesis builds its Unicode tables when it first draws text on a machine.
patient = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None
)


class Order(BaseModel):
    """A model of an application that contains a document."""

    document: PlanGroupDocument


def require_same(document: PlanGroupDocument) -> None:
    """Assert that each form in which a document can be written is read as the same document."""
    mapping = document.to_mapping()
    text = json.dumps(mapping)
    assert PlanGroupDocument.from_mapping(mapping) == read_json(text.encode()) == document
    model, adapter = PlanGroupModel(document), TypeAdapter(PlanGroupDocument)
    assert PlanGroupModel.model_validate_json(model.model_dump_json()).root == document
    for mode in ("python", "json"):
        assert PlanGroupModel.model_validate(model.model_dump(mode=mode)).root == document
        assert adapter.validate_python(adapter.dump_python(document)) == document
    assert adapter.validate_json(adapter.dump_json(document)) == document
    order = Order(document=document)
    assert Order.model_validate_json(order.model_dump_json()) == order
    assert Order.model_validate(order.model_dump()) == order


@pytest.mark.parametrize("fields", EXAMPLES, ids=lambda given: given["name"])
def test_example_is_written_and_read_as_the_same_document(fields: dict[str, Any]) -> None:
    require_same(PlanGroupDocument.from_mapping(fields))


@patient
@given(DOCUMENTS)
def test_document_is_written_and_read_as_the_same_document(document: PlanGroupDocument) -> None:
    require_same(document)


@pytest.mark.parametrize("given", ["0.4", 1, 10, 2.50, Decimal("1E+1"), "1.000000", "0.000001"])
def test_factor_is_written_as_a_text_that_is_read_again(given: Any) -> None:
    document = PlanGroupDocument.from_mapping({**SMALL, "factors": {"review": given}})
    text = document.to_mapping()["factors"]["review"]
    assert Decimal(text) == document.factors.review == Decimal(str(given))
    require_same(document)


def test_times_and_dates_are_written_as_people_write_them() -> None:
    day = {"date": date(2025, 1, 7), "study": [["09:05", "24:00"]]}
    block = {"kind": "study", "start": "00:00", "end": "24:00", "weekdays": [1]}
    period = {"start": date(2025, 1, 6), "end": date(2025, 1, 6) + timedelta(6)}
    document = PlanGroupDocument.from_mapping(
        {"name": "봄", "period": period, "blocks": [block], "special_days": [day]}
    )
    written = document.to_mapping()
    assert written["period"] == {"start": "2025-01-06", "end": "2025-01-12"}
    assert written["blocks"] == [block]
    assert written["special_days"] == [
        {"date": "2025-01-07", "study": [["09:05", "24:00"]], "self_study": []}
    ]


def test_model_without_validation_is_written_as_it_is() -> None:
    assert Order.model_construct(document=None).model_dump() == {"document": None}
