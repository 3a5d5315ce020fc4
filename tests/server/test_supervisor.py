"""The supervisor of several workers; test_serve runs it as users do."""

from __future__ import annotations

import socket

from llmrouter_server.options import ServeOptions
from llmrouter_server.supervisor import Supervisor


def test_workers_that_are_ready_after_the_stop_are_not_announced() -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        supervisor = Supervisor(ServeOptions(routers=()), listener, 2, lambda: said.append("ready"))
        supervisor._note_started(0)
        supervisor._stop()
        supervisor._note_started(1)
        assert not said


def test_workers_are_announced_once_all_are_ready() -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        supervisor = Supervisor(ServeOptions(routers=()), listener, 2, lambda: said.append("ready"))
        for place, expected in ((0, []), (1, ["ready"]), (0, ["ready"])):
            supervisor._note_started(place)
            assert said == expected
