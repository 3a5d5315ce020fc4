"""What is answered so far, beside the output, so that an interrupted run loses nothing that was paid for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from llmrouter.data.queries import QueryRow
from llmrouter.errors import DataError, LLMRouterError

SUFFIX = ".partial"


class _Entry(msgspec.Struct):
    """One finished row: its number, a digest of its query, whether it failed, and the row itself."""

    number: int
    digest: str
    failed: bool
    row: msgspec.Raw


class Journal:
    """Rows finished so far, in ``OUTPUT.partial``; it is removed once all of them are answered.

    Args:
        output: Path of the output.
        made_with: What the answers depend on; a run with other settings cannot go on with them.
        resume: Whether to go on with what an earlier run left.

    Raises:
        LLMRouterError: There is such a file and `resume` is off, or it was made with other settings.
        DataError: It cannot be read or written.
    """

    def __init__(self, output: str, made_with: Mapping[str, Any], resume: bool) -> None:
        self.path = Path(os.path.realpath(output)).with_name(f"{Path(output).name}{SUFFIX}")
        self._made_with = msgspec.json.encode(made_with, order="deterministic")
        # Where each finished row stands in the file.
        self._places: dict[int, int] = {}
        self._digests: dict[int, str] = {}
        self._failed: set[int] = set()
        try:
            if resume and self.path.exists():
                self._stream = self.path.open("r+b")
                self._read()
            else:
                self._stream = self.path.open("x+b")
                os.chmod(self.path, 0o600)
                self._stream.write(self._made_with + b"\n")
        except FileExistsError:
            raise LLMRouterError(
                f"{self.path} holds answers of a run that did not finish; go on with --resume, or remove it"
            ) from None
        except OSError as error:
            raise DataError(self.path, f"cannot be written: {error.strerror}") from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if self.finished == 0:
            self.path.unlink(missing_ok=True)

    @property
    def finished(self) -> int:
        """Rows that are answered."""
        return len(self._places) - len(self._failed)

    def unfinished(self, rows: Iterable[QueryRow]) -> Iterator[QueryRow]:
        """Yield the rows that are not answered yet; those that failed are among them."""
        for row in rows:
            known = row.number not in self._failed and self._digests.get(row.number)
            if known != _digest(row):
                yield row

    def add(self, row: QueryRow, encoded: bytes, failed: bool) -> None:
        """Keep a finished row, in place of an earlier one of that number."""
        entry = _Entry(row.number, _digest(row), failed, msgspec.Raw(encoded))
        place = self._stream.seek(0, os.SEEK_END)
        self._stream.write(msgspec.json.encode(entry) + b"\n")
        self._stream.flush()
        self._note(entry, place)

    def rows(self) -> Iterator[bytes]:
        """Yield the finished rows in the order of the input."""
        for _, place in sorted(self._places.items()):
            self._stream.seek(place)
            yield bytes(_decode(self._stream.readline()).row)

    def remove(self) -> None:
        """Remove the file: the output holds everything."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        made_with = self._stream.readline().rstrip(b"\n")
        if made_with != self._made_with:
            raise LLMRouterError(
                f"{self.path} was made with other settings, {made_with[:500].decode(errors='replace')}; use "
                "the same, or remove it to begin anew"
            )
        while True:
            place = self._stream.tell()
            line = self._stream.readline()
            try:
                entry = _decode(line)
            except msgspec.DecodeError:
                # The end, or a row that was cut off when the machine went down.
                self._stream.truncate(place)
                return
            self._note(entry, place)

    def _note(self, entry: _Entry, place: int) -> None:
        self._places[entry.number] = place
        self._digests[entry.number] = entry.digest
        (self._failed.add if entry.failed else self._failed.discard)(entry.number)


_decode = msgspec.json.Decoder(_Entry).decode


def _digest(row: QueryRow) -> str:
    text = msgspec.json.encode(row.query, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]
