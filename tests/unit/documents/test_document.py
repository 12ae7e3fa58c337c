import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.documents import PlanGroupDocument, read_json
from domain.errors import InvalidInputError
from domain.scheduling.types import Balance, BlockKind, Difficulty, ExclusionType, Level, Strategy
from domain.values import MAX_INTEGER
from tests.unit.documents.documents import EXAMPLE

PERIOD = {"start": "2025-01-01", "end": "2025-01-28"}
BLOCK = {"kind": "study", "start": "10:00", "end": "19:00"}
HOLIDAY = {"date": "2025-01-15", "type": "휴가"}
CLASS = {"weekday": 3, "start": "14:00", "end": "17:00"}
BOOK = {"type": "book", "title": "수학", "allocation": "weakness", "range": [1, 200]}
MORNING = ["10:00", "12:00"]


def special(**keys: Any) -> dict[str, Any]:
    """Return the field of a document with one special day."""
    return {"special_days": [{"date": "2025-01-15", **keys}]}


def read(**keys: Any) -> PlanGroupDocument:
    return read_json(json.dumps({"name": "중간고사", "period": PERIOD, **keys}).encode())


def field_errors(data: bytes | str) -> dict[str, str]:
    try:
        read_json(data.encode() if isinstance(data, str) else data)
    except InvalidInputError as error:
        return {field_error.field: field_error.message for field_error in error.errors}
    return {}


def field_errors_of(**keys: Any) -> dict[str, str]:
    return field_errors(json.dumps({"name": "중간고사", "period": PERIOD, **keys}))


def test_example_document_is_read() -> None:
    document = read_json(EXAMPLE)
    assert (document.name, document.time_zone) == ("1학기 중간고사 대비", "Asia/Seoul")
    assert (document.period.start, document.period.end) == (date(2025, 1, 1), date(2025, 1, 28))
    assert [block.kind for block in document.blocks] == [BlockKind.STUDY, BlockKind.SELF_STUDY]
    assert (document.blocks[0].start, document.blocks[0].end) == (600, 1140)
    assert document.academy_schedules[0].travel_minutes == 60
    assert document.exclusions[0].type is ExclusionType.VACATION
    assert document.strategy is Strategy.EVEN
    assert [content.range[1] for content in document.contents] == [200, 150, 30, 180]


@pytest.mark.parametrize("data", ["{}", None, {}, Path("group.json"), io.BytesIO(b"{}"), 5])
def test_read_json_refuses_anything_but_bytes(data: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_json(data)
    assert refused.value.field == "data"


def test_document_has_defaults_for_missing_keys() -> None:
    document = read()
    assert (document.cycle.study_days, document.cycle.review_days) == (6, 1)
    assert (document.level, document.time_zone) == (Level.MIDDLE, "Asia/Seoul")
    assert (document.strategy, document.balance) == (Strategy.BALANCED, Balance.ROOM)
    assert set(asdict(document.factors).values()) == {None}
    assert (document.blocks, document.contents) == ((), ())
    assert read(blocks=[BLOCK]).blocks[0].weekdays == (0, 1, 2, 3, 4, 5, 6)


def test_factors_are_exact_as_numbers_and_as_text() -> None:
    text = (
        '{"name": "a", "period": %s, "factors": {"level": 0.85, "weakness": "1.20", "review": 1}}'
    )
    factors = read_json((text % json.dumps(PERIOD)).encode()).factors
    assert (factors.level, factors.weakness) == (Decimal("0.85"), Decimal("1.20"))
    assert (factors.strategy, factors.review) == (None, Decimal(1))


def test_block_may_end_at_midnight() -> None:
    assert read(blocks=[{**BLOCK, "end": "24:00"}]).blocks[0].end == 1440


@pytest.mark.parametrize("value", ["기초", "개념", "foundation"])
def test_difficulty_is_read_in_korean_and_in_english(value: str) -> None:
    content = read(contents=[{**BOOK, "difficulty": value}]).contents[0]
    assert content.difficulty is Difficulty.FOUNDATION


def test_episode_minutes_may_be_null() -> None:
    lecture = {**BOOK, "type": "lecture", "range": [1, 3], "episodes": [30, None, 45]}
    assert read(contents=[lecture]).contents[0].episodes == (30, None, 45)


def test_special_day_has_spans_of_both_kinds_or_none() -> None:
    spans = {"study": [MORNING, ["13:30", "24:00"]], "self_study": [["00:00", "10:00"]]}
    [day] = read(**special(**spans)).special_days
    assert (day.date, day.study, day.self_study) == (
        date(2025, 1, 15),
        ((600, 720), (810, 1440)),
        ((0, 600),),
    )
    [empty] = read(**special()).special_days
    assert (empty.study, empty.self_study) == ((), ())
    assert read().special_days == ()


def test_keys_with_a_leading_underscore_are_ignored_at_every_level() -> None:
    document = read(_note=1, contents=[{**BOOK, "_note": {"deep": True}}])
    assert len(document.contents) == 1


def test_byte_order_mark_is_accepted() -> None:
    assert read_json(b"\xef\xbb\xbf" + EXAMPLE) == read_json(EXAMPLE)


@pytest.mark.parametrize(
    ("keys", "field", "message"),
    [
        ({"name": ""}, "name", "must not be empty"),
        ({"name": " "}, "name", "must not be empty"),
        ({"name": "가" * 201}, "name", "must be at most 200 characters long"),
        ({"name": "a\0b"}, "name", "must not contain NUL characters or unpaired surrogates"),
        ({"name": "\ud800"}, "name", "must not contain NUL characters or unpaired surrogates"),
        ({"name": None}, "name", "must be text"),
        ({"nmae": "a"}, "nmae", "is not a known key"),
        ({"\x1b[2J": 1}, "\\x1b[2J", "is not a known key"),
        ({"period": {"start": "2025-01-01"}}, "period.end", "is required"),
        ({"period": {**PERIOD, "start": "2025-02-30"}}, "period.start", "must be a date"),
        ({"period": {**PERIOD, "start": "20250101"}}, "period.start", "must be a date"),
        ({"period": [PERIOD]}, "period", "must be an object"),
        ({"target_date": 20250315}, "target_date", "must be a date"),
        ({"time_zone": "Asia/Busan"}, "time_zone", "must be the name of a time zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone", "must be the name of a time zone"),
        ({"cycle": {"study_days": 1 << 31}}, "cycle.study_days", "must be at most 2147483647"),
        ({"cycle": {"review_days": -1}}, "cycle.review_days", "must be at least 0"),
        ({"cycle": {"study_days": True}}, "cycle.study_days", "must be a whole number"),
        ({"cycle": {"study_days": 1.5}}, "cycle.study_days", "must be a whole number"),
        ({"level": "중"}, "level", "must be one of high, middle, low"),
        ({"factors": {"level": 0}}, "factors.level", "must be a number greater than 0"),
        ({"factors": {"level": True}}, "factors.level", "must be a number greater than 0"),
        ({"factors": {"review": "1e3"}}, "factors.review", "must be a number greater than 0"),
        ({"factors": {"level": float("nan")}}, "factors.level", "must be a finite number"),
        ({"factors": {"level": float("inf")}}, "factors.level", "must be a finite number"),
        ({"strategy": "weighted"}, "strategy", "must be one of even, balanced"),
        ({"strategy": None}, "strategy", "must be one of even, balanced"),
        ({"balance": "pages"}, "balance", "must be one of room, minutes"),
        ({"shortest_session": -1}, "shortest_session", "must be at least 0"),
        ({"shortest_session": 241}, "shortest_session", "must be at most 240"),
        ({"longest_sitting": 0}, "longest_sitting", "must be at least 1"),
        ({"longest_sitting": 1441}, "longest_sitting", "must be at most 1440"),
        ({"pause_minutes": 121}, "pause_minutes", "must be at most 120"),
        ({"pause_minutes": 1.5}, "pause_minutes", "must be a whole number"),
        ({"buffer_days": 731}, "buffer_days", "must be at most 730"),
        ({"buffer_days": None}, "buffer_days", "must be a whole number"),
        ({"contents": [{**BOOK, "day_shift": 30}]}, "contents[0].day_shift", "must be at most 29"),
        ({"contents": [{**BOOK, "day_shift": -1}]}, "contents[0].day_shift", "must be at least 0"),
        (
            {"contents": [{**BOOK, "day_shift": "1"}]},
            "contents[0].day_shift",
            "must be a whole number",
        ),
        ({"self_study_on_holidays": 0}, "self_study_on_holidays", "must be true or false"),
        ({"blocks": {}}, "blocks", "must be a list"),
        ({"blocks": [BLOCK, "x"]}, "blocks[1]", "must be an object"),
        ({"blocks": [{**BLOCK, "kind": "play"}]}, "blocks[0].kind", "must be one of study"),
        ({"blocks": [{**BLOCK, "start": "9:00"}]}, "blocks[0].start", "must be a time"),
        ({"blocks": [{**BLOCK, "start": "24:00"}]}, "blocks[0].start", "must be earlier than"),
        ({"blocks": [{**BLOCK, "end": "24:01"}]}, "blocks[0].end", "must be a time"),
        ({"blocks": [{**BLOCK, "end": "10:00"}]}, "blocks[0].end", "must be later than start"),
        (
            {"blocks": [{**BLOCK, "start": "22:00", "end": "01:00"}]},
            "blocks[0].end",
            "must be later than start; divide a span past midnight into one until 24:00",
        ),
        ({"blocks": [{**BLOCK, "weekdays": []}]}, "blocks[0].weekdays", "must have at least"),
        ({"blocks": [{**BLOCK, "weekdays": [1, 1]}]}, "blocks[0].weekdays", "must have at least"),
        ({"blocks": [{**BLOCK, "weekdays": [7]}]}, "blocks[0].weekdays[0]", "must be at most 6"),
        ({"non_study_blocks": [{"start": "12:00"}]}, "non_study_blocks[0].end", "is required"),
        (
            {"academy_schedules": [{**CLASS, "travel_minutes": 1441}]},
            "academy_schedules[0].travel_minutes",
            "must be at most 1440",
        ),
        ({"exclusions": [{"date": "2025-01-15"}]}, "exclusions[0].type", "is required"),
        ({"special_days": {}}, "special_days", "must be a list"),
        ({"special_days": [None]}, "special_days[0]", "must be an object"),
        ({"special_days": [{}]}, "special_days[0].date", "is required"),
        ({"special_days": [{"date": "1/15"}]}, "special_days[0].date", "must be a date"),
        (special(kind="study"), "special_days[0].kind", "is not a known key"),
        (special(study=None), "special_days[0].study", "must be a list"),
        (special(study="10:00"), "special_days[0].study", "must be a list"),
        (special(study=[MORNING, "10:00"]), "special_days[0].study[1]", "must be [start, end]"),
        (special(study=[["10:00"]]), "special_days[0].study[0]", "must be [start, end], two"),
        (special(study=[[600, 720]]), "special_days[0].study[0]", "must be [start, end], two"),
        (special(study=[["9:00", "12:00"]]), "special_days[0].study[0]", "must be [start, end]"),
        (special(study=[["10:00", "24:01"]]), "special_days[0].study[0]", "must be [start, end]"),
        (special(study=[["10:00", "10:00"]]), "special_days[0].study[0]", "must start before"),
        (
            special(self_study=[MORNING, ["22:00", "01:00"]]),
            "special_days[0].self_study[1]",
            "must start before it ends, both on the same day; divide a span past midnight into",
        ),
        ({"exclusions": [{**HOLIDAY, "type": "x"}]}, "exclusions[0].type", "must be one of 휴가"),
        ({"contents": [{**BOOK, "title": " "}]}, "contents[0].title", "must not be empty"),
        ({"contents": [{**BOOK, "range": [1]}]}, "contents[0].range", "must be [first, last]"),
        ({"contents": [{**BOOK, "range": [1, True]}]}, "contents[0].range", "must be [first, "),
        (
            {"contents": [{**BOOK, "range": [1, MAX_INTEGER + 1]}]},
            "contents[0].range",
            "must be [first, last]",
        ),
        (
            {"contents": [{**BOOK, "minutes_per_unit": 1441}]},
            "contents[0].minutes_per_unit",
            "must be at most 1440",
        ),
        (
            {"contents": [{**BOOK, "episodes": [30, 0]}]},
            "contents[0].episodes[1]",
            "must be at least 1",
        ),
        (
            {"contents": [{**BOOK, "minutes_per_unit": 30, "episodes": [30]}]},
            "contents[0].episodes",
            "cannot be combined with minutes_per_unit",
        ),
    ],
)
def test_invalid_value_is_reported_under_the_path_of_its_field(
    keys: Mapping[str, Any], field: str, message: str
) -> None:
    found = field_errors_of(**keys)
    assert list(found) == [field]
    assert found[field].startswith(message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b'{"name": "\xff"}', "is not UTF-8 at byte 10"),
        (b"[]", "must be an object"),
        (b"null", "must be an object"),
        (b'{"name": }', "is not JSON: Expecting value (line 1, column 10)"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 100_000, "is nested too deeply"),
    ],
)
def test_document_that_is_not_a_json_object_is_refused(data: bytes, message: str) -> None:
    assert field_errors(data) == {"document": message}


def test_duplicate_key_is_reported_under_its_path() -> None:
    text = (
        '{"name": "a", "period": {"start": "2025-01-01", "end": "2025-01-02", "end": "2025-01-03"}}'
    )
    assert field_errors(text) == {"period.end": "is given twice"}


def test_path_of_a_deeply_nested_key_is_shortened_at_its_start() -> None:
    key = "k" * 40
    text = f'{{"{key}":' * 100 + '{"a": 1, "a": 2}' + "}" * 100
    [field] = [
        field for field, message in field_errors(text).items() if message == "is given twice"
    ]
    assert (len(field), field[0]) == (200, "…")
    assert field.endswith(f"{key}.{key}.a")


def test_numbers_that_are_too_large_are_refused() -> None:
    nines = "9" * 5000
    text = '{"level": 1e99999999999999999999, "review": 1E+999999, "weakness": ' + nines + "}"
    found = field_errors(f'{{"factors": {text}, "cycle": {{"study_days": {nines}}}}}')
    assert found["factors.level"] == "must be a finite number"
    assert found["factors.review"].startswith("must be a number greater than 0")
    assert found["factors.weakness"].startswith("must be a number greater than 0")
    assert found["cycle.study_days"] == "must be at most 2147483647"


def test_field_errors_are_reported_together_in_field_order() -> None:
    bad = {"type": "film", "allocation": "weakness", "range": "1-9", "extra": 1}
    found = field_errors(json.dumps({"period": {}, "contents": [BOOK, bad]}))
    assert list(found) == [
        "name",
        "period.start",
        "period.end",
        "contents[1].type",
        "contents[1].title",
        "contents[1].range",
        "contents[1].extra",
    ]
