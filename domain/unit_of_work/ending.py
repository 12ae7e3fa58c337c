"""How the transaction of a unit of work ended, and the callbacks that are called with it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from domain import events
from domain.driver import CommitState
from domain.errors import CommitOutcomeUnknownError

_LOG: Final = logging.getLogger("studyplan.unit_of_work")


@dataclass(frozen=True, slots=True)
class Ending:
    """How the transaction of a unit of work ended.

    ``unknown`` means that the COMMIT was sent and its answer never arrived: the connection was
    lost, or the wait for it was interrupted. ``error_type`` is the code, the SQLSTATE or the
    class of the error that ended the transaction, and ``None`` if no error did.
    """

    outcome: Literal["committed", "rolled_back", "unknown"]
    error_type: str | None = None


Callback: TypeAlias = Callable[[Ending], object]


class AtEnd:
    """The callbacks of one unit of work, and how its commit ended.

    Errors are kept as words: an error refers to the frames that it passed, and so to the unit
    of work, which must be collected as soon as it is dropped.
    """

    def __init__(self) -> None:
        self._callbacks: list[Callback] = []
        self._commit = CommitState.NOT_SENT
        self._of_commit: Ending | None = None
        self.is_committing = False
        """Whether ``commit()`` is running."""

    def add(self, callback: Callback, session: Session | None) -> None:
        """Call it at the end, after those that were added before.

        :param session: the one of the transaction; without it, the end has come.
        """
        if session is None:
            self._callbacks.append(callback)
            self.report(self._of_commit or Ending("rolled_back"))
        else:
            self._callbacks.append(_unless_undone(callback, session))

    @contextmanager
    def committing(self) -> Iterator[Callable[[CommitState], None]]:
        """Around the commit, with a function that records how far the COMMIT has come.

        If the commit fails, ``leaving`` reports how the transaction ended: on the server it
        may last until the connection is given back.
        """
        self.is_committing = True
        try:
            yield self._note
        except BaseException as error:
            self._of_commit = self._ending_of_failed_commit(error)
            raise
        else:
            self._of_commit = Ending("committed")
        finally:
            self.is_committing = False

    @contextmanager
    def leaving(self, error: BaseException | None) -> Iterator[None]:
        """Around leaving the block: reports how the transaction ended, unless that is done.

        :param error: what ended the block.
        """
        reason = None if error is None else events.error_type(error)
        try:
            yield
        except BaseException as raised:
            reason = reason or events.error_type(raised)
            raise
        finally:
            self.report(self._of_commit or Ending("rolled_back", reason))

    def report(self, ending: Ending) -> None:
        """Call the callbacks, each once; raises no ``Exception``."""
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback(ending)
            except Exception as error:  # noqa: BLE001 - the transaction has ended as it has
                fields = {"event": "callback.failed"}
                events.log(_LOG, logging.ERROR, "a callback failed", fields=fields, error=error)

    def _note(self, state: CommitState) -> None:
        self._commit = state

    def _ending_of_failed_commit(self, error: BaseException) -> Ending:
        if self._commit is CommitState.DONE:  # a listener failed after the server's answer
            return Ending("committed")
        lost = isinstance(error, CommitOutcomeUnknownError) or self._commit is CommitState.SENT
        return Ending("unknown" if lost else "rolled_back", events.error_type(error))


def _unless_undone(callback: Callback, session: Session) -> Callback:
    """The callback; it is given a rollback if a savepoint that is open now is rolled back."""
    savepoints: set[SessionTransaction] = set()
    innermost = session.get_nested_transaction()
    while innermost is not None:
        savepoints.add(innermost)
        innermost = innermost.parent
    undone = False

    def note(_: Session, transaction: SessionTransaction) -> None:
        nonlocal undone
        undone = undone or transaction in savepoints

    if not savepoints:
        return callback
    event.listen(session, "after_soft_rollback", note)
    return lambda ending: callback(Ending("rolled_back") if undone else ending)
