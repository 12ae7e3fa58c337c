"""Writes the day shifts that a generation chooses, and clears those that no longer fit the cycle.

Both leave the version of a content as it is: no user has edited it, and the edit of a user who read
it before must not be refused. A flush would increment the version, so the rows are updated directly
and the objects in the Session, which remain readable after the commit, are set to the same values.
"""

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from domain.models import Content, PlanGroup
from domain.repositories.reading import set_loaded
from domain.scheduling.result import Schedule

if TYPE_CHECKING:  # a shorter chain of imports
    from domain.repositories.snapshot import PlanningSnapshot


def store_day_shifts(session: Session, snapshot: "PlanningSnapshot", schedule: Schedule) -> bool:
    """Store the chosen shifts of contents that have none, so that later generations keep them.

    One statement is executed for all contents, and none if there is nothing to store. Returns
    ``False`` if a content no longer exists or has a shift since the snapshot. The caller has
    incremented the group's fence.
    """
    unset = {item.position for item in snapshot.settings.contents if item.day_shift is None}
    shifts = {
        snapshot.contents[position].id: shift
        for position, shift in schedule.day_shifts.items()
        if position in unset
    }
    if not shifts:
        return True
    # The searched form of CASE is used because Citus has no operator for CASE id WHEN $1.
    chosen = sa.case(*((Content.id == id_, shift) for id_, shift in shifts.items()))
    written: Any = session.execute(
        sa.update(Content)
        .where(
            Content.tenant_id == snapshot.tenant_id,
            Content.group_id == snapshot.group_id,
            Content.id.in_(shifts),
            Content.day_shift.is_(None),
        )
        .values(day_shift=chosen)
        .execution_options(synchronize_session=False)
    )
    for id_, shift in shifts.items():
        set_loaded(session, Content, snapshot.tenant_id, id_, day_shift=shift)
    return bool(written.rowcount == len(shifts))


def clear_loaded_day_shifts(group: PlanGroup) -> bool:
    """Clear the shifts that are too large for the group's cycle in its loaded contents.

    Returns whether there are any: ``clear_day_shifts`` must then be called after the group is
    validated.
    """
    found = [
        content
        for content in group.contents
        if content.day_shift is not None and content.day_shift >= group.study_days
    ]
    for content in found:
        set_committed_value(content, "day_shift", None)
    return bool(found)


def clear_day_shifts(session: Session, group: PlanGroup) -> None:
    """Clear the stored shifts that are too large for the group's cycle, in one statement."""
    session.execute(
        sa.update(Content)
        .where(
            Content.tenant_id == group.tenant_id,
            Content.group_id == group.id,
            Content.day_shift >= group.study_days,
        )
        .values(day_shift=None)
        .execution_options(synchronize_session=False)
    )
