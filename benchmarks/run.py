"""Run the benchmarks: python benchmarks/run.py [NAME...] [--json FILE]; status 1 if a limit is exceeded."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import contract
import routing
import startup
import throughput
from result import HEADER, Result, as_json
from surroundings import make_bare

BENCHMARKS = {"startup": startup, "contract": contract, "throughput": throughput, "routing": routing}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line for each figure, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure llmrouter against its limits.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON, too")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {min(unknown)!r}, only {', '.join(BENCHMARKS)}")

    print(f"Python {platform.python_version()}, {os.cpu_count()} processors; making a bare environment\n")
    bare = make_bare()
    print(HEADER)
    results: list[Result] = []
    for name in options.names or BENCHMARKS:
        for result in BENCHMARKS[name].measure(bare):
            print(result.line, flush=True)
            results.append(result)
    print(f"\nx: multiples of the time of: python -c {startup.FLOOR!r}")
    print("x sklearn: of HashingVectorizer, TfidfTransformer and two LogisticRegression on the same texts")
    print("Both are run in turn, and the median is that of the ratios round by round: compare")
    print("these, for the times themselves depend on what else the machine does.")
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=2) + "\n")
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
