"""The upstream LLM of the benchmarks: nginx, which answers a chat completion at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

from serving.processes import HOST, Program, free_port

TEXT = (
    "Machine learning is the study of algorithms that improve through experience. Given examples, such an "
    "algorithm finds regularities in them and uses these to predict what it has not seen: whether a mail is "
    "spam, what a house will cost, which word comes next. It is common to tell supervised learning, where "
    "the right answers are given, from unsupervised learning, where structure is found without them, and "
    "from reinforcement learning, where an agent learns from reward."
)
HEAD = {"id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "created": 1741569952, "model": "upstream-model"}
USAGE = {"prompt_tokens": 19, "completion_tokens": 82, "total_tokens": 101}
COMPLETION = {
    **HEAD,
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
    "service_tier": "default",
}
# Built-in modules alone; chunked like a stream is, because server-side includes make the length unknown.
CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{plain};
        default_type application/json;
        location / {{ return 200 '{completion}'; }}
    }}
    server {{
        listen {host}:{streaming};
        default_type text/event-stream;
        ssi on;
        ssi_types text/event-stream;
        {stream}
        location / {{ return 200 {streamed}; }}
    }}
}}
"""


def nginx(folder: Path) -> tuple[Program, int]:
    """Configure nginx; return how to start it and the port on which it streams."""
    plain, streaming = free_port(), free_port()
    # Each by itself, for nginx takes no parameter beyond 4 KB.
    events = {f"$event_{number}": event for number, event in enumerate(_events())}
    text = CONFIGURATION.format(
        folder=folder,
        host=HOST,
        plain=plain,
        streaming=streaming,
        completion=_quoted(json.dumps(COMPLETION)),
        stream="\n        ".join(f"set {name} '{_quoted(event)}';" for name, event in events.items()),
        streamed="".join(events),
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    command: list[str | Path] = ["nginx", "-e", "stderr", "-c", configuration]
    return Program("nginx", command, plain, "/", dict(os.environ), folder), streaming


def _events() -> list[str]:
    words = TEXT.split(" ")[:16]
    deltas = [{"role": "assistant", "content": ""}, *({"content": f"{word} "} for word in words)]
    chunks = [_chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    chunks.append(_chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    return [*chunks, _chunk([], usage=USAGE), "data: [DONE]\n\n"]


def _chunk(choices: list[dict[str, object]], **more: object) -> str:
    chunk = {**HEAD, "object": "chat.completion.chunk", "choices": choices, **more}
    return f"data: {json.dumps(chunk)}\n\n"


def _quoted(text: str) -> str:
    """A text within the single quotes of an nginx configuration."""
    if "'" in text or "$" in text:
        raise ValueError("nginx would read a quote or a variable in this answer")
    return text.replace("\\", "\\\\")
