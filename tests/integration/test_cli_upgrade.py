from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from domain import documents, schema
from domain.cli.main import main
from domain.database_url import url_from_environment


def test_upgrade_creates_the_schema_and_then_finds_it_current(
    new_database: Callable[[str], sa.URL],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = new_database("template0")
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    assert main(["upgrade"]) == 0
    head = schema.head_revision()
    assert capsys.readouterr().out == f"The schema is at {head} (from nothing).\n"
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert schema.is_current(connection)
    assert main(["upgrade"]) == 0
    assert capsys.readouterr().out == f"The schema is at {head} (already).\n"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_database_url_selects_psycopg_for_each_common_scheme(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://me:p%40ss@host:5433/db?sslmode=require")
    url = url_from_environment()
    assert url is not None
    assert url.drivername == "postgresql+psycopg"
    assert (url.password, url.port, url.query["sslmode"]) == ("p@ss", 5433, "require")


@pytest.mark.parametrize("text", ["", "  ", None])
def test_upgrade_reports_a_missing_database_url(
    text: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if text is not None:
        monkeypatch.setenv("DATABASE_URL", text)
    assert main(["upgrade"]) == 2
    assert capsys.readouterr().err.startswith("Set DATABASE_URL")


@pytest.mark.parametrize(
    "text", ["secret", "postgres://host:secret/db", "mysql://me:secret@host/db", "://secret"]
)
def test_upgrade_refuses_other_urls_without_printing_them(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", text)
    assert main(["upgrade"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("DATABASE_URL ")
    assert "secret" not in printed


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://a\udcff@localhost:1/secret",
        "postgresql://a:secret@localhost:1/\udcff",
        "postgresql://a:secret%00@localhost:1/db",
        "postgresql://a@localhost:1/secret?options=%00",
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ["upgrade"],
        ["downgrade", "--revision=base"],
        ["history", "--tenant", str(UUID(int=1)), str(UUID(int=2))],
        ["generate", str(Path(documents.__file__).with_name("example.json"))],
    ],
)
def test_command_refuses_a_database_url_that_libpq_cannot_be_given(
    text: str,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", text)
    assert main(command) == 2
    printed = capsys.readouterr().err
    assert printed == "DATABASE_URL must be UTF-8 without NUL characters\n"


@pytest.mark.parametrize("form", [[], ["--sql"]])
@pytest.mark.parametrize("roles", ["\udcff", "app,\udcff", "a\0b", ",", " "])
def test_upgrade_refuses_what_names_no_role(
    form: list[str], roles: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["upgrade", *form, "--grant-to", roles])
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(
        "argument --grant-to: must name a role, or several roles separated by commas\n"
    )


def test_upgrade_reports_a_database_that_does_not_answer_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/none")
    assert main(["upgrade"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("The database failed: ")
    assert printed.count("\n") == 1
    assert "secret" not in printed
