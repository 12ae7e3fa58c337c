"""``demo``: eight simultaneous requests for the plans of one group, of which one generates.

Its plans are compared with those that the strategy ``even`` would have made.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
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

from domain.cli.console import indented, marked, new_console, show
from domain.cli.database import engine_for, upgrade, without_libpq_variables
from domain.cli.quality import BarRow, day_loads, print_bars, summary
from domain.cli.text import Texts, encodes, text_in
from domain.cli.timetable import print_result
from domain.cli.wording import Labels, readable_language
from domain.documents import PlanGroupDocument, read_json
from domain.documents.rows import to_request
from domain.embedded import embedded_postgres
from domain.errors import DomainError, Language, LockHolder
from domain.locking.policy import PlanGroupLock
from domain.repositories.plan_groups import PlanGroupRepository
from domain.repositories.plan_rows import GenerationResult
from domain.repositories.student_plans import StudentPlanRepository
from domain.scheduling.calendar import calendar
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Strategy
from domain.services.plan_generation import PlanGenerationService
from domain.services.plan_groups import PlanGroupService
from domain.unit_of_work.unit import UnitOfWork

REQUESTS: Final = 8
TIMEOUT_SECONDS: Final = 20.0
_TEXTS: Final[Texts] = {
    "starting": ("PostgreSQL 시작", "starting PostgreSQL"),
    "schema": ("스키마 적용", "schema"),
    "storing": ("예제 저장", "storing the example"),
    "contents": ("콘텐츠 {count}개", "{count} contents"),
    "racing": ("한 그룹에 동시 생성 요청 {count}개", "{count} simultaneous requests for one group"),
    "won": ("{number}번째 플랜 생성 · {rows}행", "generation {number} · {rows} rows"),
    "holder": ("백엔드 {pid}에서 생성 중", "backend {pid} is generating"),
    "stored": (
        "데이터베이스에는 플랜 생성 {generations}회, 유효한 플랜 {rows}행만 있습니다.",
        "The database has {generations} generation and {rows} live plans.",
    ),
    "compared": (
        "같은 그룹을 두 전략으로 계획하면 (아래 시간표는 balanced):",
        "The same group by both strategies (the timetable below is by balanced):",
    ),
}


def run(*, language: Language) -> bool:
    """Show on a temporary server that one of eight requests generates; return whether one did."""
    console = new_console()
    reporter = _Reporter(console, readable_language(console, language))
    document = example()
    with ExitStack() as stack:
        factory = _database(reporter, stack)
        attempts = _race(reporter, factory, document)
    won = [one.answer for one in attempts if isinstance(one.answer, GenerationResult)]
    for result in won:
        reporter.print_comparison(document, result)
        print_result(console, document, result, language, document.period.start)
    return len(won) == 1


def example() -> PlanGroupDocument:
    """Return the example document that is part of the package, with the strategy ``balanced``.

    The document itself names ``even``.
    """
    data = resources.files("domain.documents").joinpath("example.json").read_bytes()
    return replace(read_json(data), strategy=Strategy.BALANCED)


# --- simultaneous requests ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attempt:
    """The answer to one request, and its duration without the wait for the other requests."""

    number: int
    answer: GenerationResult | DomainError
    ms: float


class Race:
    """Simultaneous generations of one group, each on its own connection.

    The requests are guaranteed to overlap: the one that holds the lock commits only after all
    others have an answer, so the result is the same on every machine. An application must not
    do that, because only database work and pure computation may run while a lock is held.
    """

    def __init__(self, factory: Callable[[], Session], *, lock: PlanGroupLock, today: date) -> None:
        self._factory = factory
        self._lock = lock
        self._today = today

    def run(self, requests: int) -> list[Attempt]:
        """Return the answers in the order of the requests' numbers.

        Raises the first exception of a request that is not a ``DomainError``. No request waits
        for the others longer than ``TIMEOUT_SECONDS``.
        """
        self._start = threading.Barrier(requests)
        self._answered = threading.Barrier(requests)
        with ThreadPoolExecutor(requests) as threads:
            futures = [threads.submit(self._request, number + 1) for number in range(requests)]
        _raise_first_cause(futures)
        return [future.result() for future in futures]

    def _request(self, number: int) -> Attempt:
        try:
            self._start.wait(TIMEOUT_SECONDS)
            return self._attempt(number)
        except BaseException:
            self._start.abort()
            self._answered.abort()
            raise

    def _attempt(self, number: int) -> Attempt:
        started = perf_counter()
        waited = 0.0
        answer: GenerationResult | DomainError
        try:
            with UnitOfWork(self._factory, lock=self._lock) as uow:
                answer = PlanGenerationService(uow).generate(today=self._today)
                waited -= perf_counter()
                self._answered.wait(TIMEOUT_SECONDS)
                waited += perf_counter()
                uow.commit()
        except DomainError as error:
            answer = error
        ms = (perf_counter() - started - waited) * 1000
        if not waited:
            self._answered.wait(TIMEOUT_SECONDS)
        return Attempt(number, answer, ms)


def _raise_first_cause(futures: list[Future[Attempt]]) -> None:
    """Raise the first error of a request that is not a consequence of another one's error."""
    errors = [error for future in futures if (error := future.exception())]
    for error in errors:
        # A request that fails aborts the barriers, so all others get a BrokenBarrierError.
        if not isinstance(error, threading.BrokenBarrierError):
            raise error


# --- steps ----------------------------------------------------------------------------


def _database(reporter: "_Reporter", stack: ExitStack) -> sessionmaker[Session]:
    """Start a server and create the schema; both last until the stack is closed."""
    stack.enter_context(without_libpq_variables())
    with reporter.step("starting") as facts:
        server = stack.enter_context(embedded_postgres())
        url = sa.make_url(server.url)
        engine = stack.enter_context(engine_for(url, connections=REQUESTS))
        _fill_pool(engine)
        facts.append(_version(engine))
    with reporter.step("schema") as facts:
        facts.append(str(upgrade(engine)[1]))
    return sessionmaker(engine)


def _fill_pool(engine: sa.Engine) -> None:
    """Open the connections first, so that the requests' durations do not include connecting."""
    connections = [engine.connect() for _ in range(REQUESTS)]
    for connection in connections:
        connection.close()


def _version(engine: sa.Engine) -> str:
    with engine.connect() as connection:
        return ".".join(map(str, connection.dialect.server_version_info or ()))


def _race(
    reporter: "_Reporter", factory: sessionmaker[Session], document: PlanGroupDocument
) -> list[Attempt]:
    """Store the document, run all requests for its group, and report the answers."""
    lock = PlanGroupLock(uuid4(), uuid4())
    with reporter.step("storing") as facts:
        with UnitOfWork(factory, lock=lock) as uow:
            PlanGroupService(uow).create(document, student_id=uuid4(), status="saved")
            uow.commit()
        facts += [document.name, reporter.text("contents", count=len(document.contents))]
    with reporter.step("racing", count=REQUESTS):
        today = document.period.start
        attempts = Race(factory, lock=lock, today=today).run(REQUESTS)
    reporter.print_attempts(attempts)
    with factory() as session:
        generations = len(PlanGroupRepository(session, lock.tenant_id).generations(lock.group_id))
        rows = len(StudentPlanRepository(session, lock.tenant_id).live(lock.group_id))
    stored = reporter.text("stored", generations=generations, rows=rows)
    show(reporter.console, marked("✓", "bold green", Text(stored)))
    return attempts


@dataclass(frozen=True, slots=True)
class _Reporter:
    """Reports the progress in one language, with characters that the output can represent."""

    console: Console
    language: Language

    def text(self, name: str, **data: object) -> str:
        return text_in(self.language, _TEXTS, name, **data)

    @contextmanager
    def step(self, name: str, **data: object) -> Iterator[list[str]]:
        """Print the name of a step, and after the block its facts and duration.

        They are on the same line if it is wide enough.
        """
        line = Text.assemble((" › ", "bold cyan"), self.text(name, **data), " … ", end="")
        show(self.console, line, end="")
        facts: list[str] = []
        started = perf_counter()
        try:
            yield facts
            facts.append(f"{(perf_counter() - started) * 1000:.0f} ms")
        finally:
            readable = [fact for fact in facts if encodes(fact, self.console.encoding)]
            shown = Text(" · ".join(readable), style="dim")
            if line.cell_len + shown.cell_len <= self.console.width:
                show(self.console, shown)
            else:
                show(self.console, Text())
                show(self.console, indented(shown))

    def print_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Print one line per answer, and below them the messages of the errors."""
        table = Table.grid(padding=(0, 2, 0, 0))
        for attempt in attempts:
            table.add_row(*self._row(attempt))
        show(self.console, Padding(table, (1, 1, 1, 3), expand=False))
        errors = {
            answer.code: answer
            for attempt in attempts
            if isinstance(answer := attempt.answer, DomainError)
        }
        for error in errors.values():
            for message in (error.message("ko"), error.message("en")):
                if encodes(message, self.console.encoding):
                    show(self.console, marked(f"{error.http_status}", "bold red", Text(message)))

    def print_comparison(self, document: PlanGroupDocument, result: GenerationResult) -> None:
        """Print the fullness of the days by ``even``, which is only computed, and in the result."""
        labels = Labels.of(self.console, document, self.language)
        request = to_request(document)
        days = calendar(request)
        even = schedule(replace(request, strategy=Strategy.EVEN))
        rows = [
            BarRow(day_loads(days, planned.plans), strategy, summary(labels, planned.quality))
            for strategy, planned in ((Strategy.EVEN, even), (document.strategy, result))
        ]
        show(self.console, Text())
        show(self.console, marked("≈", "bold cyan", Text(self.text("compared"))))
        print_bars(self.console, labels, rows)

    def _row(self, attempt: Attempt) -> tuple[Text, ...]:
        number = Text(f"{attempt.number}", style="bold")
        ms = Text(f"{attempt.ms:.0f} ms", style="dim", justify="right")
        answer = attempt.answer
        if isinstance(answer, DomainError):
            status = Text(f"{answer.http_status} {answer.code}", style="red")
            return Text("×", style="bold red"), number, status, ms, self._holder(answer)
        won = self.text("won", number=answer.generation, rows=len(answer.plans))
        return Text("✓", style="bold green"), number, Text(won, style="bold green"), ms

    def _holder(self, error: DomainError) -> Text:
        holder = getattr(error, "holder", None)
        pid = holder.pid if isinstance(holder, LockHolder) else None
        return Text(self.text("holder", pid=pid) if pid else "", style="dim")
