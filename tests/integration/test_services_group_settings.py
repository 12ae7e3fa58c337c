"""Editing a group's settings, and the states in which a group can be edited."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain import GroupStatus, UnitOfWork
from domain.errors import PlanGroupNotEditableError
from domain.models.plan_group import PlanGroupSettings
from domain.scheduling.types import Balance, Level, Strategy
from domain.services import GroupEditService, RowVersion
from tests.integration.editing import GROUP_CALLS, Factory, World, edit, everything, refused, stored
from tests.integration.storing import change, columns

SERVICE = GroupEditService
EDITS = [name for name in GROUP_CALLS if name.startswith(("GroupEditService", "GroupTimeService"))]


def settings(factory: Factory, world: World, **fields: Any) -> RowVersion:
    written: RowVersion = edit(
        factory, world, SERVICE.change_settings, **{"expected_version": 1, **fields}
    )
    return written


@pytest.mark.parametrize("status", GroupStatus)
@pytest.mark.parametrize("name", EDITS)
def test_plan_group_can_be_edited_unless_it_is_completed_or_cancelled(
    session_factory: Factory, world: World, name: str, status: GroupStatus
) -> None:
    change(session_factory, world.group, status=status)
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        if status in {GroupStatus.COMPLETED, GroupStatus.CANCELLED}:
            with pytest.raises(PlanGroupNotEditableError) as error:
                GROUP_CALLS[name](uow, world, 1)
            assert (error.value.group_id, error.value.group_status) == (
                world.group.id,
                status.value,
            )
        else:
            GROUP_CALLS[name](uow, world, 1)
        uow.commit()
    finished = status in {GroupStatus.COMPLETED, GroupStatus.CANCELLED}
    assert (everything(session_factory) == before) is finished


def test_settings_change_only_in_the_given_fields(session_factory: Factory, world: World) -> None:
    fields: dict[str, Any] = {
        "name": "여름방학",
        "purpose": "수능",
        "period_start": date(2025, 1, 7),
        "period_end": date(2025, 2, 16),
        "target_date": date(2025, 11, 13),
        "time_zone": "Asia/Tokyo",
        "study_days": 5,
        "review_days": 2,
        "level": Level.LOW,
        "level_factor": Decimal("0.9"),
        "weakness_factor": Decimal("1.3"),
        "strategy_factor": Decimal("1.1"),
        "review_factor": Decimal("0.5"),
        "self_study_on_holidays": True,
        "strategy": Strategy.EVEN,
        "balance": Balance.MINUTES,
        "shortest_session": 0,
        "longest_sitting": 90,
        "pause_minutes": 5,
        "buffer_days": 3,
    }
    assert fields.keys() == PlanGroupSettings.__annotations__.keys()
    expected, version = columns(stored(session_factory, world)), 1
    for name, value in fields.items():
        version = settings(
            session_factory, world, expected_version=version, **{name: value}
        ).version
        expected |= {name: value, "version": version}
        assert columns(stored(session_factory, world)) == expected


def test_setting_that_is_equal_to_the_stored_one_changes_nothing(
    session_factory: Factory, world: World
) -> None:
    before = everything(session_factory)
    written = settings(session_factory, world, name=world.group.name)
    assert (written.id, written.version) == (world.group.id, 1)
    assert everything(session_factory) == before


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"period_end": date(2025, 1, 5)}, {"period", "exclusions[0].date"}),
        ({"period_end": date(2045, 1, 5)}, {"period"}),
        ({"study_days": 0}, {"cycle.study_days"}),
        ({"study_days": 31, "review_days": 8}, {"cycle.study_days", "cycle.review_days"}),
        ({"weakness_factor": Decimal(0)}, {"factors.weakness"}),
        ({"level_factor": Decimal("NaN")}, {"factors.level"}),
        ({"level_factor": Decimal("0.001")}, {"contents[0].minutes_per_unit",
                                              "contents[1].episodes"}),
        ({"period_end": date(2025, 1, 8)}, {"exclusions[0].date", "special_days[0].date"}),
        ({"period_end": date(2025, 1, 17)}, {"special_days[0].date"}),
        ({"target_date": date(2025, 1, 5)}, {"target_date"}),
        ({"period_start": date(2025, 1, 10)}, {"exclusions[0].date"}),
        ({"name": "  "}, {"name"}),
        ({"name": None}, {"name"}),
        ({"name": "a\0b"}, {"name"}),
        ({"name": "\ud800"}, {"name"}),
        ({"purpose": 7}, {"purpose"}),
        ({"time_zone": "Asia/Nowhere"}, {"time_zone"}),
        ({"time_zone": "../etc/passwd"}, {"time_zone"}),
        ({"level": "genius"}, {"level"}),
        ({"study_days": True}, {"cycle.study_days"}),
        ({"study_days": 10**30}, {"cycle.study_days"}),
        ({"review_factor": 0.4}, {"factors.review"}),
        ({"period_start": "2025-01-06"}, {"period.start"}),
        ({"period_start": datetime(2025, 1, 6)}, {"period.start"}),  # noqa: DTZ001 - the type is wrong
        ({"self_study_on_holidays": 1}, {"self_study_on_holidays"}),
        ({"strategy": "weighted", "balance": None}, {"strategy", "balance"}),
        ({"shortest_session": 241, "longest_sitting": 0, "pause_minutes": 121, "buffer_days": -1},
         {"shortest_session", "longest_sitting", "pause_minutes", "buffer_days"}),
        ({"study_days": 3, "pause_minutes": 1.5}, {"pause_minutes"}),
        ({"name": "", "level": "genius"}, {"name", "level"}),
    ],
)  # fmt: skip
def test_settings_that_break_a_rule_are_refused_with_every_field_named(
    session_factory: Factory, world: World, fields: dict[str, Any], named: set[str]
) -> None:
    refused(session_factory, world, named, SERVICE.change_settings, expected_version=1, **fields)


def test_setting_accepts_the_value_of_an_enum_as_text(
    session_factory: Factory, world: World
) -> None:
    settings(session_factory, world, level="high", strategy="balanced", balance="minutes")
    found = stored(session_factory, world)
    assert (found.level, found.strategy, found.balance) == (
        Level.HIGH,
        Strategy.BALANCED,
        Balance.MINUTES,
    )


@pytest.mark.parametrize(
    "name", ["id", "tenant_id", "student_id", "version", "status", "generation", "contents"]
)
def test_field_that_is_not_a_setting_cannot_be_changed(
    session_factory: Factory, world: World, name: str
) -> None:
    changes: dict[str, Any] = {name: 7}
    refused(session_factory, world, {name}, SERVICE.change_settings, expected_version=1, **changes)
