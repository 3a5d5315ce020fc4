"""No file of the gateway can be written, as on a full disk, while keys with a budget ask."""

from __future__ import annotations

import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmrouter_server.key_file import create_key
from tests.gateway.client import Gateway, wait_for
from tests.gateway.conftest import hidden, llm, serve, well  # noqa: F401 - fixtures
from tests.gateway.test_budgets import COST, PRICED, Pay, pay  # noqa: F401 - a fixture
from tests.gateway.test_operation import workers_of
from tests.gateway.upstream import Upstream, events, streams


def limit_files(gateway: Gateway, size: int) -> None:
    """Let no file of a gateway's processes be written beyond a size in bytes: writing fails, as when full."""
    for pid in (gateway.process.pid, *workers_of(gateway)):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_under_the_budgets_is_a_503_for_their_keys_alone_and_loses_nothing(
    pay: Pay,  # noqa: F811
    llm: Upstream,  # noqa: F811
    tmp_path: Path,
    workers: int,
) -> None:
    without_budget = create_key(tmp_path / "keys.json", "bob")
    payer = pay(1.0, workers=workers, candidates={"priced": PRICED, "slow": PRICED})
    gateway, ann = payer.gateway, payer.gateway.key
    assert gateway.chat("priced", max_tokens=10).status == 200
    proceed = threading.Event()
    llm.behave("slow", streams(events(), proceed=proceed))
    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(gateway.chat, "slow", max_tokens=10, stream=True)
        wait_for(lambda: bool(llm.requests("slow")))
        limit_files(gateway, 0)
        sent = len(llm.requests("priced"))
        for _ in range(4):
            answer = gateway.chat("priced", max_tokens=10)
            assert (answer.status, answer.error["code"]) == (503, "database_unavailable"), answer.body
            assert int(answer.headers["retry-after"]) > 0
        # No call was made that nothing paid for.
        assert len(llm.requests("priced")) == sent
        gateway.key = without_budget
        for _ in range(4):
            assert gateway.chat("priced", max_tokens=10).status == 200
        # What was under way ends well, and is charged when there is room.
        proceed.set()
        answer = under_way.result()
        assert answer.status == 200
        assert answer.body.endswith(b"data: [DONE]\n\n")
    limit_files(gateway, resource.RLIM_INFINITY)
    payer.settles_at(2 * COST)
    gateway.key = ann
    wait_for(lambda: gateway.chat("priced", max_tokens=10).status == 200, 10)
    payer.settles_at(3 * COST)
    # Nothing stayed set aside: all the rest can be spent at once.
    assert gateway.chat("priced", max_tokens=981).status == 200
