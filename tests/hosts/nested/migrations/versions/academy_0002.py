"""Create the package's schema inside this revision, and refer to its tables."""

import sqlalchemy as sa
from alembic import op

from domain import schema

revision = "academy_0002"
down_revision = "academy_0001"


def upgrade() -> None:
    schema.upgrade(op.get_bind(), "sp_0002")
    op.create_foreign_key(
        op.f("fk_plan_groups_students"),
        "plan_groups",
        "students",
        ["tenant_id", "student_id"],
        ["tenant_id", "id"],
        source_schema="studyplan",
    )
    op.create_table(
        "bookings",
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("group_id", sa.Uuid, nullable=False),
        sa.Column("room", sa.String, nullable=False),
        sa.Column("seats", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_bookings")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["studyplan.plan_groups.tenant_id", "studyplan.plan_groups.id"],
            name=op.f("fk_bookings_plan_groups"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("seats > 0", name=op.f("ck_bookings_seats")),
    )


def downgrade() -> None:
    op.drop_table("bookings")
    schema.downgrade(op.get_bind())
