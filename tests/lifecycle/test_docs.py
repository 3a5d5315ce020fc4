"""The examples of docs/lifecycle.md do what they say."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Outcome
from tests.lifecycle.conftest import answer, requests
from tests.lifecycle.server import write_config
from tests.upstream import Upstream

TEXT = (Path(__file__).parents[2] / "docs" / "lifecycle.md").read_text("utf-8")


def judging(request: dict[str, Any]) -> str:
    told = request["messages"][-1]["content"]
    if "<content>" not in told:
        return answer(request)
    return f"<rationale>r</rationale><score>{1 if 'I do not know' in told else 5}</score>"


def test_the_example_in_python(catalogue: dict[str, Any], upstream: Upstream, capsys: Any) -> None:
    upstream.script = judging
    write_config(Path("config.yaml"), catalogue)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {"requests": requests(60)}
    exec(compile(code, "docs/lifecycle.md", "exec"), names)
    # The worker that it started would end by itself, a while later.
    worker = names["client"]._backend._process
    worker.terminate()
    worker.wait(20)
    assert capsys.readouterr().out.endswith("local/cheap It is 8.\n")


def test_the_examples_on_the_command_line(
    command: Callable[..., Outcome], catalogue: dict[str, Any], upstream: Upstream
) -> None:
    write_config(Path("config.yaml"), catalogue)
    Path("requests.jsonl").write_text("".join(json.dumps(request) + "\n" for request in requests(60)))
    lines = re.findall(r"^llmrouter ((?:routers|judges|jobs|keys) .*)$", TEXT, re.MULTILINE)
    assert len(lines) == 7
    for line in lines:
        outcome = command(*shlex.split(line))
        assert outcome.status == 0, (line, outcome.err)
        if line.startswith("routers run"):
            assert "It is 8." in outcome.out


def test_its_table_of_scopes_is_that_of_the_protocol() -> None:
    from llmrouter_lifecycle.api import ROUTES

    for route in ROUTES:
        changes = route.method in ("PATCH", "DELETE") or route.path.endswith((":cancel", ":retry"))
        if changes or (
            route.method == "POST" and re.search(r"/(routers|judges|router_training_jobs)$", route.path)
        ):
            assert route.scope == "write", route.path
        elif route.method == "GET" or route.path.endswith((":render", ":estimate")):
            assert route.scope == "read", route.path
        else:
            assert route.scope == "chat", route.path
