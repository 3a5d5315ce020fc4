"""Connections to upstreams: made, kept open for the next request, and closed when nobody uses them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial

import aiohappyeyeballs

from llmrouter_server.address import Origin, Proxy
from llmrouter_server.http1 import Connection, Disconnected, Reply
from llmrouter_server.timing import TimeLimitError, within

# What is to be done before something is sent.
Sending = Callable[[], Awaitable[None]] | None

_KEEP_SECONDS = 30.0
# An address that does not answer holds up the next one for so long.
_NEXT_ADDRESS_SECONDS = 0.25
_ANSWER_BYTES = 64 << 10


class Connections:
    """All connections of one event loop; their number is bounded by that of the requests."""

    def __init__(self) -> None:
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._sweeper: asyncio.TimerHandle | None = None

    async def ask(
        self, origin: Origin, request: bytes, connect_seconds: float, sending: Sending = None
    ) -> Reply:
        """Send a request, and return the answer as soon as its head is there.

        A connection that was kept may turn out to have been closed by the other side meanwhile; then the
        request is sent once more, on a new one.

        Args:
            origin: To whom.
            request: As it goes over the wire.
            connect_seconds: How long it may take to connect.
            sending: Awaited just before the request is sent.

        Raises:
            OSError: No connection comes about; `TimeoutError`: not in time.
            HttpError: It breaks, or no answer comes.
        """
        idle = self._idle[origin]
        if sending is not None and any(not connection.closed for connection in idle):
            await sending()
        while idle:
            connection = idle.pop()
            if connection.closed:
                continue
            try:
                return await _reply(connection, request)
            except Disconnected:
                break
        try:
            with within(connect_seconds):
                connection = await self._connect(origin)
        except TimeLimitError:
            raise TimeoutError(f"no connection within {connect_seconds:g} s") from None
        if sending is not None:
            try:
                await sending()
            except BaseException:  # whatever it is, nobody else would close it; it goes on
                connection.close()
                raise
        return await _reply(connection, request)

    async def close(self) -> None:
        """Close those that are idle."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        # The event loop closes them in its next round.
        await asyncio.sleep(0)

    def _keep(self, origin: Origin, connection: Connection) -> None:
        self._idle[origin].append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_KEEP_SECONDS / 2, self._sweep)

    def _sweep(self) -> None:
        """Close those that nobody used for long, which are the first ones: the last is always used next."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - _KEEP_SECONDS
        for origin, idle in list(self._idle.items()):
            kept = []
            for connection in idle:
                if connection.closed:
                    continue
                if connection.idle_since < oldest:
                    connection.close()
                else:
                    kept.append(connection)
            if kept:
                self._idle[origin][:] = kept
            else:
                del self._idle[origin]
        self._sweeper = loop.call_later(_KEEP_SECONDS / 2, self._sweep) if self._idle else None

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        first = origin.proxy or origin
        found = await _connected(first.host, first.port)
        try:
            if origin.proxy is not None and origin.tls:
                await _tunnel(found, origin, origin.proxy)
            _, connection = await loop.create_connection(
                lambda: Connection(partial(self._keep, origin)),
                sock=found,
                ssl=_tls() if origin.tls else None,
                server_hostname=origin.host if origin.tls else None,
            )
        except BaseException:  # a cancelled one must not leak its socket
            found.close()
            raise
        return connection


async def _reply(connection: Connection, request: bytes) -> Reply:
    reply = connection.send(request)
    try:
        await reply.begin()
    except BaseException:  # a cancelled one gives its connection up too
        reply.close()
        raise
    return reply


async def _connected(host: str, port: int) -> socket.socket:
    """Connect to whichever address of a host answers first."""
    loop = asyncio.get_running_loop()
    found: Sequence[aiohappyeyeballs.AddrInfoType] = await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    )
    return await aiohappyeyeballs.start_connection(
        found, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1, loop=loop
    )


async def _tunnel(found: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """Have a proxy pass everything on.

    Raises:
        OSError: It does not.
    """
    loop = asyncio.get_running_loop()
    lines = [f"CONNECT {origin.authority} HTTP/1.1", f"host: {origin.authority}"]
    lines += [f"{name}: {value}" for name, value in proxy.headers]
    await loop.sock_sendall(found, "\r\n".join([*lines, "", ""]).encode())
    answer = b""
    # Nobody speaks before TLS begins, so that nothing follows the head of its answer.
    while b"\r\n\r\n" not in answer:
        data = await loop.sock_recv(found, 4096)
        if not data or len(answer) > _ANSWER_BYTES:
            raise ConnectionError("the proxy did not answer as HTTP has it")
        answer += data
    status = b" ".join(answer.split()[1:2]).decode("latin-1")
    if status != "200":
        raise ConnectionError(f"the proxy refused the connection ({status})")


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
