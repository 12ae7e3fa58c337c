"""The application's own tables, in ``public``, with foreign keys to and from the package's.

A foreign key to a table of another declarative base refers to column attributes, because a string
such as "plan_groups.id" is only looked up in the metadata of the class's own base.
"""

from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from domain import PlanGroup


class Base(DeclarativeBase):
    """The base of the application's classes. Its tables have no schema."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


class Student(Base):
    __tablename__ = "students"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]

    __table_args__ = (CheckConstraint("name <> ''", name="name"),)


class Booking(Base):
    """A room in which a plan group's student works."""

    __tablename__ = "bookings"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    group_id: Mapped[UUID]
    room: Mapped[str]
    seats: Mapped[int]

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "group_id"], [PlanGroup.tenant_id, PlanGroup.id], ondelete="CASCADE"
        ),
        CheckConstraint("seats > 0", name="seats"),
    )


# A foreign key from the package's table to the application's. A revision of the application
# creates it.
ForeignKeyConstraint(
    [PlanGroup.tenant_id, PlanGroup.student_id],
    [Student.tenant_id, Student.id],
    name="fk_plan_groups_students",
)
