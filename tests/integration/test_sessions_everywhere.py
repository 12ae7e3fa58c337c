"""Every operation works with the Sessions that a unit of work accepts."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import Base, PlanGroup
from domain.services import removal
from tests.integration.editing import Factory, World
from tests.integration.operations import OPERATIONS

# These take the connection of the Session, which has none without a mapped class.
_ON_A_CONNECTION = {"functions_version", "keys_in_sql"}
SESSIONS: dict[str, Callable[[sa.Engine], Factory]] = {
    "only binds": lambda engine: sessionmaker(binds={Base: engine}),
    "stream_results": lambda engine: sessionmaker(
        engine, execution_options={"stream_results": True}
    ),
    "yield_per": lambda engine: sessionmaker(engine, execution_options={"yield_per": 2}),
}
each_kind = pytest.mark.parametrize("make", SESSIONS.values(), ids=SESSIONS)


@each_kind
@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - _ON_A_CONNECTION))
def test_operation_succeeds_with_the_sessions(
    engine: sa.Engine, world: World, make: Callable[[sa.Engine], Factory], name: str
) -> None:
    OPERATIONS[name](make(engine), world)


@each_kind
def test_tenant_is_removed_with_the_sessions(
    engine: sa.Engine, world: World, make: Callable[[sa.Engine], Factory]
) -> None:
    removal.remove_tenant(make(engine), tenant_id=world.tenant_id)
    with Session(engine) as session:
        assert session.get(PlanGroup, (world.tenant_id, world.group.id)) is None
