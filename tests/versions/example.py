"""The worked example, planned and stored by one version of the server."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import schema
from domain.cli import generate
from domain.documents import read_json
from domain.embedded import embedded_postgres
from tests.unit.documents.documents import EXAMPLE

# All that is no random id and no time of day: what a student gets, and what is told of it.
STORED = """
    SELECT to_jsonb(c.position) || (to_jsonb(p)
      - ARRAY['id', 'tenant_id', 'student_id', 'group_id', 'content_id'])
    FROM studyplan.student_plans p JOIN studyplan.contents c ON c.id = p.content_id
    UNION ALL SELECT jsonb_build_array(plan_count, unplaced, warnings, quality)
    FROM studyplan.plan_generations
"""


def planned(bindir: Path) -> list[str]:
    """The stored rows of the example, as text, in an order of their own."""
    document = read_json(EXAMPLE)
    with embedded_postgres(bindir=bindir) as server:
        engine = sa.create_engine(server.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            schema.upgrade(connection)
        result = generate.generate(sessionmaker(engine), document, document.period.start)
        with engine.connect() as connection:
            rows = sorted(map(str, connection.scalars(sa.text(STORED))))
    if len(rows) != len(result.plans) + 1:
        raise AssertionError(f"{len(result.plans)} plans became {len(rows) - 1} rows")
    return rows
