"""Editing a group's blocks, its non-study blocks, its special days and its own exclusions."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa

from domain import Block, Exclusion, NonStudyBlock, UnitOfWork
from domain.errors import TimeEntryNotFoundError
from domain.models import SpecialDay
from domain.scheduling.types import BlockKind, ExclusionType
from domain.services import GroupTimeService, RowVersion
from tests.integration.editing import Factory, World, edit, everything, new_world, refused
from tests.integration.storing import columns

SERVICE = GroupTimeService
SPAN: dict[str, Any] = {"weekday": 6, "start_minute": 1200, "end_minute": 1440}
# The class of each kind of entry, its name in methods, its table, its attribute of ``World``, and
# the fields of a new entry.
KINDS: list[tuple[type[Any], str, str, str, dict[str, Any]]] = [
    (Block, "block", "blocks", "block", {**SPAN, "kind": BlockKind.SELF_STUDY}),
    (NonStudyBlock, "non_study_block", "non_study_blocks", "lunch", {**SPAN, "label": "저녁"}),
    (
        SpecialDay,
        "special_day",
        "special_days",
        "special_day",
        {"study": ((480, 600), (660, 720)), "self_study": ((0, 1440),), "date": date(2025, 1, 19)},
    ),
    (
        Exclusion,
        "exclusion",
        "exclusions",
        "own_exclusion",
        {"date": date(2025, 1, 19), "type": ExclusionType.DESIGNATED_HOLIDAY, "reason": "설날"},
    ),
]
each_kind = pytest.mark.parametrize(
    ("kind", "entry", "table", "attribute", "fields"), KINDS, ids=[kind[1] for kind in KINDS]
)


def method(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(SERVICE, name)
    return found


def stored(factory: Factory, kind: type[Any], row: RowVersion) -> dict[str, Any]:
    with factory() as session:
        return columns(session.scalars(sa.select(kind).where(kind.id == row.id)).one())


@each_kind
def test_entry_is_added_changed_and_removed(
    *,
    session_factory: Factory,
    world: World,
    kind: type[Any],
    entry: str,
    table: str,
    attribute: str,
    fields: dict[str, Any],
) -> None:
    added = edit(session_factory, world, method(f"add_{entry}"), **fields)
    expected = {
        **fields,
        "id": added.id,
        "tenant_id": world.tenant_id,
        "group_id": world.group.id,
        "version": 1,
    }
    found = stored(session_factory, kind, added)
    assert found == found | expected
    named = {f"{entry.removeprefix('non_study_')}_id": added.id}
    old = columns(getattr(world, attribute))
    change = {name: old[name] for name in list(fields)[:2]}
    changed = edit(
        session_factory, world, method(f"change_{entry}"), **named, expected_version=1, **change
    )
    assert (changed.id, changed.version) == (added.id, 2)
    assert stored(session_factory, kind, added) == found | change | {"version": 2}
    before = everything(session_factory)[table]
    edit(session_factory, world, method(f"remove_{entry}"), **named, expected_version=2)
    after = everything(session_factory)[table]
    assert [row for row in before if row not in after] == [
        row for row in before if str(added.id) in row
    ]


@each_kind
def test_new_entry_requires_the_fields_without_a_default(
    *,
    session_factory: Factory,
    world: World,
    kind: type[Any],
    entry: str,
    table: str,
    attribute: str,
    fields: dict[str, Any],
) -> None:
    index = {"blocks": 7, "non_study_blocks": 7, "special_days": 1, "exclusions": 1}[table]
    names = {"start_minute": "start", "end_minute": "end"}
    optional = {"label", "reason", "study", "self_study"}
    needed = {names.get(name, name) for name in fields if name not in optional}
    named = {f"{table}[{index}].{name}" for name in needed}
    refused(session_factory, world, named, method(f"add_{entry}"))
    assert kind.__tablename__ == table
    assert getattr(world, attribute)


@pytest.mark.parametrize("entry", ["block", "non_study_block"])
@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"weekday": 7}, "weekday"),
        ({"weekday": -1}, "weekday"),
        ({"start_minute": 1440}, "start"),
        ({"end_minute": 1441}, "start"),
        ({"start_minute": -1}, "start"),
        ({"end_minute": 1200}, "start"),
        ({"weekday": "1"}, "weekday"),
        ({"end_minute": None}, "end"),
        ({"start_minute": 10**20}, "start"),
    ],
)
def test_span_that_breaks_a_rule_is_refused(
    *, session_factory: Factory, world: World, entry: str, fields: dict[str, Any], name: str
) -> None:
    extra = {"kind": "study"} if entry == "block" else {}
    refused(
        session_factory,
        world,
        {f"{entry}s[7].{name}"},
        method(f"add_{entry}"),
        **(SPAN | extra | fields),
    )
    row = world.block if entry == "block" else world.lunch
    span = {"weekday": 0, "start_minute": 1200, "end_minute": 1440}
    refused(
        session_factory,
        world,
        {f"{entry}s[0].{name}"},
        method(f"change_{entry}"),
        block_id=row.id,
        expected_version=1,
        **(span | fields),
    )


@pytest.mark.parametrize("day", [date(2025, 1, 5), date(2025, 1, 20), date(2024, 1, 9)])
def test_exclusion_outside_the_period_is_refused(
    session_factory: Factory, world: World, day: date
) -> None:
    refused(
        session_factory,
        world,
        {"exclusions[1].date"},
        method("add_exclusion"),
        date=day,
        type="other",
    )
    refused(
        session_factory,
        world,
        {"exclusions[0].date"},
        method("change_exclusion"),
        exclusion_id=world.own_exclusion.id,
        expected_version=1,
        date=day,
    )


def test_unknown_kind_or_type_is_refused(session_factory: Factory, world: World) -> None:
    refused(session_factory, world, {"blocks[7].kind"}, method("add_block"), **SPAN, kind="party")
    refused(
        session_factory,
        world,
        {"exclusions[1].type"},
        method("add_exclusion"),
        date=date(2025, 1, 7),
        type="party",
    )


def test_exclusions_of_the_student_are_not_found_as_the_groups(
    session_factory: Factory, world: World
) -> None:
    before = everything(session_factory)
    for name in ("change_exclusion", "remove_exclusion"):
        with pytest.raises(TimeEntryNotFoundError) as error:
            edit(
                session_factory,
                world,
                method(name),
                exclusion_id=world.exclusion.id,
                expected_version=1,
            )
        assert (error.value.entry_id, error.value.kind) == (world.exclusion.id, "exclusions")
    assert everything(session_factory) == before


@pytest.mark.parametrize("entry", ["block", "non_study_block"])
def test_span_of_another_group_is_not_found(
    session_factory: Factory, world: World, entry: str
) -> None:
    other = new_world(session_factory)
    row = other.block if entry == "block" else other.lunch
    with pytest.raises(TimeEntryNotFoundError) as error:
        edit(session_factory, world, method(f"remove_{entry}"), block_id=row.id, expected_version=1)
    assert (error.value.entry_id, error.value.kind) == (row.id, f"{entry}s")


def test_edits_in_one_unit_of_work_see_each_other(session_factory: Factory, world: World) -> None:
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        service, group = SERVICE(uow), uow.groups.get(world.group.id)
        added = service.add_block(**SPAN, kind=BlockKind.STUDY)
        service.remove_block(block_id=world.block.id, expected_version=1)
        changed = service.change_block(block_id=added.id, expected_version=1, weekday=5)
        service.remove_block(block_id=added.id, expected_version=changed.version)
        assert len(group.blocks) == 6
        uow.commit()
    rows = everything(session_factory)["blocks"]
    assert len([row for row in rows if str(world.group.id) in row]) == 6
