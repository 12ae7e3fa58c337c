"""Documents that are read from Python mappings, directly and with pydantic."""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.documents import PlanGroupDocument, read_json
from domain.documents.pydantic_schema import PlanGroupModel
from domain.errors import InvalidInputError
from tests.unit.documents.documents import BOOK, EXAMPLE, SMALL
from tests.unit.documents.test_document_properties import CONTENT_KEYS, JSON, KEYS, patient


def field_errors_of(fields: Any) -> dict[str, str]:
    try:
        PlanGroupDocument.from_mapping(fields)
    except InvalidInputError as error:
        return {field_error.field: field_error.message for field_error in error.errors}
    return {}


def test_mapping_from_json_gives_the_same_document_as_the_text() -> None:
    assert PlanGroupDocument.from_mapping(json.loads(EXAMPLE)) == read_json(EXAMPLE)


def test_mapping_may_have_dates_and_tuples() -> None:
    period = {"start": date(2025, 1, 6), "end": date(2025, 1, 12)}
    weekdays = {"kind": "study", "start": "10:00", "end": "12:00", "weekdays": (1, 2)}
    document = PlanGroupDocument.from_mapping({**SMALL, "period": period, "blocks": (weekdays,)})
    assert document.period.end == date(2025, 1, 12)
    assert document.blocks[0].weekdays == (1, 2)


def test_mapping_with_a_datetime_instead_of_a_date_is_refused() -> None:
    period = {"start": datetime(2025, 1, 6), "end": "2025-01-12"}  # noqa: DTZ001 - any datetime is refused
    assert field_errors_of({**SMALL, "period": period}) == {
        "period.start": "must be a date such as 2025-01-31"
    }


@pytest.mark.parametrize(("number", "factor"), [(1.2, "1.2"), (0.1, "0.1"), (1e-6, "0.000001")])
def test_mapping_float_factor_has_the_value_of_its_decimal_text(number: float, factor: str) -> None:
    document = PlanGroupDocument.from_mapping({**SMALL, "factors": {"review": number}})
    assert document.factors.review == Decimal(factor)


@pytest.mark.parametrize("number", [0.1 + 0.2, 1e-7, float("nan"), float("inf"), -1.0, 10.000001])
def test_mapping_float_factor_is_refused_unless_positive_with_at_most_six_decimals(
    number: float,
) -> None:
    assert list(field_errors_of({**SMALL, "factors": {"review": number}})) == ["factors.review"]


@pytest.mark.parametrize("fields", [None, 7, "text", [], b"{}"])
def test_value_that_is_not_a_mapping_is_refused(fields: Any) -> None:
    assert field_errors_of(fields) == {"document": "must be an object"}


def test_mapping_keys_that_are_not_text_are_refused_by_name() -> None:
    assert field_errors_of({**SMALL, 7: 1, ("a", "b"): 2}) == {
        "7": "is not a known key",
        "('a', 'b')": "is not a known key",
    }


def pydantic_errors_of(fields: Any) -> dict[str, str]:
    try:
        PlanGroupModel.model_validate(fields)
    except pydantic.ValidationError as error:
        return {_path(item["loc"]): item["msg"] for item in error.errors()}
    return {}


def _path(location: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".") or "document"


def test_pydantic_model_reads_the_same_document() -> None:
    fields = json.loads(EXAMPLE)
    assert PlanGroupModel.model_validate(fields).root == read_json(EXAMPLE)
    assert PlanGroupModel.model_validate_json(EXAMPLE).root == read_json(EXAMPLE)
    assert PlanGroupModel.model_validate(read_json(EXAMPLE)).root == read_json(EXAMPLE)
    adapter = pydantic.TypeAdapter(PlanGroupDocument)
    assert adapter.validate_python(fields) == read_json(EXAMPLE)


@pytest.mark.parametrize("fields", [{}, [], {**SMALL, "contents": [{**BOOK, "range": [1]}, 7]}])
def test_pydantic_model_reports_the_same_errors(fields: Any) -> None:
    assert field_errors_of(fields) != {}
    assert pydantic_errors_of(fields) == field_errors_of(fields)


@patient
@given(st.dictionaries(KEYS, JSON), st.dictionaries(CONTENT_KEYS, JSON))
def test_pydantic_model_reports_the_same_errors_for_arbitrary_values(
    keys: dict[str, Any], content: dict[str, Any]
) -> None:
    fields = {**SMALL, "contents": [{**BOOK, **content}], **keys}
    assert pydantic_errors_of(fields) == field_errors_of(fields)


def test_pydantic_json_schema_has_every_field() -> None:
    schema = PlanGroupModel.model_json_schema()
    assert set(schema["properties"]) == set(PlanGroupDocument.__dataclass_fields__)
    assert schema["required"] == ["name", "period"]
    content = schema["properties"]["contents"]["items"]
    assert content["required"] == ["type", "title", "allocation", "range"]
    assert content["properties"]["type"]["enum"] == ["book", "lecture", "custom"]


def test_pydantic_json_schema_allows_notes_in_every_object() -> None:
    schema = PlanGroupModel.model_json_schema()
    found = [schema, schema["properties"]["period"], schema["properties"]["contents"]["items"]]
    for described in found:
        assert described["patternProperties"] == {"^_": {}}
        assert described["additionalProperties"] is False
    assert field_errors_of({**SMALL, "_note": 1, "note": 1}) == {"note": "is not a known key"}


def test_pydantic_json_schema_has_the_limits_of_the_settings_of_the_strategy() -> None:
    schema = PlanGroupModel.model_json_schema()["properties"]
    assert schema["strategy"] == {"type": "string", "enum": ["even", "balanced"]}
    assert schema["balance"] == {"type": "string", "enum": ["room", "minutes"]}
    limits = {
        "shortest_session": (0, 240),
        "longest_sitting": (1, 1440),
        "pause_minutes": (0, 120),
        "buffer_days": (0, 730),
    }
    found = {name: (schema[name]["minimum"], schema[name]["maximum"]) for name in limits}
    assert found == limits
    shift = schema["contents"]["items"]["properties"]["day_shift"]
    assert shift["anyOf"] == [{"type": "integer", "minimum": 0, "maximum": 29}, {"type": "null"}]
