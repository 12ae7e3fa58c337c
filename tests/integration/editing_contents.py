"""Contents to add and to change, for the tests of the service that edits them."""

from typing import Any

from domain import PlanGroup
from domain.repositories import PlanGroupRepository
from domain.scheduling.vocabulary import Allocation, ContentType
from domain.services import GroupEditService, RowVersion
from tests.integration.editing import Factory, World, edit

SERVICE = GroupEditService
BOOK: dict[str, Any] = {
    "type": ContentType.BOOK,
    "title": "영어",
    "allocation": Allocation.WEAKNESS,
    "first_unit": 1,
    "last_unit": 50,
}


def stored(factory: Factory, world: World) -> PlanGroup:
    with factory() as session:
        return PlanGroupRepository(session, world.tenant_id).get(world.group.id)


def content(factory: Factory, world: World, which: str = "planned", **fields: Any) -> RowVersion:
    written: RowVersion = edit(
        factory,
        world,
        SERVICE.change_content,
        content_id=getattr(world, which).id,
        **{"expected_version": 1, **fields},
    )
    return written
