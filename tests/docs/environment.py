"""An environment that a page may install into and remove from, with all that this one has."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.docs.pages import ROOT


class Environment:
    """A virtual environment on top of the one that runs the tests; what it installs is its own.

    pip is the real one, offline: what a page asks for has to be here, or to lie in `wheels`.

    Args:
        folder: Where it is made.

    Attributes:
        bin: Where its programs are.
        wheels: A folder in which pip looks for distributions.
    """

    def __init__(self, folder: Path) -> None:
        venv.EnvBuilder(symlinks=True).create(folder)
        self.folder = folder
        self.bin = folder / "bin"
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        (site,) = folder.glob("lib/python*/site-packages")
        # Not as a path alone, for packages under development are made known by files of this kind.
        here = sysconfig.get_path("purelib")
        (site / "beneath.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        for program in Path(sys.executable).parent.iterdir():
            self._add_program(program)
        self._add_script("make", f'exec "$(PATH=${{PATH#*:}} command -v make)" -C {ROOT} -n "$@"')

    def _add_program(self, program: Path) -> None:
        """Let a program of the environment beneath run in this one."""
        target = self.bin / program.name
        if not program.is_file() or program.is_symlink() or target.exists():
            return
        head, _, rest = program.read_bytes()[:100_000].partition(b"\n")
        if head.startswith(b"#!") and b"python" in head:
            target.write_bytes(f"#!{self.bin / 'python'}\n".encode() + rest)
            target.chmod(0o755)

    def _add_script(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which a shell uses it."""
        # Settings of pip's too, for the development environment has some.
        foreign = ("PYTHONPATH", "PYTHONHOME", "PIP_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {
            **inherited,
            "VIRTUAL_ENV": str(self.folder),
            "PATH": os.pathsep.join([str(self.bin), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PIP_NO_INDEX": "1",
            "PIP_QUIET": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            # Spelt so, it is what --no-build-isolation is on the command line.
            "PIP_NO_BUILD_ISOLATION": "false",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "HF_HUB_OFFLINE": "1",
            "GLOO_SOCKET_IFNAME": "lo",
        }

    def offer(self, distribution: str) -> None:
        """Let pip find a distribution of this project as if on an index, and install it though it is here."""
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir"]
        command = [sys.executable, "-m", "pip", "wheel", *options, str(self.wheels)]
        subprocess.run([*command, str(ROOT / "packages" / distribution)], check=True, env=self.environ)
