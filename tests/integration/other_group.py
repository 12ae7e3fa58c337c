"""Another group of a student, whose plans are written directly at given times."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, StudentPlan
from domain.models import PlanGeneration
from domain.scheduling.types import Busy, PlanKind
from tests.integration.storing import book_group, store


@dataclass(frozen=True)
class OtherGroup:
    """A group with one book and a recorded run, to which the plans belong."""

    group: PlanGroup

    @classmethod
    def of_student(cls, factory: sessionmaker[Session], group: PlanGroup) -> "OtherGroup":
        """Store a second group of the student of ``group``."""
        other = book_group(factory, tenant_id=group.tenant_id, student_id=group.student_id)
        record = PlanGeneration(
            tenant_id=other.tenant_id, group_id=other.id, number=1, today=other.period_start,
            plan_count=0, unplaced=[], warnings=[], quality={}, input_hash="", engine_version="",
        )  # fmt: skip
        store(factory, record)
        return cls(other)

    def replace_plans(self, factory: sessionmaker[Session], times: Collection[Busy]) -> None:
        """Store a plan at each of the times, instead of the plans at other times."""
        other = self.group
        with factory.begin() as session:
            session.execute(sa.delete(StudentPlan).where(StudentPlan.group_id == other.id))
            session.add_all(
                StudentPlan(
                    tenant_id=other.tenant_id, student_id=other.student_id, group_id=other.id,
                    content_id=other.contents[0].id, generation=1, sequence=number,
                    kind=PlanKind.STUDY, date=time.date, start_minute=time.start_minute,
                    end_minute=time.end_minute, first_unit=number, last_unit=number,
                    week=1, cycle=1,
                )
                for number, time in enumerate(times, 1)
            )  # fmt: skip
