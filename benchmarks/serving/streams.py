"""How much later the first chunk of a stream comes through the gateway than from the upstream itself."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from result import Result
from serving.client import requests_of
from serving.load import Target
from serving.processes import HOST
from serving.throughput import in_turn, result

REQUESTS = 150
LAST = b"0\r\n\r\n"


def first_chunk(upstream: Target, ours: Target, bodies: Path, rounds: int) -> Iterator[Result]:
    """Compare the median time to the first chunk, over one connection each.

    Args:
        upstream: An upstream that streams.
        ours: A gateway in front of it.
        bodies: File of streamed chat requests, a body a line.
        rounds: How often each is measured, in turn.
    """
    targets = {"upstream": upstream, "ours": ours}
    medians: dict[str, list[float]] = {name: [] for name in targets}
    for target in targets.values():  # to warm up
        _median(target, bodies)
    for _, name in in_turn(list(targets), rounds):
        medians[name].append(_median(targets[name], bodies))
    yield result("upstream, first stream chunk", medians["upstream"], None, "ms")
    added = [one - least for one, least in zip(medians["ours"], medians["upstream"], strict=True)]
    yield result("randomrouter adds to the first stream chunk", added, 1, "ms")


def _median(target: Target, bodies: Path) -> float:
    """The median time to the first chunk, ms."""
    requests = requests_of(bodies, target.key)
    taken = []
    with socket.create_connection((HOST, target.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(REQUESTS):
            started = time.perf_counter()
            connection.sendall(requests[number % len(requests)])
            answer = b""
            while b"\r\n\r\n" not in answer or b"data:" not in answer:
                answer += _received(connection, answer)
            taken.append((time.perf_counter() - started) * 1000)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"port {target.port} answers: {answer[:500]!r}")
            while not answer.endswith(LAST):
                answer += _received(connection, answer)
            if b"data: [DONE]" not in answer:
                raise RuntimeError(f"port {target.port} ends a stream without [DONE]: {answer[-500:]!r}")
    return statistics.median(taken)


def _received(connection: socket.socket, before: bytes) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise RuntimeError(f"a stream was cut off after: {before[-500:]!r}")
    return data
