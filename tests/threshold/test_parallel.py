"""Several processes train together and come to what one comes to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from llmrouter_threshold.router import ThresholdRouter

pytestmark = pytest.mark.torch

Batch = list[dict[str, Any]]


def under_torchrun(*program: str) -> subprocess.CompletedProcess[str]:
    launch = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    return subprocess.run(
        [sys.executable, *launch, "--nproc-per-node", "2", *program],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )


def test_one_process_has_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from llmrouter_threshold.parallel import Processes

    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    with Processes("cpu") as processes:
        assert (processes.count, processes.first) == (1, True)
        assert processes.share(torch.arange(3)).tolist() == [0, 1, 2]
        gradient = torch.ones(2)
        processes.add_up([gradient])
        assert gradient.tolist() == [1, 1]
        processes.wait()


def test_several_share_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from llmrouter_threshold.parallel import Processes

    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        processes = Processes("cpu")
        assert processes.first == (rank == 0)
        shares.append(processes.share(torch.arange(7)).tolist())
    assert shares == [[0, 3, 6], [1, 4], [2, 5]]


# 160 queries make the last batch one query, of which the second process gets nothing.
@pytest.mark.parametrize(
    "hparam", [{}, {"hidden_dim": 4, "embedding_dim": 8, "batch_size": 53, "dropout": 0.0}]
)
def test_two_processes_give_the_scores_of_one(
    trained: Callable[..., ThresholdRouter],
    loaded: Callable[..., ThresholdRouter],
    unseen: Batch,
    hparam: dict[str, Any],
) -> None:
    alone = trained(**hparam).scores(unseen)
    Path("model.safetensors").unlink()
    done = under_torchrun(
        "-m", "llmrouter_cli", "train", "--router", "thresholdrouter", "--config", "config.yaml"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["saved"] == "model.safetensors"  # once, though two could tell
    together = loaded()
    assert together.trained["finished"] is True
    # L-BFGS counts with 64 bits; Adam, for the hidden layer, with 32.
    assert together.scores(unseen) == pytest.approx(alone, abs=1e-3 if hparam else 1e-6)


PROGRAM = """
import os
import torch
from llmrouter_threshold.parallel import Processes

with Processes("cpu") as processes:
    # What imports more of torch while the processes talk.
    torch.optim.LBFGS([torch.zeros(1, requires_grad=True)])
    processes.wait()
names = [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]
open(f"{os.environ['RANK']}.txt", "w").write(" ".join(names))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="there are no names of threads here")
def test_what_talked_to_the_others_has_ended_before_the_process_does() -> None:
    # A thread of it that lives on aborts a process that is ending, now and then.
    Path("program.py").write_text(PROGRAM)
    done = under_torchrun("program.py")
    assert done.returncode == 0, done.stderr
    for rank in range(2):  # a file each: what both print may come mixed
        threads = Path(f"{rank}.txt").read_text()
        assert threads
        assert "gloo" not in threads
