"""The commands and their exit codes.

Modules that need an extra are imported only by the commands that need them.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final
from uuid import UUID

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from domain import schema
from domain.cli import streams
from domain.cli.database import downgrade, engine_for, upgrade
from domain.database_url import DatabaseUrlError, url_from_environment
from domain.embedded.process import ServerStartError
from domain.embedded.server import MissingBinariesError
from domain.errors import DatabaseReadOnlyError, MisuseError, SchemaError, WrongTransactionError
from domain.privileges import role_names

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_OUTPUT: Final = 3
EXIT_INTERRUPTED: Final = 130
# A row that violates a constraint should have been rejected before it was written, so these
# errors are bugs of the package and are raised with a traceback.
_BUGS: Final = (psycopg.IntegrityError, psycopg.DataError)
_REPORTED: Final = (
    DatabaseUrlError,
    SchemaError,
    WrongTransactionError,
    DatabaseReadOnlyError,
    ServerStartError,
    ModuleNotFoundError,
    DBAPIError,
    psycopg.Error,
    OSError,
)
_CLI_PACKAGES: Final = {"rich"}
_GROUP_EXIT_CODES: Final = (
    "Exit code 1: the request was refused, or the database failed. 2: a usage error. 3: what was "
    "requested is done, but the output could not be written."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    An error that the user can correct is reported in one line on stderr. An error that is a bug
    of the package is raised.
    """
    streams.open_missing()
    options = _parser().parse_args(arguments)
    try:
        return _run(lambda: options.run(options))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(command: Callable[[], int]) -> int:
    try:
        code = command()
        streams.flush()
    except streams.OutputError as error:
        # A reader that has seen enough, such as ``| head``, needs no message.
        if isinstance(error.__cause__, BrokenPipeError):
            return EXIT_OUTPUT
        return _fail(
            f"The output could not be written: {error}. What was committed before is kept.",
            EXIT_OUTPUT,
        )
    except _REPORTED as error:
        message = _message(error)
        if message is None:
            raise
        return _fail(message, EXIT_USAGE if isinstance(error, DatabaseUrlError) else EXIT_FAILURE)
    return code


def _message(error: Exception) -> str | None:
    """Return the message for the user, or ``None`` for an error that is a bug of the package."""
    match error:
        case MissingBinariesError():
            return (
                "PostgreSQL's programs are missing: pip install 'studyplan-domain[demo]' "
                "(generate does not need them if DATABASE_URL is set)"
            )
        case ModuleNotFoundError():
            package = (error.name or "").partition(".")[0]
            install = f"{package} is missing: pip install 'studyplan-domain[cli]'"
            return install if package in _CLI_PACKAGES else None
        case DBAPIError() | psycopg.Error():
            cause = error.orig if isinstance(error, DBAPIError) else error
            first_line, _, _ = str(cause).strip().partition("\n")
            return None if isinstance(cause, _BUGS) else f"The database failed: {first_line}"
        case _:
            return str(error)


def _fail(message: str, code: int) -> int:
    streams.report(f"{message}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m domain",
        description="Generate study plans and migrate their schema.",
        epilog="Exit code 3: the output could not be written; what was committed before is kept.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "demo",
        help="run eight simultaneous requests, of which one generates, and compare two strategies",
    )
    command.set_defaults(run=_demo)
    _add_language(command)

    command = commands.add_parser(
        "generate",
        help="generate plans for JSON documents",
        description="Generate plans for each document, for a separate student: in the database "
        "in DATABASE_URL, where the rows remain, or on a temporary server.",
        epilog="Exit code 2: a document has errors, which are listed on stderr; the other "
        "documents are planned. 1: a group could not be planned, or the database failed. 3: the "
        "output could not be written; what was committed before is kept.",
    )
    command.add_argument("files", nargs="+", metavar="FILE")
    command.add_argument(
        "--today",
        type=_date,
        metavar="DATE",
        help="plan from this day on; the first day of the period by default",
    )
    command.add_argument("--json", action="store_true", help="print one line of JSON per file")
    command.set_defaults(run=_generate)
    _add_language(command)

    _add_life(commands)
    _add_group_commands(commands)
    _add_migrations(commands)
    return parser


def _add_life(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "life",
        help="simulate a student's life with the plans of JSON documents, without a database",
        description="Simulate a student who does most plans and misses some, with a reschedule "
        "every week, and print beside it what full generations would have moved.",
        epilog="Exit code 2: a document has errors. 1: a group could not be planned.",
    )
    command.add_argument("files", nargs="+", metavar="FILE")
    command.add_argument(
        "--seed", type=int, default=1, metavar="N", help="draws another life; 1 by default"
    )
    command.set_defaults(run=_life)
    _add_language(command)


def _add_group_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, text in (
        ("reschedule", "plan again what was missed, with the least change, in DATABASE_URL"),
        ("history", "print the runs of a group in DATABASE_URL, newest first"),
        ("undo", "take back the last run of a group in DATABASE_URL"),
    ):
        command = commands.add_parser(name, help=text, epilog=_GROUP_EXIT_CODES)
        command.add_argument("group", type=_uuid, metavar="GROUP", help="the group's id")
        command.add_argument(
            "--tenant", type=_uuid, required=True, metavar="ID", help="the tenant's id"
        )
        if name == "reschedule":
            command.add_argument(
                "--today",
                type=_date,
                metavar="DATE",
                help="plan from this day on; by default the date in the group's time zone",
            )
            command.add_argument(
                "--preview", action="store_true", help="only compute; nothing is written"
            )
        command.set_defaults(run=_group_command, command=name)
        _add_language(command)


def _add_migrations(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "upgrade",
        help="create or upgrade the schema in DATABASE_URL, or print its SQL",
        description="Upgrade the database in DATABASE_URL to a revision, in one transaction.",
        epilog="Exit code 1: the upgrade failed, and nothing was changed unless the connection was "
        "lost. 2: a usage error. 3: the schema was upgraded, but the output could not be written.",
    )
    command.add_argument(
        "--revision", default="head", metavar="R", help="the newest by default; with --sql also R:R"
    )
    command.add_argument(
        "--grant-to",
        type=_roles,
        metavar="ROLE,…",
        help="grant these roles the privileges that the package needs, also if the schema "
        "already exists",
    )
    command.add_argument(
        "--sql", action="store_true", help="print the SQL instead; no database is needed"
    )
    command.set_defaults(run=_upgrade)

    command = commands.add_parser(
        "downgrade",
        help="downgrade the schema in DATABASE_URL",
        description="Downgrade the database in DATABASE_URL to a revision. This destroys data: "
        "'base' drops every table of the package.",
    )
    command.add_argument(
        "--revision", required=True, metavar="R", help="'base' to remove the schema"
    )
    command.set_defaults(run=_downgrade)


def _add_language(command: argparse.ArgumentParser) -> None:
    command.add_argument("--language", choices=("ko", "en"), default="ko", help="ko by default")


def _date(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    # fromisoformat would also accept 20250101 and 2025-W01-3
    if found is None or found.isoformat() != text:
        raise argparse.ArgumentTypeError("must be a date such as 2025-01-31")
    return found


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a UUID") from None


def _roles(text: str) -> str:
    try:
        names = role_names(text)
    except MisuseError:
        names = ()
    if not names:
        raise argparse.ArgumentTypeError("must name a role, or several roles separated by commas")
    return text


def _demo(options: argparse.Namespace) -> int:
    from domain.cli import demo  # noqa: PLC0415 - needs the extras

    return 0 if demo.run(language=options.language) else EXIT_FAILURE


def _generate(options: argparse.Namespace) -> int:
    from domain.cli import generate, jobs  # noqa: PLC0415 - need the extra

    def run() -> int:
        planned = generate.run(read, as_json=options.json, language=options.language)
        return 0 if planned else EXIT_FAILURE

    read = jobs.read_jobs(options.files, options.today)
    code = _run(run) if read else 0
    return EXIT_USAGE if len(read) < len(options.files) else code


def _life(options: argparse.Namespace) -> int:
    from domain.cli import jobs, life  # noqa: PLC0415 - need the extra

    read = jobs.read_jobs(options.files)
    is_done = life.run(read, seed=options.seed, language=options.language)
    if len(read) < len(options.files):
        return EXIT_USAGE
    return 0 if is_done else EXIT_FAILURE


def _group_command(options: argparse.Namespace) -> int:
    from domain.cli import groups  # noqa: PLC0415 - the other commands do not need it

    ids = (options.tenant, options.group)
    match options.command:
        case "reschedule":
            done = groups.reschedule(*ids, options.today, options.language, preview=options.preview)
        case "undo":
            done = groups.undo(*ids, options.language)
        case _:
            done = groups.history(*ids, options.language)
    return 0 if done else EXIT_FAILURE


def _upgrade(options: argparse.Namespace) -> int:
    grant_to = options.grant_to or ""
    if options.sql:
        # Always UTF-8: the terminal's encoding may be unable to represent a role's name.
        script = schema.upgrade_sql(options.revision, grant_to=grant_to)
        with streams.writing():
            sys.stdout.buffer.write(script.encode())
        return 0
    return _migrate(lambda engine: upgrade(engine, options.revision, grant_to))


def _downgrade(options: argparse.Namespace) -> int:
    return _migrate(lambda engine: downgrade(engine, options.revision))


def _migrate(run: Callable[[Engine], tuple[str | None, str | None]]) -> int:
    url = url_from_environment()
    if url is None:
        return _fail(
            "Set DATABASE_URL to the database, for example postgresql://user@host/name.", EXIT_USAGE
        )
    with engine_for(url) as engine:
        before, after = run(engine)
    origin = "already" if before == after else f"from {before or 'nothing'}"
    with streams.writing():
        sys.stdout.write(f"The schema is at {after or 'nothing'} ({origin}).\n")
    return 0
