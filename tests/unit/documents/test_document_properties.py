import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.documents import PlanGroupDocument, read_json
from domain.documents.document import ContentEntry
from domain.errors import InvalidInputError
from tests.unit.documents.documents import BOOK, SMALL


def field_errors(data: bytes) -> dict[str, str]:
    try:
        read_json(data)
    except InvalidInputError as error:
        return {field_error.field: field_error.message for field_error in error.errors}
    return {}


def field_errors_of(**keys: Any) -> dict[str, str]:
    return field_errors(json.dumps({**SMALL, **keys}).encode())


TEXT = st.text(st.characters(), max_size=12)  # includes surrogates
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from([*PlanGroupDocument.__dataclass_fields__, "_note"])
CONTENT_KEYS = st.sampled_from([*ContentEntry.__dataclass_fields__, "_note"])
# Hypothesis builds its Unicode tables when it first draws text on a machine. This can exceed the
# health check's limit and the deadline.
patient = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@patient
@given(st.dictionaries(KEYS | TEXT, JSON))
def test_document_of_arbitrary_values_is_read_or_raises_invalid_input(keys: dict[str, Any]) -> None:
    for field, message in field_errors_of(**keys).items():
        assert field.isprintable()
        assert message.startswith(("must ", "is ", "cannot "))


@patient
@given(st.dictionaries(CONTENT_KEYS, JSON))
def test_content_of_arbitrary_values_has_errors_only_in_its_own_fields(
    keys: dict[str, Any],
) -> None:
    assert all(
        field.startswith("contents[0]") for field in field_errors_of(contents=[{**BOOK, **keys}])
    )


@patient
@given(st.binary() | st.text(alphabet='{}[]",:1eE.-+nulNaIfity\\d8 ').map(str.encode))
def test_document_of_arbitrary_bytes_raises_invalid_input(data: bytes) -> None:
    assert field_errors(data)


@patient
@given(TEXT)
def test_time_zone_of_arbitrary_text_is_read_or_refused(name: str) -> None:
    assert list(field_errors_of(time_zone=name)) in ([], ["time_zone"])
