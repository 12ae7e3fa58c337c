"""``reschedule``, ``history`` and ``undo``: commands for one stored group in ``DATABASE_URL``."""

import sys
from collections.abc import Callable
from datetime import date, datetime
from typing import Final, TextIO
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session, sessionmaker

from domain import schema
from domain.cli.database import engine_for
from domain.cli.streams import report, writing
from domain.cli.text import Texts, clean, text_in
from domain.database_url import DatabaseUrlError, url_from_environment
from domain.errors import DomainError, Language
from domain.locking.policy import PlanGroupLock
from domain.models.plan import RunKind
from domain.repositories import HistoryRepository, PlanGroupRepository
from domain.repositories.history import MAX_RUNS, Run
from domain.repositories.plan_rows import GenerationResult
from domain.scheduling.difference import PlanChanges
from domain.services.rescheduling import preview_reschedule, reschedule_plans
from domain.services.undo import UndoResult, UndoService
from domain.unit_of_work.unit import UnitOfWork

REQUESTED_BY: Final = "command line"
_TEXTS: Final[Texts] = {
    RunKind.GENERATED: ("생성", "generated"),
    RunKind.RESCHEDULED: ("재조정", "rescheduled"),
    RunKind.UNDONE: ("되돌림", "undone"),
    "changes": (
        "유지 {kept} · 이동 {moved} · 추가 {new} · 삭제 {dropped}",
        "kept {kept} · moved {moved} · new {new} · dropped {dropped}",
    ),
    "unplaced": ("배치하지 못한 범위 {count}개", "{count} unplaced ranges"),
    "undoes": ("{number}번을 되돌림", "undoes {number}"),
    "taken back": ("{number}번에서 되돌려짐", "undone in {number}"),
    "preview": ("미리보기", "preview"),
    "empty": ("기록이 없습니다.", "There is no history."),
}


def reschedule(
    tenant_id: UUID, group_id: UUID, today: date | None, language: Language, *, preview: bool
) -> bool:
    """Reschedule a group and print what changed; with ``preview`` nothing is written.

    ``today`` is by default the date in the group's time zone.
    """

    def run(factory: sessionmaker[Session]) -> list[str]:
        day = today or _today(factory, tenant_id, group_id)
        if preview:
            with factory() as session:
                result = preview_reschedule(
                    session, tenant_id=tenant_id, group_id=group_id, today=day
                )
        else:
            lock = PlanGroupLock(tenant_id, group_id)
            result = reschedule_plans(factory, lock, today=day, requested_by=REQUESTED_BY)
        return [_rescheduled(result, language)]

    return _on_database(run, language)


def undo(tenant_id: UUID, group_id: UUID, language: Language) -> bool:
    """Take back the last run of a group, and print what changed."""

    def run(factory: sessionmaker[Session]) -> list[str]:
        with UnitOfWork(factory, lock=PlanGroupLock(tenant_id, group_id)) as uow:
            result = UndoService(uow).undo(requested_by=REQUESTED_BY)
            uow.commit()
        return [_undone(result, language)]

    return _on_database(run, language)


def history(tenant_id: UUID, group_id: UUID, language: Language) -> bool:
    """Print the runs of a group, newest first, at the times of the group's zone."""

    def run(factory: sessionmaker[Session]) -> list[str]:
        with factory() as session:
            zone = ZoneInfo(PlanGroupRepository(session, tenant_id).get_row(group_id).time_zone)
            runs = HistoryRepository(session, tenant_id).runs(group_id, limit=MAX_RUNS)
        return [_entry(one, zone, language) for one in runs] or [text_in(language, _TEXTS, "empty")]

    return _on_database(run, language)


def _on_database(run: Callable[[sessionmaker[Session]], list[str]], language: Language) -> bool:
    """Print the lines that ``run`` returns; print the message of a refusal, and return false."""
    url = url_from_environment()
    if url is None:
        raise DatabaseUrlError(
            "Set DATABASE_URL to the database, for example postgresql://user@host/name."
        )
    with engine_for(url) as engine:
        with engine.connect() as connection:
            schema.require_current(connection)
        try:
            lines = run(sessionmaker(engine))
        except DomainError as error:
            report(_line(sys.stderr, f"{error.message(language)} ({error.code})"))
            return False
    with writing():
        sys.stdout.writelines(_line(sys.stdout, line) for line in lines)
    return True


def _today(factory: sessionmaker[Session], tenant_id: UUID, group_id: UUID) -> date:
    with factory() as session:
        zone = PlanGroupRepository(session, tenant_id).get_row(group_id).time_zone
    return datetime.now(ZoneInfo(zone)).date()


def _rescheduled(result: GenerationResult, language: Language) -> str:
    preview = text_in(language, _TEXTS, "preview")
    parts = [preview if result.generation is None else f"{result.generation}"]
    parts += [text_in(language, _TEXTS, RunKind.RESCHEDULED), _changes(result.changes, language)]
    if result.unplaced:
        parts.append(text_in(language, _TEXTS, "unplaced", count=len(result.unplaced)))
    return "  ".join(parts)


def _undone(result: UndoResult, language: Language) -> str:
    kind = text_in(language, _TEXTS, RunKind.UNDONE)
    undoes = text_in(language, _TEXTS, "undoes", number=result.undone)
    return f"{result.generation}  {kind}  {_changes(result.changes, language)}  ({undoes})"


def _entry(run: Run, zone: ZoneInfo, language: Language) -> str:
    parts = [
        f"{run.number}",
        text_in(language, _TEXTS, run.kind),
        f"{run.at.astimezone(zone):%Y-%m-%d %H:%M}",
        _changes(run.changes, language),
    ]
    if run.requested_by:
        parts.append(clean(run.requested_by))
    if run.undoes is not None:
        parts.append(f"({text_in(language, _TEXTS, 'undoes', number=run.undoes)})")
    if run.undone_in is not None:
        parts.append(f"({text_in(language, _TEXTS, 'taken back', number=run.undone_in)})")
    return "  ".join(parts)


def _changes(changes: PlanChanges, language: Language) -> str:
    return text_in(
        language,
        _TEXTS,
        "changes",
        kept=changes.kept,
        moved=changes.moved,
        new=changes.new,
        dropped=changes.dropped,
    )


def _line(stream: TextIO, text: str) -> str:
    """Return the text as a line, without what the stream's encoding lacks."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding) + "\n"
