"""A TCP proxy on 127.0.0.1 that simulates network failures between a client and its server."""

import queue
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from domain.testing.contention import TIMEOUT

HOST: Final = "127.0.0.1"
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER with timeout 0: closing sends RST, not FIN
_CHUNK: Final = 65536


class CuttingProxy:
    """Forwards connections to ``host`` and ``port`` for the duration of the block.

    ::

        with CuttingProxy(url.host, url.port) as proxy:
            engine = create_engine(url.set(host=proxy.host, port=proxy.port))

    A message is only recognized in connections without TLS, and if it is short enough to be
    received in one segment. One thread does all the work; each method returns after that thread
    has executed its command.
    """

    host = HOST

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        """The port to which clients connect."""
        self._selector = selectors.DefaultSelector()
        self._commands: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = (
            queue.SimpleQueue()
        )
        # The selector does not watch the queue. One byte per command wakes it up.
        self._wakeup, self._waker = socket.socketpair()
        self._links: set[_Link] = set()
        self._message: tuple[bytes, bool] | None = None
        self._frozen = self._closed = False
        self._thread = threading.Thread(target=self._run, name="cutting proxy", daemon=True)

    def __enter__(self) -> Self:
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._execute)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._submit(self._close)
        self._thread.join(TIMEOUT)

    @property
    def links(self) -> int:
        """The number of open connections."""
        return len(self._links)

    def cut(self) -> None:
        """Reset every connection on both sides. New connections are accepted."""
        self._submit(self._cut)

    def freeze(self) -> None:
        """Stop forwarding and accepting connections, without notifying either side."""
        self._submit(self._freeze)

    def thaw(self) -> None:
        """Resume forwarding, first of the data that have arrived in the meantime."""
        self._submit(self._thaw)

    def cut_before(self, message: bytes) -> None:
        """Cut when a client next sends ``message``, which the server does not receive."""
        self._message = (message, False)

    def cut_after(self, message: bytes) -> None:
        """Cut when the server answers a client's next ``message``; the client gets no answer."""
        self._message = (message, True)

    def _submit(self, command: Callable[[], None]) -> None:
        done = threading.Event()
        self._commands.put((command, done))
        self._waker.send(b"!")
        if not done.wait(TIMEOUT):
            raise AssertionError("the proxy's thread did not execute a command in time")

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                if self._is_open(key):
                    key.data()

    def _is_open(self, key: selectors.SelectorKey) -> bool:
        """Whether the socket is still registered: an earlier event of the round may close it."""
        return not self._closed and self._selector.get_map().get(key.fd) is key

    def _execute(self) -> None:
        self._wakeup.recv(1)
        command, done = self._commands.get()
        try:
            command()
        finally:
            done.set()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, TIMEOUT)
        except OSError:
            _reset(client)
            return
        link = _Link(client, server)
        self._links.add(link)
        self._listen_to(link)

    def _listen_to(self, link: "_Link") -> None:
        for end in link.ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.settimeout(TIMEOUT)
            self._selector.register(end, selectors.EVENT_READ, self._pump(link, end))

    def _pump(self, link: "_Link", end: socket.socket) -> Callable[[], None]:
        return lambda: self._forward(link, end)

    def _forward(self, link: "_Link", end: socket.socket) -> None:
        try:
            data = end.recv(_CHUNK)
            if self._is_cut_at(link, end, data):
                self._cut()
            elif data:
                link.other(end).sendall(data)
            else:
                self._drop(link)
        except OSError:
            self._drop(link)

    def _is_cut_at(self, link: "_Link", end: socket.socket, data: bytes) -> bool:
        """Whether the data are the message, or the answer, at which to cut."""
        if end is link.server:
            return link.drops_answer
        if self._message is None or self._message[0] not in data:
            return False
        link.drops_answer = self._message[1]
        self._message = None
        return not link.drops_answer

    def _cut(self) -> None:
        for link in list(self._links):
            self._drop(link)

    def _drop(self, link: "_Link") -> None:
        if link not in self._links:
            return
        self._links.remove(link)
        for end in link.ends:
            if not self._frozen:
                self._selector.unregister(end)
            _reset(end)

    def _freeze(self) -> None:
        if not self._frozen:
            self._frozen = True
            for end in self._ends():
                self._selector.unregister(end)

    def _thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
            for link in self._links:
                self._listen_to(link)

    def _ends(self) -> Iterator[socket.socket]:
        yield self._listener
        for link in self._links:
            yield from link.ends

    def _close(self) -> None:
        self._closed = True
        self._cut()
        for end in (self._listener, self._wakeup, self._waker):
            end.close()
        self._selector.close()


class _Link:
    """A client's connection and the corresponding connection to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.ends = (client, server)
        self.drops_answer = False
        """Whether the next data from the server are the answer at which to cut."""

    def other(self, end: socket.socket) -> socket.socket:
        return self.server if end is self.client else self.client


def _reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.close()
