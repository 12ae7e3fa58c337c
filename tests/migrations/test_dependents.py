"""A downgrade names the objects of the application that depend on objects of the package."""

import pytest
import sqlalchemy as sa

from domain import schema
from domain.cli.main import main
from tests.migrations.test_states import assert_refused

FOREIGN_KEY = """
CREATE TABLE homework (
  tenant_id uuid, group_id uuid,
  CONSTRAINT fk_homework FOREIGN KEY (tenant_id, group_id)
    REFERENCES studyplan.plan_groups (tenant_id, id)
)
"""
DEPENDENTS = {
    "foreign key": (
        FOREIGN_KEY,
        "constraint fk_homework on table public.homework depends on table studyplan.plan_groups",
        "DROP TABLE homework",
    ),
    "view": (
        "CREATE VIEW latest AS SELECT name FROM studyplan.plan_groups",
        "view public.latest depends on table studyplan.plan_groups",
        "DROP VIEW latest",
    ),
    "constraint by btree_gist": (
        "CREATE TABLE rooms (id integer, CONSTRAINT ex_rooms_id EXCLUDE USING gist (id WITH =))",
        "constraint ex_rooms_id on table public.rooms depends on operator class",
        "ALTER TABLE rooms DROP CONSTRAINT ex_rooms_id",
    ),
}
each_dependent = pytest.mark.parametrize(
    ("create", "message", "drop"), DEPENDENTS.values(), ids=DEPENDENTS.keys()
)


@each_dependent
def test_downgrade_names_objects_that_depend_on_the_package(
    connection: sa.Connection, create: str, message: str, drop: str
) -> None:
    schema.upgrade(connection)
    with connection.begin():
        connection.exec_driver_sql(create)
    assert_refused(connection, f"{message}.*First drop what depends on", schema.downgrade)
    with connection.begin():
        connection.exec_driver_sql(drop)
    schema.downgrade(connection)
    assert schema.current_revision(connection) is None


def test_downgrade_command_names_dependent_objects_in_one_line(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create, message, _ = DEPENDENTS["foreign key"]
    schema.upgrade(connection)
    with connection.begin():
        connection.exec_driver_sql(create)
    url = connection.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    assert main(["downgrade", "--revision", "base"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert schema.is_current(connection)
