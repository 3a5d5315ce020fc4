"""Load from wrk, which takes little of the machine for itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from serving.processes import HOST, cpu_seconds

SCRIPT = Path(__file__).with_name("post.lua")
PATH = "/v1/chat/completions"


class Target(NamedTuple):
    """Where requests are sent.

    Attributes:
        port: Of loopback.
        key: Bearer key.
        process: Who answers there.
    """

    port: int
    key: str
    process: int


class Load(NamedTuple):
    """What wrk counted in one run.

    Attributes:
        rate: Requests a second.
        requests: How many were answered.
        median: Of the latency, ms.
        p99: Its 99th percentile, ms.
        cpu: Processor time that the target used for a request, ms.
    """

    rate: float
    requests: int
    median: float
    p99: float
    cpu: float


def drive(target: Target, bodies: Path, *, connections: int, seconds: int) -> Load:
    """Send chat requests for some seconds.

    Raises:
        RuntimeError: None was answered, or one with a status from 400 or not at all.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(SCRIPT)]
    environ = {**os.environ, "WRK_BODIES": str(bodies), "WRK_KEY": target.key, "WRK_PATH": PATH}
    url = f"http://{HOST}:{target.port}"
    before = cpu_seconds(target.process)
    done = subprocess.run([*command, url], env=environ, capture_output=True, text=True, check=True)
    cpu = (cpu_seconds(target.process) - before) * 1000
    counted = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    if bad := {name: counted[name] for name in ("refused", "broken", "timed_out", "status") if counted[name]}:
        raise RuntimeError(f"of {counted['requests']} requests to {url} some failed: {bad}")
    requests = counted["requests"]
    if not requests:
        raise RuntimeError(f"{url} answered nothing within {seconds} s")
    rate = requests / counted["microseconds"] * 1e6
    return Load(rate, requests, counted["median"] / 1000, counted["p99"] / 1000, cpu / requests)
