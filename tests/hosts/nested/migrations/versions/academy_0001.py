"""Create the students table."""

import sqlalchemy as sa
from alembic import op

revision = "academy_0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "students",
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_students")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_students_name")),
    )


def downgrade() -> None:
    op.drop_table("students")
