"""A page, done as a reader does it: files are written, commands typed, servers left running beside."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import time
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.docs.environment import Environment
from tests.docs.files import check_file
from tests.docs.pages import PROSE, SHELL, Block

# Commands that go on until they are stopped: a reader leaves them running and opens another terminal.
SERVER = re.compile(
    r"^((?:llmrouter (?:--\S+ )*serve|llmrouter jobs worker|python \S*local_llm\.py|mkdocs serve)\b"
    r"(?:\\\n|[^\n])*?)[ ]*&?$",
    re.MULTILINE,
)
INIT = re.compile(r"^llmrouter init\b.*$", re.MULTILINE)
# What would ask an index, and what does the same here.
OFFLINE = (
    # The environment that there is, by the name that the page gives it.
    (re.compile(r"^python3? -m venv (\S+)$", re.MULTILINE), r'ln -s "$VIRTUAL_ENV" \1'),
    (re.compile(r"^python3? -m build\b", re.MULTILINE), r"\g<0> --no-isolation"),
)
GATEWAY_PORT = 8000
# Before a port.
PLACE = r"(127\.0\.0\.1:|localhost:|--port[ =])"
# Longer than any block takes on a machine that is busy: only what is stuck meets it.
SECONDS = 600

# What a block begins with: where the block before left off; how a server is started and waited for; and how
# the LLMs of the example project come to be at the ports that stand in.
PREAMBLE = r"""
set -eo pipefail
trap 'export -p >"$SESSION/environ"; pwd >"$SESSION/folder"' EXIT
if [ -e "$SESSION/environ" ]; then . "$SESSION/environ"; cd "$(cat "$SESSION/folder")"; fi
serving() {
    local port=$1; shift
    if [ -e "$SESSION/server.$port" ]; then
        kill "$(cat "$SESSION/server.$port")" 2>/dev/null || :
        while (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.05; done
    fi
    exec "$@" </dev/null >"$SESSION/server.$port.log" 2>&1 &
    echo $! >"$SESSION/server.$port"
    # Each prints its address once it is ready.
    until [ "$port" = 0 ] || grep -q http:// "$SESSION/server.$port.log"; do
        kill -0 $! 2>/dev/null || { cat "$SESSION/server.$port.log" >&2; return 1; }
        sleep 0.05
    done
}
project() {
    "$@"
    find . -path '*/llm_candidates/local_llm.json' -exec sed -i -E "$PORTS" {} +
}
"""
# A terminal of a width that no table has to be folded for.
WIDE = "export TERM=xterm NO_COLOR=1 COLUMNS=200"


class ExampleError(AssertionError):
    """An example does not do what its page says."""

    def __init__(self, block: Block, problem: str) -> None:
        super().__init__(f"{block}: {problem}\n\n{block.code}")


@dataclass
class Session:
    """One page's blocks, run in order.

    Args:
        folder: The reader's folder.
        environment: What the reader installs into.
        ports: Those that the page names, and those that stand in for them, for others may be in use.
        typed: What the reader types where a program asks.
        environ: Variables that the reader has.
        brought: A folder of files that the reader has, wherever the page leads.
        written: Files that the page writes.
    """

    folder: Path
    environment: Environment
    ports: Mapping[int, int] = field(default_factory=dict)
    typed: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    brought: Path | None = None
    written: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._own = self.environment.folder / "session"
        self._own.mkdir()
        (self._own / "typed").write_text(self.typed)
        # A page's gateway gets a port of its own, whether the page names it or not.
        self.ports = {GATEWAY_PORT: free_port(), **self.ports}

    def perform(self, block: Block, shown: str | None = None) -> None:
        """Do what a reader does with a block.

        Args:
            block: The block.
            shown: Of a shell's block, what the page shows of what it prints on a terminal.

        Raises:
            ExampleError: It does not work.
        """
        __tracebackhide__ = True
        self._bring()
        block = replace(block, code=self._at_our_ports(block.code))
        if block.language in PROSE:
            return
        if block.language == "console":
            self._converse(block)
        elif block.language in SHELL:
            told = self._type(block, block.code, terminal=shown is not None)
            if shown is not None and (missing := unseen(told, shown)):
                raise ExampleError(block, f"does not show {missing!r}, but:\n{told}")
        elif block.language == "python" and block.file is None:
            self._run_python(block)
        elif block.language == "diff":
            self._change(block)
        else:
            if block.file is not None:
                path = self.current / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.code, "utf-8")
            try:
                check_file(block, self.current, self.written)
            except ValueError as error:
                raise ExampleError(block, str(error)) from error

    @property
    def current(self) -> Path:
        """The folder that the reader is in."""
        place = self._own / "folder"
        return Path(place.read_text().strip()) if place.exists() else self.folder

    def _bring(self) -> None:
        """Put what the reader brings where the reader is, but over nothing."""
        for path in self.brought.iterdir() if self.brought is not None else ():
            target = self.current / path.name
            if path.is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            elif not target.exists():
                shutil.copy(path, target)

    def close(self) -> None:
        """Stop what still runs."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self._running():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
            end = time.monotonic() + 10
            while self._running() and time.monotonic() < end:
                time.sleep(0.05)

    def _running(self) -> list[int]:
        """The processes that the page has started, those too that began a session of their own."""
        mark = f"SESSION={self._own}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            # Of others, or ended meanwhile.
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found

    def _type(self, block: Block, code: str, terminal: bool = False) -> str:
        """Type commands into a shell; returns all that they print."""
        __tracebackhide__ = True
        code = INIT.sub(r"project \g<0>", SERVER.sub(self._serving, code))
        for theirs, ours in OFFLINE:
            code = theirs.sub(ours, code)
        script = self._own / "block.sh"
        script.write_text(f"{PREAMBLE}\n{WIDE if terminal else ''}\n{code}\n")
        return self._finish(block, ["bash", str(script)], self.folder, terminal)

    def _finish(self, block: Block, command: list[str], folder: Path, terminal: bool = False) -> str:
        __tracebackhide__ = True
        environ = {
            **self.environment.environ,
            **self.environ,
            "SESSION": str(self._own),
            "PORTS": "; ".join(f"s/{PLACE}{theirs}\\b/\\1{ours}/" for theirs, ours in self.ports.items()),
            "PWD": str(folder),
        }
        # A file, or a terminal; a server that is left running would keep a pipe open.
        reader, writer = pty.openpty() if terminal else _file(self._own / "output")
        try:
            with (self._own / "typed").open() as typed:
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environ,
                    stdin=typed,
                    stdout=writer,
                    stderr=writer,
                    start_new_session=True,
                )
            try:
                told = _read_while(process, reader)
            finally:
                if stuck := process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        finally:
            os.close(reader)
            os.close(writer)
        status = f"none in {SECONDS} s" if stuck else process.returncode
        if status != 0:
            raise ExampleError(block, f"ended with status {status} and said:\n{told}")
        if unknown := re.search(r"^.*does not provide the extra.*$", told, re.MULTILINE):
            raise ExampleError(block, unknown[0])
        return told

    def _serving(self, match: re.Match[str]) -> str:
        command = match[1].replace("--host 0.0.0.0", "--host 127.0.0.1")
        named = re.search(r"--port[ =](\d+)", command)
        if "jobs worker" in command:
            return f"serving 0 {command}"
        port = int(named[1]) if named else self.ports[GATEWAY_PORT]
        return f"serving {port} {command}" + ("" if named else f" --port {port}")

    def _converse(self, block: Block) -> None:
        """Type what stands after each ``$``, and compare what is shown below it."""
        for command, shown in conversation(block.code):
            told = self._type(block, command)
            if shown and not looks_like(told, shown):
                raise ExampleError(block, f"{command}\nsays:\n{told}\nnot:\n{shown}")

    def _run_python(self, block: Block) -> None:
        __tracebackhide__ = True
        script = self._own / "example.py"
        script.write_text(block.code, "utf-8")
        before = f". {shlex.quote(str(self._own / 'environ'))}; " if (self._own / "environ").exists() else ""
        # As by a reader who pastes it: the current folder is where modules are looked for.
        command = f"{before}cd {shlex.quote(str(self.current))}; PYTHONPATH=. exec python {script}"
        told = self._finish(block, ["bash", "-c", command], self.folder).splitlines()
        for shown in printed(block.code):
            while told and not looks_like(told[0], shown):
                told.pop(0)
            if not told:
                raise ExampleError(block, f"it does not print {shown!r}")
            told.pop(0)

    def _change(self, block: Block) -> None:
        """Change a file as a reader does who looks for the lines without ``+``."""
        path = self.current / (block.file or "")
        if not path.is_file():
            raise ExampleError(block, "the sentence before names no file that there is to be changed")
        lines = block.code.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if not line.startswith("+"))
        after = "".join(line[1:] for line in lines if not line.startswith("-"))
        text = path.read_text("utf-8")
        if (count := text.count(before)) != 1 or not before:
            raise ExampleError(block, f"{path.name} has these lines {count} times")
        path.write_text(text.replace(before, after), "utf-8")

    def _at_our_ports(self, text: str) -> str:
        for theirs, ours in self.ports.items():
            text = re.sub(rf"{PLACE}{theirs}\b", rf"\g<1>{ours}", text)
        return text


def conversation(code: str) -> list[tuple[str, str]]:
    """Return the commands of a ``console`` block, each with what is shown below it."""
    found: list[tuple[str, str]] = []
    for line in code.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> ") and found and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
        elif not found:
            raise ValueError(f"a console block begins with '$ ', not with {line!r}")
        elif found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


def printed(code: str) -> list[str]:
    """Return the comments that stand behind calls of print: what they print."""
    ends = {
        node.end_lineno
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "print"
    }
    return [
        token.string.removeprefix("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT and token.start[0] in ends and token.line[: token.start[1]].strip()
    ]


def unseen(told: str, shown: str) -> str | None:
    """Return the first line of what is shown that is not told, in order; numbers and widths may differ."""
    rest = _plain(told)
    for line in filter(_plain, shown.splitlines()):
        _, found, rest = rest.partition(_plain(line))
        if not found:
            return line
    return None


def _plain(text: str) -> str:
    """Text without colours, lines and widths, a sign in the place of each number."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|─", "", text)
    return " ".join(re.sub(r"(?<![\w.-])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w-])", "#", text).split())


def _file(path: Path) -> tuple[int, int]:
    """Make a file; returns descriptors to read and to write it."""
    path.write_bytes(b"")
    return os.open(path, os.O_RDONLY), os.open(path, os.O_WRONLY | os.O_APPEND)


def _read_while(process: subprocess.Popen[bytes], reader: int) -> str:
    """Read what a process prints until it ends, or its time is over."""
    told = b""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        # Before reading, so that what it printed last is read too.
        ended = process.poll() is not None
        ready = select.select([reader], [], [], 0 if ended else 0.05)[0]
        part = os.read(reader, 1 << 16) if ready else b""
        told += part
        if ended and not part:
            break
        if not ended and not part:
            time.sleep(0.02)
    return told.decode("utf-8", "replace").replace("\r\n", "\n")


def looks_like(told: str, shown: str) -> bool:
    """Whether a text is as shown, where ``…`` or ``...`` stand for anything."""
    pattern = ".*".join(re.escape(part) for part in re.split(r"…|\.\.\.", shown.strip()))
    return re.fullmatch(pattern, told.strip(), re.DOTALL) is not None


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port
