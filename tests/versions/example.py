"""The worked example, planned and stored on one version of PostgreSQL."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import schema
from domain.cli import generate
from domain.documents import read_json
from domain.embedded import embedded_postgres
from tests.unit.documents.documents import EXAMPLE

# Everything except random ids and times of day: the student's plans and the reported results.
STORED = """
    SELECT to_jsonb(c.position) || (to_jsonb(p)
      - ARRAY['id', 'lineage', 'tenant_id', 'student_id', 'group_id', 'content_id'])
    FROM studyplan.student_plans p JOIN studyplan.contents c ON c.id = p.content_id
    UNION ALL SELECT jsonb_build_array(
      plan_count, unplaced, certificate, repairs, warnings, quality)
    FROM studyplan.plan_generations
"""
CONTENTS = "SELECT id::text, position FROM studyplan.contents"


def planned(bindir: Path) -> list[str]:
    """Return the rows that are stored for the example, as sorted text."""
    document = read_json(EXAMPLE)
    with embedded_postgres(bindir=bindir) as server:
        engine = sa.create_engine(server.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            schema.upgrade(connection)
        result = generate.generate(sessionmaker(engine), document, document.period.start)
        with engine.connect() as connection:
            rows = [str(row) for row in connection.scalars(sa.text(STORED))]
            # The results refer to contents by their ids, which are random.
            for id_, position in connection.execute(sa.text(CONTENTS)):
                rows = [row.replace(id_, f"content {position}") for row in rows]
    # One row is that of the generation.
    if len(rows) != len(result.plans) + 1:
        raise AssertionError(f"{len(result.plans)} plans were stored as {len(rows) - 1} rows")
    return sorted(rows)
