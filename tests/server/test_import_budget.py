"""What naming the commands may import."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("httptools", "uvicorn", "prometheus_client", "sqlite3", "torch", "opentelemetry")


@pytest.mark.parametrize(
    "module",
    ["llmrouter_server.plugin", "llmrouter_server.commands.serve", "llmrouter_server.commands.keys"],
)
def test_naming_a_command_imports_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command", [["serve"], ["keys"], ["keys", "create"], ["keys", "list"], ["keys", "revoke"]]
)
def test_every_command_has_help(command: list[str]) -> None:
    from click.testing import CliRunner

    from llmrouter_server.commands.keys import keys
    from llmrouter_server.commands.serve import serve

    root = {"serve": serve, "keys": keys}[command[0]]
    outcome = CliRunner().invoke(root, [*command[1:], "--help"])
    assert outcome.exit_code == 0
    assert "Usage:" in outcome.output


def test_serving_imports_no_torch() -> None:
    program = (
        "import sys, llmrouter_server.worker, llmrouter_server.supervisor; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
