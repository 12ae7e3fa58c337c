"""Row-level security as Supabase has it: an application role, and policies that ask its claims."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import Base

CLAIMS = "request.jwt.claims"
MINE = f"tenant_id = (current_setting('{CLAIMS}', true)::jsonb ->> 'tenant_id')::uuid"


@dataclass(frozen=True)
class Tenants:
    """A database in which a role sees the rows of the tenant of its claims only."""

    admin: sa.Engine
    """Of a superuser, who sees everything."""
    role: str
    owner: str
    """Owns the tables; the policies are forced upon it."""

    @property
    def everything(self) -> sessionmaker[Session]:
        return sessionmaker(self.admin)

    def url(self, tenant_id: UUID, role: str = "") -> sa.URL:
        """Connections that begin as the role, with the tenant's claims."""
        told = claims(tenant_id).replace("\\", "\\\\").replace(" ", "\\ ")
        options = f"-c role={role or self.role} -c {CLAIMS}={told}"
        return self.admin.url.update_query_dict({"options": options})

    @contextmanager
    def factory(self, tenant_id: UUID, role: str = "") -> Iterator[sessionmaker[Session]]:
        engine = sa.create_engine(self.url(tenant_id, role), poolclass=sa.NullPool)
        yield sessionmaker(engine)
        engine.dispose()

    @contextmanager
    def policy(self, text: str) -> Iterator[None]:
        """A policy more, for the block: what follows ``CREATE POLICY name ON``."""
        table = text.split(maxsplit=1)[0]
        self.run(f"CREATE POLICY one_more ON {text}")
        try:
            yield
        finally:
            self.run(f"DROP POLICY one_more ON {table}")

    def run(self, *statements: str) -> None:
        with self.admin.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement.replace("%", "%%"))


def claims(tenant_id: UUID) -> str:
    return json.dumps({"tenant_id": str(tenant_id)})


@contextmanager
def tenants(admin: sa.Engine, role: str, owner: str) -> Iterator[Tenants]:
    """Make the roles, the grants and the policies; the roles are gone after the block."""
    made = Tenants(admin, role, owner)
    made.run(
        f"CREATE ROLE {role}",
        f"CREATE ROLE {owner}",
        f"GRANT ALL ON SCHEMA studyplan TO {owner}",
        f"GRANT USAGE ON SCHEMA studyplan TO {role}",
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA studyplan TO {role}, {owner}",
    )
    for table in Base.metadata.tables:
        made.run(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}",
            f"ALTER TABLE {table} OWNER TO {owner}",
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY mine ON {table} USING ({MINE}) WITH CHECK ({MINE})",
        )
    try:
        yield made
    finally:
        made.run(
            f"REASSIGN OWNED BY {owner} TO CURRENT_USER",
            f"DROP OWNED BY {role}, {owner}",
            f"DROP ROLE {role}",
            f"DROP ROLE {owner}",
        )
