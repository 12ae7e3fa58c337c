"""``reschedule``, ``history`` and ``undo`` on the command line."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup
from domain.cli.main import main
from tests.integration.storing import FIRST, book_group, dump, generate, live

Factory = sessionmaker[Session]
NEXT_DAY = (FIRST + timedelta(1)).isoformat()
CHANGES = r"kept (\d+) · moved (\d+) · new (\d+) · dropped (\d+)"


@pytest.fixture
def group(
    session_factory: Factory, database_url: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> PlanGroup:
    """A generated group in the database of ``DATABASE_URL``."""
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    group = book_group(session_factory)
    generate(session_factory, group)
    return group


def command(name: str, group: PlanGroup, *options: str, language: str = "en") -> int:
    return main(
        [name, str(group.id), "--tenant", str(group.tenant_id), "--language", language, *options]
    )


def test_reschedule_prints_what_it_changed(
    session_factory: Factory, group: PlanGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("reschedule", group, "--today", NEXT_DAY) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(rf"2  rescheduled  {CHANGES}\n", printed)
    assert len({row.generation for row in live(session_factory, group)}) == 2


def test_preview_of_a_reschedule_writes_nothing(
    session_factory: Factory, group: PlanGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dump(session_factory, group.id)
    assert command("reschedule", group, "--today", NEXT_DAY, "--preview") == 0
    assert capsys.readouterr().out.startswith("preview  rescheduled  kept ")
    assert dump(session_factory, group.id) == before


def test_history_shows_runs_and_what_was_undone(
    group: PlanGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    command("reschedule", group, "--today", NEXT_DAY)
    assert command("undo", group) == 0
    assert re.search(
        rf"^3  undone  {CHANGES}  \(undoes 2\)$", capsys.readouterr().out, re.MULTILINE
    )
    assert command("history", group) == 0
    undone, rescheduled, generated = capsys.readouterr().out.splitlines()
    assert undone.startswith("3  undone  ")
    assert undone.endswith("  command line  (undoes 2)")
    assert rescheduled.endswith("  command line  (undone in 3)")
    assert re.fullmatch(rf"1  generated  \d{{4}}-\d\d-\d\d \d\d:\d\d  {CHANGES}", generated)
    assert command("history", group, language="ko") == 0
    assert "되돌림" in capsys.readouterr().out


def test_reschedule_of_today_uses_the_date_of_the_groups_zone(
    group: PlanGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    """The period is over today, so everything that is not done was missed and finds no day."""
    assert command("reschedule", group, "--preview") == 0
    assert capsys.readouterr().out.endswith("1 unplaced ranges\n")


@pytest.mark.parametrize("name", ["reschedule", "history", "undo"])
def test_unknown_group_is_reported_in_one_line(
    name: str, group: PlanGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, str(uuid4()), "--tenant", str(group.tenant_id), "--language", "en"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "The plan group was not found. (plan_group_not_found)\n"


def test_second_undo_of_the_only_generation_is_refused(
    group: PlanGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("undo", group) == 0
    assert command("undo", group) == 1
    assert capsys.readouterr().err.endswith("(undo_not_possible)\n")


@pytest.mark.parametrize("name", ["reschedule", "history", "undo"])
def test_database_url_is_required(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert main([name, str(uuid4()), "--tenant", str(uuid4())]) == 2
    assert capsys.readouterr().err.startswith("Set DATABASE_URL")


@pytest.mark.parametrize("arguments", [["x"], [str(uuid4()), "--tenant", "y"], [str(uuid4())]])
def test_ids_must_be_given_as_uuids(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["history", *arguments])
    assert ended.value.code == 2
