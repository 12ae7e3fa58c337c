"""The planning core's inputs are filled from rows by field name, and no field is omitted."""

from dataclasses import dataclass, fields

import pytest

from domain import database_errors
from domain.models import Base, Block, BlockKind, PlanGroup
from domain.models.base import to_input
from domain.models.plan_group import COMPUTED_INPUTS
from domain.repositories.json_rows import Rows
from domain.scheduling import types as planning


@dataclass(frozen=True)
class BlockWithRoom(planning.Block):
    """An input with an additional field that has a default but no column."""

    room: str = "library"


def test_input_field_without_a_column_raises_attribute_error() -> None:
    block = Block(kind=BlockKind.STUDY, weekday=1, start_minute=600, end_minute=720)
    assert to_input(block, planning.Block) == planning.Block(BlockKind.STUDY, 1, 600, 720)
    with pytest.raises(AttributeError, match="room"):
        to_input(block, BlockWithRoom)
    with pytest.raises(AttributeError, match="room"):
        Rows(BlockWithRoom, Block).select()


def test_request_fields_are_columns_of_the_plan_group_or_computed() -> None:
    names = {field.name for field in fields(planning.Request)}
    assert names >= COMPUTED_INPUTS
    assert names - COMPUTED_INPUTS <= set(PlanGroup.__table__.columns.keys())


def test_translated_constraints_exist_in_the_tables() -> None:
    tables = Base.metadata.tables.values()
    known = {str(constraint.name) for table in tables for constraint in table.constraints}
    known |= {str(index.name) for table in tables for index in table.indexes}
    assert known >= database_errors._CONSTRAINTS.keys()
