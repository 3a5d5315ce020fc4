"""Measure the gateway beside others: python benchmarks/gateway.py [NAME...] [--rounds N] [--json FILE].

Every gateway has one worker and passes chat completions on to nginx, which answers at once; wrk sends them.
Ours has all on that a user has: keys, metrics, the access log, and the decision in the answer. Status 1 if a
limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from result import HEADER, Result, as_json
from serving import gateways, resources, streams
from serving.environments import missing_programs, place
from serving.load import Target
from serving.processes import HOST, running
from serving.soak import soak
from serving.throughput import BARE, LITELLM, RANDOM, THRESHOLD, UPSTREAM, latency, throughput
from serving.upstream import nginx

ROUNDS = 7


class Setting(NamedTuple):
    """What the benchmarks share: our gateway, and the ports of the upstream, which streams on one of them."""

    ours: gateways.Ours
    nginx: int
    upstream: int
    streaming: int
    rounds: int

    @property
    def endpoint(self) -> str:
        """The upstream's address."""
        return f"http://{HOST}:{self.upstream}"


def side_by_side(setting: Setting) -> Iterator[Result]:
    """Throughput and latency of all gateways, which run at the same time and are driven in turn."""
    programs = {
        BARE: gateways.baseline(setting.endpoint),
        LITELLM: gateways.litellm(setting.endpoint),
        RANDOM: setting.ours.serve(RANDOM, setting.endpoint),
        THRESHOLD: setting.ours.serve(THRESHOLD, setting.endpoint),
    }
    bodies = gateways.write_bodies()
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(program)) for name, program in programs.items()}
        targets = {UPSTREAM: Target(setting.upstream, "", setting.nginx)}
        for name, server in servers.items():
            key = gateways.MASTER_KEY if name == LITELLM else setting.ours.key
            targets[name] = Target(server.program.port, key, server.process.pid)
        yield from throughput(targets, bodies, setting.rounds)
        yield from latency(targets, bodies, setting.rounds)


def first_chunk(setting: Setting) -> Iterator[Result]:
    """The first chunk of a stream."""
    program = setting.ours.serve(RANDOM, f"http://{HOST}:{setting.streaming}", name="streaming")
    bodies = gateways.write_bodies("streamed", stream=True)
    with running(program) as server:
        upstream = Target(setting.streaming, "", setting.nginx)
        ours = Target(program.port, setting.ours.key, server.process.pid)
        yield from streams.first_chunk(upstream, ours, bodies, setting.rounds)


def start(setting: Setting) -> Iterator[Result]:
    """From the start of the process until it is ready."""
    program = setting.ours.serve(RANDOM, setting.endpoint, name="start")
    return resources.start_to_ready(program, setting.rounds)


def memory(setting: Setting) -> Iterator[Result]:
    """What many requests add to the resident memory."""
    program = setting.ours.serve(RANDOM, setting.endpoint, name="memory")
    return resources.memory_growth(program, setting.ours.key, gateways.write_bodies())


def soaked(setting: Setting) -> Iterator[Result]:
    """Many requests with a worker killed and the configuration reloaded in between."""
    program = setting.ours.serve(RANDOM, setting.endpoint, name="soak", more=("--workers", "2"))
    return soak(program, setting.ours.key, gateways.write_bodies())


BENCHMARKS: dict[str, Callable[[Setting], Iterator[Result]]] = {
    "load": side_by_side,
    "stream": first_chunk,
    "start": start,
    "memory": memory,
    "soak": soaked,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line for each figure, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON, too")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {min(unknown)!r}, only {', '.join(BENCHMARKS)}")
    if options.rounds < 1:
        parser.error("--rounds takes a number from 1")
    if missing := missing_programs():
        print(missing, file=sys.stderr)
        return 1

    # As an exception, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, {options.rounds} rounds")
    ours = gateways.ours()
    upstream, streaming = nginx(place("work"))
    results: list[Result] = []
    with running(upstream) as server:
        setting = Setting(ours, server.process.pid, upstream.port, streaming, options.rounds)
        print(f"\n{HEADER}")
        for name in options.names or BENCHMARKS:
            for result in BENCHMARKS[name](setting):
                print(result.line, flush=True)
                results.append(result)
    print("\nThe gateways are driven in turn, and a ratio's median is that of the ratios round by round:")
    print("compare these, for the figures themselves depend on what else the machine does.")
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=2) + "\n")
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
