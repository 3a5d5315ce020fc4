"""Connections to a server that counts them, directly, through a proxy, and through TLS."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter_server import connections as module
from llmrouter_server import http1
from llmrouter_server.address import Address, Origin, Proxy
from llmrouter_server.connections import Connections
from llmrouter_server.http1 import Reply

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Server:
    """Answers every request alike, with a part of it later.

    Attributes:
        heads: Of the requests, each with the number of its connection.
    """

    def __init__(self, answer: bytes = OK, later: bytes = b"", **options: Any) -> None:
        self.heads: list[tuple[int, str]] = []
        self._later = later
        self._answer = answer
        self._options = options
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, **self._options)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self._count = self._count, self._count + 1
        if task := asyncio.current_task():
            self._tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append((number, head))
                if head.startswith("CONNECT ") and self._answer == OK:
                    await self._pass_on(head, reader, writer)
                    return
                writer.write(self._answer)
                await writer.drain()
                if self._later:
                    await asyncio.sleep(0.05)
                    writer.write(self._later)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _pass_on(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = head.split()[1].rpartition(":")
        other_reader, other_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)

        copying = [
            asyncio.create_task(copy(reader, other_writer)),
            asyncio.create_task(copy(other_reader, writer)),
        ]
        try:
            await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in copying:
                task.cancel()
            await asyncio.gather(*copying, return_exceptions=True)
            other_writer.transport.abort()


async def body_of(reply: Reply) -> bytes:
    parts = [reply.take()]
    while not reply.complete:
        await reply.arrival()
        parts.append(reply.take())
    return b"".join(parts)


def run(test: Callable[[Connections], Awaitable[None]]) -> None:
    async def main() -> None:
        connections = Connections()
        try:
            await test(connections)
        finally:
            await connections.close()

    asyncio.run(main())


def request(port: int) -> tuple[Origin, bytes]:
    address = Address(f"http://127.0.0.1:{port}/v1")
    return address.origin, address.request(b"", [])


@pytest.mark.network
def test_a_connection_is_used_again_once_its_answer_is_complete() -> None:
    async def test(connections: Connections) -> None:
        async with Server() as server:
            for _ in range(3):
                assert await body_of(await connections.ask(*request(server.port), 1)) == b"hi"
            assert [number for number, _ in server.heads] == [0, 0, 0]
            both = [connections.ask(*request(server.port), 1) for _ in range(2)]
            for reply in await asyncio.gather(*both):
                assert await body_of(reply) == b"hi"
            assert [number for number, _ in server.heads][3:] == [0, 1]

    run(test)


@pytest.mark.network
def test_an_answer_that_is_given_up_ends_its_connection() -> None:
    async def test(connections: Connections) -> None:
        async with Server(OK[:-1]) as server:
            for _ in range(2):
                reply = await connections.ask(*request(server.port), 1)
                assert not reply.complete
                reply.close()
                reply.close()
            assert [number for number, _ in server.heads] == [0, 1]

    run(test)


@pytest.mark.network
@pytest.mark.parametrize(
    ("rest", "again"), [(b"0\r\n\r\n", True), (b"1\r\nx\r\n0\r\n\r\n", False), (b"", False)]
)
def test_an_answer_whose_end_alone_is_to_come_may_be_left(
    rest: bytes, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1, "_LEAVE_SECONDS", 0.2)

    async def test(connections: Connections) -> None:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"
        async with Server(head, rest) as server:
            for _ in range(2):
                reply = await connections.ask(*request(server.port), 1)
                if not (taken := reply.take()):
                    await reply.arrival()
                    taken = reply.take()
                assert taken == b"hi"
                assert not reply.complete
                reply.leave()
                await asyncio.sleep(0.3)
            assert [number for number, _ in server.heads] == ([0, 0] if again else [0, 1])

    run(test)


@pytest.mark.network
def test_a_server_that_wants_to_close_is_not_asked_again_over_the_connection() -> None:
    async def test(connections: Connections) -> None:
        async with Server(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) as server:
            for _ in range(2):
                assert await body_of(await connections.ask(*request(server.port), 1)) == b"hi"
            assert [number for number, _ in server.heads] == [0, 1]

    run(test)


@pytest.mark.network
def test_idle_connections_are_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEEP_SECONDS", 0.05)

    async def test(connections: Connections) -> None:
        async with Server() as server:
            assert await body_of(await connections.ask(*request(server.port), 1)) == b"hi"
            await asyncio.sleep(0.2)
            assert not connections._idle
            assert await body_of(await connections.ask(*request(server.port), 1)) == b"hi"
            assert [number for number, _ in server.heads] == [0, 1]

    run(test)


@pytest.mark.network
def test_an_upstream_is_made_to_wait_while_nobody_takes_what_it_sends() -> None:
    size = 20 << 20

    async def test(connections: Connections) -> None:
        async with Server(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size) as server:
            reply = await connections.ask(*request(server.port), 1)
            await asyncio.sleep(0.2)
            waiting = reply.take()
            assert len(waiting) < 2 << 20
            assert len(waiting) + len(await body_of(reply)) == size
            assert await body_of(await connections.ask(*request(server.port), 1))
            assert [number for number, _ in server.heads] == [0, 0]

    run(test)


@pytest.mark.network
@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
def test_an_upstream_may_be_behind_a_proxy_and_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "1", *files, *names]
    subprocess.run(command, check=True, capture_output=True)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain("cert.pem", "key.pem")
    assert Path("cert.pem").exists()
    trusting = ssl.create_default_context(cafile="cert.pem")
    monkeypatch.setattr(module, "_tls", lambda: trusting)

    async def test(connections: Connections) -> None:
        async with Server(ssl=serving) as server, Server() as between:
            told = (("proxy-authorization", "Basic eA=="),)
            direct = Origin("localhost", server.port, True)
            for origin in (direct, direct._replace(proxy=Proxy("127.0.0.1", between.port, told))):
                _, wire = request(server.port)
                for _ in range(2):
                    assert await body_of(await connections.ask(origin, wire, 5)) == b"hi"
            assert [number for number, _ in server.heads] == [0, 0, 1, 1]
            ((_, head),) = between.heads
            assert head.startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n")
            assert "proxy-authorization: Basic eA==\r\n" in head
            with pytest.raises(ssl.SSLCertVerificationError):
                # Who the certificate is not for.
                await connections.ask(direct._replace(host="127.0.0.1"), wire, 5)

    run(test)


@pytest.mark.network
def test_a_proxy_that_refuses_is_an_error() -> None:
    async def test(connections: Connections) -> None:
        async with Server(b"HTTP/1.1 403 Forbidden\r\n\r\n") as server:
            with pytest.raises(ConnectionError, match=r"refused the connection \(403\)"):
                await connections.ask(Origin("localhost", 1, True, Proxy("127.0.0.1", server.port)), b"", 2)

    run(test)
