"""The application's Alembic environment, which has the package's revisions as a branch."""

import os

from alembic import context
from sqlalchemy import NullPool, create_engine

from academy.models import Base
from domain import schema

engine = create_engine(os.environ["DATABASE_URL"], poolclass=NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_schemas=True,
        include_name=schema.include_name,
        include_object=schema.include_object,
        autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
    )
    with context.begin_transaction():
        context.run_migrations()
