"""Adding and changing contents: valid calls are written, invalid ones are refused completely."""

from typing import Any

import pytest

from domain import Content
from domain.scheduling.types import Allocation, ContentType, Difficulty
from domain.services import EditedRow
from tests.integration.editing import BOOK, SERVICE, Factory, World, content, edit, refused, stored
from tests.integration.storing import columns

STRATEGY: dict[str, Any] = {"allocation": "strategy", "weekly_days": 3}


def test_content_is_added_after_the_last(session_factory: Factory, world: World) -> None:
    written = edit(session_factory, world, SERVICE.add_content, **BOOK, difficulty="top")
    added = stored(session_factory, world).contents[-1]
    assert written == EditedRow(added.id, 1)
    assert (added.position, added.type, added.difficulty, added.wrap_up_minutes) == (
        2,
        ContentType.BOOK,
        Difficulty.TOP,
        0,
    )
    assert columns(added) == columns(added) | {
        **BOOK,
        "tenant_id": world.tenant_id,
        "group_id": world.group.id,
        "subject": None,
    }


def test_content_accepts_the_values_of_enums_as_text(
    session_factory: Factory, world: World
) -> None:
    texts = {"type": "book", "allocation": "strategy", "weekly_days": 3, "difficulty": "top"}
    edit(session_factory, world, SERVICE.add_content, **(BOOK | texts))
    added = stored(session_factory, world).contents[-1]
    assert added.to_planning().difficulty is Difficulty.TOP
    assert added.to_planning().allocation is Allocation.STRATEGY


def test_strategy_content_has_a_day_shift_below_the_number_of_study_days(
    session_factory: Factory, world: World
) -> None:
    edit(session_factory, world, SERVICE.add_content, **(BOOK | STRATEGY), day_shift=5)
    content(session_factory, world, **STRATEGY, day_shift=0)
    found = stored(session_factory, world).contents
    assert [(row.day_shift, row.to_planning().day_shift) for row in found] == [
        (0, 0),
        (None, None),
        (5, 5),
    ]


def test_lecture_is_added_with_its_episodes(session_factory: Factory, world: World) -> None:
    lecture = {**BOOK, "type": ContentType.LECTURE, "first_unit": 3, "last_unit": 5}
    edit(session_factory, world, SERVICE.add_content, **lecture, episodes=[30, None, 45])
    added = stored(session_factory, world).contents[-1]
    assert [(e.unit, e.minutes) for e in added.episodes] == [(3, 30), (4, None), (5, 45)]


@pytest.mark.parametrize("each", [None, 25])
def test_lecture_is_added_with_the_same_minutes_for_all_units(
    session_factory: Factory, world: World, each: int | None
) -> None:
    lecture = {**BOOK, "type": "lecture", "first_unit": 3, "last_unit": 5}
    edit(session_factory, world, SERVICE.add_content, **lecture, minutes_per_unit=each)
    edit(session_factory, world, SERVICE.add_content, **lecture)
    found = stored(session_factory, world).contents
    assert minutes(found[2]) == {3: each, 4: each, 5: each}
    assert minutes(found[3]) == {3: None, 4: None, 5: None}
    assert found[2].minutes_per_unit is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"first_unit": 9, "last_unit": 8}, {"contents[2].range"}),
        ({"first_unit": 0}, {"contents[2].range"}),
        ({"last_unit": 10**12, "first_unit": 10**12}, {"contents[2].range"}),
        ({"allocation": Allocation.STRATEGY}, {"contents[2].weekly_days"}),
        ({"weekly_days": 3}, {"contents[2].weekly_days"}),
        ({"minutes_per_unit": 5, "difficulty": Difficulty.TOP}, {"contents[2].difficulty"}),
        ({"type": ContentType.CUSTOM}, {"contents[2].minutes_per_unit"}),
        ({"type": ContentType.LECTURE, "episodes": []}, {"contents[2].episodes"}),
        ({"type": ContentType.LECTURE, "last_unit": 30_000}, {"contents[2].range"}),
        ({"type": ContentType.LECTURE, "first_unit": 60}, {"contents[2].range"}),
        ({"type": ContentType.LECTURE, "last_unit": 2, "minutes_per_unit": 5, "episodes": [1, 2]},
         {"contents[2].episodes"}),
        ({"type": ContentType.LECTURE, "minutes_per_unit": 0}, {"contents[2].minutes_per_unit"}),
        ({"type": ContentType.LECTURE, "difficulty": Difficulty.TOP}, {"contents[2].difficulty"}),
        ({"type": ContentType.LECTURE, "last_unit": 2, "episodes": [1]}, {"contents[2].episodes"}),
        ({"type": ContentType.LECTURE, "last_unit": 2, "episodes": [1, 0]},
         {"contents[2].episodes[1]"}),
        ({"type": ContentType.LECTURE, "last_unit": 2, "episodes": [1, "2"]},
         {"contents[2].episodes[1]"}),
        ({"type": ContentType.LECTURE, "last_unit": 2, "episodes": [True, 1]},
         {"contents[2].episodes[0]"}),
        ({"title": "", "episodes": [0, 1, "2"]},
         {"contents[2].title", "contents[2].episodes[0]", "contents[2].episodes[2]"}),
        ({"episodes": [1, 2]}, {"contents[2].episodes"}),
        ({"wrap_up_minutes": -1}, {"contents[2].wrap_up_minutes"}),
        ({"day_shift": 0}, {"contents[2].day_shift"}),
        ({**STRATEGY, "day_shift": 6}, {"contents[2].day_shift"}),
        ({**STRATEGY, "day_shift": -1}, {"contents[2].day_shift"}),
        ({**STRATEGY, "day_shift": "1"}, {"contents[2].day_shift"}),
        ({"type": "film"}, {"contents[2].type"}),
        ({"title": ""}, {"contents[2].title"}),
        ({"title": None, "first_unit": None}, {"contents[2].title", "contents[2].range"}),
    ],
)  # fmt: skip
def test_content_that_breaks_a_rule_is_not_added(
    session_factory: Factory, world: World, fields: dict[str, Any], named: set[str]
) -> None:
    refused(session_factory, world, named, SERVICE.add_content, **(BOOK | fields))


def test_new_content_requires_the_fields_without_a_default(
    session_factory: Factory, world: World
) -> None:
    named = {f"contents[2].{name}" for name in ("type", "title", "allocation", "range")}
    refused(session_factory, world, named, SERVICE.add_content)


def test_plan_group_has_at_most_nine_contents(session_factory: Factory, world: World) -> None:
    for _ in range(7):
        edit(session_factory, world, SERVICE.add_content, **BOOK)
    refused(session_factory, world, {"contents"}, SERVICE.add_content, **BOOK)


def test_content_changes_only_in_the_given_fields(session_factory: Factory, world: World) -> None:
    expected = columns(stored(session_factory, world).contents[0])
    written = content(session_factory, world, last_unit=120, minutes_per_unit=7)
    assert written.version == 2
    assert columns(stored(session_factory, world).contents[0]) == expected | {
        "last_unit": 120,
        "minutes_per_unit": 7,
        "version": 2,
    }


def minutes(lecture: Content) -> dict[int, int | None]:
    return {episode.unit: episode.minutes for episode in lecture.episodes}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"last_unit": 5}, {1: 30, 2: None, 3: 40, 4: None, 5: None}),
        ({"last_unit": 1}, {1: 30}),
        ({"first_unit": 3, "last_unit": 4}, {3: 40, 4: None}),
        ({"first_unit": 11, "last_unit": 12}, {11: None, 12: None}),
        ({"last_unit": 4, "episodes": None}, {1: 30, 2: None, 3: 40, 4: None}),
        ({"last_unit": 4, "minutes_per_unit": None}, {1: 30, 2: None, 3: 40, 4: None}),
        ({"last_unit": 4, "minutes_per_unit": 25}, {1: 25, 2: 25, 3: 25, 4: 25}),
        ({"minutes_per_unit": 25}, {1: 25, 2: 25, 3: 25}),
        ({"title": "듣기"}, {1: 30, 2: None, 3: 40}),
        ({"type": "book"}, {}),
        ({"type": "custom", "minutes_per_unit": 20}, {}),
    ],
)
def test_lecture_keeps_the_minutes_of_the_units_that_stay(
    session_factory: Factory, world: World, fields: dict[str, Any], expected: dict[int, int | None]
) -> None:
    assert content(session_factory, world, "unplanned", **fields).version == 2
    assert minutes(stored(session_factory, world).contents[1]) == expected


@pytest.mark.parametrize("each", [None, 25])
def test_content_that_becomes_a_lecture_has_one_episode_per_unit(
    session_factory: Factory, world: World, each: int | None
) -> None:
    added = edit(session_factory, world, SERVICE.add_content, **BOOK, minutes_per_unit=4)
    edit(
        session_factory,
        world,
        SERVICE.change_content,
        content_id=added.id,
        expected_version=1,
        type="lecture",
        first_unit=2,
        last_unit=3,
        minutes_per_unit=each,
    )
    found = stored(session_factory, world).contents[2]
    assert (minutes(found), found.minutes_per_unit) == ({2: each, 3: each}, None)


def test_episodes_are_replaced_and_increment_the_version_of_the_content(
    session_factory: Factory, world: World
) -> None:
    changes: list[tuple[int, list[int | None]]] = [(1, [30, 31, 40]), (2, [31, 40, None, 5])]
    for version, (first, episodes) in enumerate(changes, 1):
        written = content(
            session_factory,
            world,
            "unplanned",
            expected_version=version,
            first_unit=first,
            last_unit=first + len(episodes) - 1,
            episodes=episodes,
        )
        assert written.version == version + 1
        found = stored(session_factory, world).contents[1].episodes
        assert [(e.unit, e.minutes) for e in found] == list(enumerate(episodes, first))


@pytest.mark.parametrize(
    ("which", "fields", "named"),
    [
        ("planned", {"first_unit": 101}, {"contents[0].range"}),
        ("planned", {"difficulty": Difficulty.TOP}, {"contents[0].difficulty"}),
        ("planned", {"minutes_per_unit": 0}, {"contents[0].minutes_per_unit"}),
        ("planned", {"episodes": [1]}, {"contents[0].episodes"}),
        ("planned", {"title": None}, {"contents[0].title"}),
        ("planned", {"day_shift": 0}, {"contents[0].day_shift"}),
        ("planned", {**STRATEGY, "day_shift": 6}, {"contents[0].day_shift"}),
        ("planned", {"allocation": "weakness", "day_shift": 2}, {"contents[0].day_shift"}),
        ("unplanned", {"last_unit": 30_000}, {"contents[1].range"}),
        ("unplanned", {"first_unit": 9}, {"contents[1].range"}),
        ("unplanned", {"last_unit": 4, "episodes": [1, 2, 3]}, {"contents[1].episodes"}),
        ("unplanned", {"episodes": [1, 2, 3, 4]}, {"contents[1].episodes"}),
        ("unplanned", {"episodes": [1]}, {"contents[1].episodes"}),
        ("unplanned", {"episodes": [1, 2, 2000]}, {"contents[1].episodes[2]"}),
        ("unplanned", {"episodes": 5}, {"contents[1].episodes"}),
        ("unplanned", {"episodes": []}, {"contents[1].episodes"}),
        ("unplanned", {"minutes_per_unit": 2000}, {"contents[1].minutes_per_unit"}),
        ("unplanned", {"minutes_per_unit": 5, "episodes": [1, 2, 3]}, {"contents[1].episodes"}),
    ],
)
def test_content_change_that_breaks_a_rule_is_refused(
    *, session_factory: Factory, world: World, which: str, fields: dict[str, Any], named: set[str]
) -> None:
    content_id = getattr(world, which).id
    refused(
        session_factory,
        world,
        named,
        SERVICE.change_content,
        content_id=content_id,
        expected_version=1,
        **fields,
    )
