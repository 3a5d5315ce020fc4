"""A PostgreSQL server of its own, in a temporary folder, that can be stopped and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest


class PostgreSQL:
    """A server, which runs.

    Attributes:
        address: Of its first database.
    """

    def __init__(self) -> None:
        initdb, postgres = _program("initdb"), _program("postgres")
        if initdb is None or postgres is None:
            missing = "PostgreSQL is not installed; run: apt-get install postgresql"
            # Where changes are judged, it has to be there.
            assert "CI" not in os.environ, missing
            pytest.skip(missing)
        self._folder = Path(tempfile.mkdtemp(prefix="llmrouter-pg-"))
        self.address = f"postgresql://llmrouter@/postgres?host={self._folder}"
        # It refuses to run as root.
        user = "postgres" if os.getuid() == 0 else None
        if user is not None:
            os.chown(self._folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        self._options: dict[str, Any] = {"user": user, "cwd": self._folder}
        data = str(self._folder / "data")
        setup = [initdb, "-D", data, "-U", "llmrouter", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(setup, check=True, stdout=subprocess.DEVNULL, **self._options)
        # Reached through a socket in the folder, so that no port can be taken. Not durable: quicker.
        self._command = [postgres, "-D", data, "-k", str(self._folder), "-h", "", "-F"]
        self._command += ["-c", "max_connections=200"]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        import psycopg

        log = self._folder / "log"
        with log.open("ab") as written:
            self._process = subprocess.Popen(self._command, stdout=written, stderr=written, **self._options)
        for _ in range(600):
            try:
                psycopg.connect(self.address).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, log.read_text()
                time.sleep(0.05)
            else:
                return
        raise AssertionError(log.read_text())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it without waiting for clients to leave; by SIGQUIT without a word to its files either."""
        self._process.send_signal(how)
        self._process.wait(300)

    def close(self) -> None:
        """Stop it for good, and delete its files."""
        if self._process.poll() is None:
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _program(name: str) -> str | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    for folder in reversed(folders):
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name)
