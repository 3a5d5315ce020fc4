"""What is answered so far, beside the output, so that an interrupted run loses nothing that was paid for."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import msgspec

from llmrouter.data.queries import QueryRow
from llmrouter.errors import DataError, LLMRouterError

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".partial"


class _Entry(msgspec.Struct):
    """One finished row: its number, a digest of its query, whether it failed, and the row itself."""

    number: int
    digest: str
    failed: bool
    row: msgspec.Raw


class Journal:
    """Rows finished so far, in ``OUTPUT.partial``; it is removed once all of them are answered.

    Only one process at a time holds it, and only its owner may read it.

    Args:
        output: Path of the output.
        made_with: What the answers depend on; a run with other settings cannot go on with them.
        resume: Whether to go on with what an earlier run left.

    Raises:
        LLMRouterError: There is such a file and `resume` is off, or nothing to go on with; it was made with
            other settings; another run is writing it.
        DataError: It cannot be read or written, or is damaged.
    """

    def __init__(self, output: str, made_with: Mapping[str, Any], resume: bool) -> None:
        self.path = Path(f"{os.path.realpath(output)}{SUFFIX}")
        self._made_with = dict(made_with)
        # Where each finished row stands in the file, and the digests of those that did not fail.
        self._places: dict[int, int] = {}
        self._digests: dict[int, str] = {}
        # Rows of the input as far as it was read; others may be of an earlier input.
        self._present: set[int] = set()
        if resume and not self.path.exists() and os.path.exists(output):
            raise LLMRouterError(
                f"there is nothing to go on with: {output} is there and {self.path} is not; leave out "
                "--resume to ask everything anew"
            )
        with self._told():
            self._stream = self._opened(resume)
            try:
                self._read()
            except BaseException:  # whatever it is, Ctrl-C too: nobody else could close it
                self._stream.close()
                raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.finished == 0:
            self.remove()
        with contextlib.suppress(OSError):  # that it is full was told when a row could not be added
            self._stream.close()

    @property
    def finished(self) -> int:
        """Rows that are answered."""
        return len(self._digests)

    def unfinished(self, rows: Iterable[QueryRow]) -> Iterator[QueryRow]:
        """Yield the rows that are not answered yet; those that failed are among them."""
        for row in rows:
            self._present.add(row.number)
            if self._digests.get(row.number) != _digest(row):
                yield row

    def add(self, row: QueryRow, encoded: bytes, failed: bool) -> None:
        """Keep a finished row, in place of an earlier one of that number.

        Raises:
            DataError: It cannot be written.
        """
        entry = _Entry(row.number, _digest(row), failed, msgspec.Raw(encoded))
        with self._told():
            place = self._stream.seek(0, os.SEEK_END)
            self._write(msgspec.json.encode(entry))
        self._note(entry, place)

    def rows(self) -> Iterator[bytes]:
        """Yield the finished rows of this input in its order."""
        for number in sorted(self._present & self._places.keys()):
            self._stream.seek(self._places[number])
            yield bytes(_decode(self._stream.readline()).row)

    def remove(self) -> None:
        """Remove the file: the output holds everything."""
        self.path.unlink(missing_ok=True)

    def _opened(self, resume: bool) -> IO[bytes]:
        mode = "r+b" if resume and self.path.exists() else "x+b"
        try:
            stream = open(self.path, mode, opener=_private)  # noqa: SIM115 - for as long as this object is used
        except FileExistsError:
            raise LLMRouterError(
                f"{self.path} holds answers of a run that did not finish, or not all of them; go on with "
                "--resume, or remove it"
            ) from None
        if fcntl is not None:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.close()
                raise LLMRouterError(f"{self.path} is being written by another run") from None
        return stream

    def _read(self) -> None:
        """Take over the rows of an earlier run; what was cut off at the end is dropped."""
        first = self._stream.readline()
        if not first.endswith(b"\n"):
            self._cut(0)
            self._write(msgspec.json.encode(self._made_with))
            return
        self._compare(self._decoded(first, dict[str, Any], 1))
        number = 1
        while True:
            place = self._stream.tell()
            line = self._stream.readline()
            number += 1
            if not line.endswith(b"\n"):
                self._cut(place)
                return
            self._note(self._decoded(line, _Entry, number), place)

    def _decoded(self, line: bytes, kind: Any, number: int) -> Any:
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError as error:
            raise DataError(self.path, f"is damaged: {error}; remove the line", line=number) from None

    def _compare(self, made_with: dict[str, Any]) -> None:
        names = [*made_with, *(name for name in self._made_with if name not in made_with)]
        for name in names:
            before, now = made_with.get(name), self._made_with.get(name)
            if before != now:
                raise LLMRouterError(
                    f"{self.path} was made with other settings: {name} was {_shown(before)} and is "
                    f"{_shown(now)} now; use the same, or remove it to begin anew"
                )

    def _note(self, entry: _Entry, place: int) -> None:
        self._places[entry.number] = place
        if entry.failed:
            self._digests.pop(entry.number, None)
        else:
            self._digests[entry.number] = entry.digest

    def _write(self, line: bytes) -> None:
        self._stream.write(line + b"\n")
        self._stream.flush()

    def _cut(self, place: int) -> None:
        self._stream.seek(place)
        self._stream.truncate()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(self.path, f"cannot be written: {error.strerror}") from error


_decode = msgspec.json.Decoder(_Entry).decode


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _shown(value: Any) -> str:
    text = "not set" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _digest(row: QueryRow) -> str:
    text = msgspec.json.encode([row.query, row.problem], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]
