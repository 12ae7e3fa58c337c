"""``demo``: eight simultaneous requests for one group's plans, of which one generates."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import resources
from time import perf_counter
from typing import Final
from uuid import uuid4

import sqlalchemy as sa
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from sqlalchemy.orm import Session, sessionmaker

from domain.cli.database import engine_for, upgrade, without_libpq_variables
from domain.cli.generate import print_result
from domain.cli.paper import encodes, new_console, show
from domain.cli.race import Attempt, Race
from domain.cli.summary import marked
from domain.cli.wording import readable_language
from domain.documents import PlanGroupDocument, read_json
from domain.embedded import embedded_postgres
from domain.errors import DomainError, LockHolder
from domain.locking.policy import PlanGroupLock
from domain.repositories.plan_groups import PlanGroupRepository
from domain.repositories.student_plans import StudentPlanRepository
from domain.scheduling.notices import Language
from domain.services import GenerationResult, PlanGroupService
from domain.unit_of_work.unit import UnitOfWork

REQUESTS: Final = 8
_KO: Final = {
    "starting": "PostgreSQL 시작",
    "schema": "스키마 적용",
    "storing": "예제 저장",
    "contents": "콘텐츠 {count}개",
    "racing": "한 그룹에 동시 생성 요청 {count}개",
    "won": "{number}번째 플랜 생성 · {rows}행",
    "holder": "백엔드 {pid}에서 생성 중",
    "stored": "데이터베이스에는 플랜 생성 {generations}회, 유효한 플랜 {rows}행만 있습니다.",
}
_EN: Final = {
    "starting": "starting PostgreSQL",
    "schema": "schema",
    "storing": "storing the example",
    "contents": "{count} contents",
    "racing": "{count} simultaneous requests for one group",
    "won": "generation {number} · {rows} rows",
    "holder": "backend {pid} is generating",
    "stored": "The database has {generations} generation and {rows} live plans, no more.",
}


def run(*, language: Language) -> int:
    """Show on a throwaway server how one of eight requests wins; 0 if exactly one did."""
    console = new_console()
    teller = _Teller(console, readable_language(console, language))
    document = example()
    with ExitStack() as stack:
        factory = _database(teller, stack)
        attempts = _race(teller, factory, document)
    won = [one.answer for one in attempts if isinstance(one.answer, GenerationResult)]
    for result in won:
        print_result(console, document, result, language)
    return 0 if len(won) == 1 else 1


def example() -> PlanGroupDocument:
    """The worked example that ships with the package."""
    return read_json(resources.files("domain.documents").joinpath("example.json").read_bytes())


def _database(teller: "_Teller", stack: ExitStack) -> sessionmaker[Session]:
    """A new server with the schema, which lives as long as the stack."""
    stack.enter_context(without_libpq_variables())
    with teller.step("starting") as facts:
        server = stack.enter_context(embedded_postgres())
        url = sa.make_url(server.url)
        engine = stack.enter_context(engine_for(url, connections=REQUESTS))
        _connect(engine)
        facts.append(_version(engine))
    with teller.step("schema") as facts:
        facts.append(str(upgrade(engine)[1]))
    return sessionmaker(engine)


def _connect(engine: sa.Engine) -> None:
    """Fill the pool first, lest the race be one of connecting."""
    connections = [engine.connect() for _ in range(REQUESTS)]
    for connection in connections:
        connection.close()


def _version(engine: sa.Engine) -> str:
    with engine.connect() as connection:
        return ".".join(map(str, connection.dialect.server_version_info or ()))


def _race(
    teller: "_Teller", factory: sessionmaker[Session], document: PlanGroupDocument
) -> list[Attempt]:
    """Store the document, let all requests loose on its group, and tell how it went."""
    lock = PlanGroupLock(uuid4(), uuid4())
    with teller.step("storing") as facts:
        with UnitOfWork(factory, lock=lock) as uow:
            PlanGroupService(uow).create(document, student_id=uuid4(), status="saved")
            uow.commit()
        facts += [document.name, teller.word("contents", count=len(document.contents))]
    with teller.step("racing", count=REQUESTS):
        today = document.period.start
        attempts = Race(factory, lock=lock, today=today).run(REQUESTS)
    teller.print_attempts(attempts)
    with factory() as session:
        generations = len(PlanGroupRepository(session, lock.tenant_id).generations(lock.group_id))
        rows = len(StudentPlanRepository(session, lock.tenant_id).live(lock.group_id))
    teller.print_stored(generations, rows)
    return attempts


@dataclass(frozen=True, slots=True)
class _Teller:
    """Says what happens, in one language and in signs that the output has."""

    console: Console
    language: Language

    def word(self, name: str, **data: object) -> str:
        return (_KO if self.language == "ko" else _EN)[name].format(**data)

    @contextmanager
    def step(self, name: str, **data: object) -> Iterator[list[str]]:
        """Print what begins; at its end, on the same line, its facts and how long it took."""
        line = Text.assemble((" › ", "bold cyan"), self.word(name, **data), " … ", end="")
        show(self.console, line, end="")
        facts: list[str] = []
        begun = perf_counter()
        try:
            yield facts
            facts.append(f"{(perf_counter() - begun) * 1000:.0f} ms")
        finally:
            shown = [fact for fact in facts if encodes(fact, self.console.encoding)]
            show(self.console, Text(" · ".join(shown), style="dim"))

    def print_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Print an answer a line, and below them what those who lost are told."""
        table = Table.grid(padding=(0, 2, 0, 0))
        for attempt in attempts:
            table.add_row(*self._attempt(attempt))
        show(self.console, Padding(table, (1, 1, 1, 3), expand=False))
        refused = {
            answer.code: answer
            for attempt in attempts
            if isinstance(answer := attempt.answer, DomainError)
        }
        for error in refused.values():
            for sentence in (error.message("ko"), error.message("en")):
                if encodes(sentence, self.console.encoding):
                    show(self.console, marked(f"{error.http_status}", "bold red", Text(sentence)))

    def print_stored(self, generations: int, rows: int) -> None:
        """Print what the database has after all answers."""
        sentence = self.word("stored", generations=generations, rows=rows)
        show(self.console, marked("✓", "bold green", Text(sentence)))

    def _attempt(self, attempt: Attempt) -> tuple[Text, ...]:
        ms = Text(f"{attempt.ms:.0f} ms", style="dim", justify="right")
        if isinstance(attempt.answer, DomainError):
            answer = Text(f"{attempt.answer.http_status} {attempt.answer.code}", style="red")
            mark = Text("×", style="bold red")
        else:
            number, rows = attempt.answer.generation, len(attempt.answer.plans)
            answer = Text(self.word("won", number=number, rows=rows), style="bold green")
            mark = Text("✓", style="bold green")
        return mark, Text(f"{attempt.number}", style="bold"), answer, ms, self._holder(attempt)

    def _holder(self, attempt: Attempt) -> Text:
        holder = getattr(attempt.answer, "holder", None)
        pid = holder.pid if isinstance(holder, LockHolder) else None
        return Text(self.word("holder", pid=pid) if pid else "", style="dim")
