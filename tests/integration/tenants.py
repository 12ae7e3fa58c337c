"""Row-level security as in Supabase: an application role, and policies that read its claims."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import Base

CLAIMS = "request.jwt.claims"
OWN_TENANT = f"tenant_id = (current_setting('{CLAIMS}', true)::jsonb ->> 'tenant_id')::uuid"


@dataclass(frozen=True)
class Tenants:
    """A database in which a role sees only the rows of the tenant in its claims."""

    admin: sa.Engine
    """The engine of a superuser, who sees all rows."""
    role: str
    owner: str
    """The owner of the tables, for whom the policies are enforced as well."""

    @property
    def everything(self) -> sessionmaker[Session]:
        return sessionmaker(self.admin)

    def url(self, tenant_id: UUID, role: str = "") -> sa.URL:
        """Return a URL whose connections start as the role, with the tenant's claims."""
        escaped = claims(tenant_id).replace("\\", "\\\\").replace(" ", "\\ ")
        options = f"-c role={role or self.role} -c {CLAIMS}={escaped}"
        return self.admin.url.update_query_dict({"options": options})

    @contextmanager
    def factory(self, tenant_id: UUID, role: str = "") -> Iterator[sessionmaker[Session]]:
        engine = sa.create_engine(self.url(tenant_id, role), poolclass=sa.NullPool)
        yield sessionmaker(engine)
        engine.dispose()

    @contextmanager
    def policy(self, text: str) -> Iterator[None]:
        """Create another policy for the block; ``text`` follows ``CREATE POLICY name ON``."""
        table = text.split(maxsplit=1)[0]
        self.run(f"CREATE POLICY additional ON {text}")
        try:
            yield
        finally:
            self.run(f"DROP POLICY additional ON {table}")

    def run(self, *statements: str) -> None:
        with self.admin.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement.replace("%", "%%"))


def claims(tenant_id: UUID) -> str:
    return json.dumps({"tenant_id": str(tenant_id)})


@contextmanager
def tenants(admin: sa.Engine, role: str, owner: str) -> Iterator[Tenants]:
    """Create the roles, grants and policies; the roles are dropped after the block."""
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
            f"CREATE POLICY mine ON {table} USING ({OWN_TENANT}) WITH CHECK ({OWN_TENANT})",
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
