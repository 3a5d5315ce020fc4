"""Turn what a file holds into UTF-8: gzip and UTF-16 are read, other formats are named with a converter."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import IO

from llmrouter.errors import DataError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Bytes to tell a format by.
HEAD = 8
# Bytes that a compressed file may unpack to where all of it is held in memory.
MOST = 4 << 30

_GZIP = b"\x1f\x8b"
_OTHERS = {
    b"\x28\xb5\x2f\xfd": ("is compressed by zstd", "zstd -d {}"),
    b"\xfd7zXZ": ("is compressed by xz", "xz -d {}"),
    b"BZh": ("is compressed by bzip2", "bunzip2 {}"),
    b"PK\x03\x04": ("is a zip archive", "unzip {}"),
    b"PAR1": (
        "is Parquet",
        "python -c \"import pandas; pandas.read_parquet('{}')"
        ".to_json('rows.jsonl', orient='records', lines=True)\"",
    ),
}
# Byte-order marks, the longer ones first, and how JSON begins without one.
_ENCODINGS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"{\0", "utf-16-le"),
    (b"[\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
    (b"\0[", "utf-16-be"),
)


def plain(path: Path, raw: bytes) -> bytes:
    """Return the content of a file as UTF-8, without a byte-order mark.

    Raises:
        DataError: It is of a format that is not read, or damaged.
    """
    if raw.startswith(_GZIP):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
                raw = stream.read(MOST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(path, f"is damaged: {error}") from None
        if len(raw) > MOST:
            raise DataError(path, f"unpacks to more than {MOST} bytes; run: gunzip {path}")
    _refuse(path, raw)
    for mark, encoding in _ENCODINGS:
        if raw.startswith(mark):
            try:
                return raw.decode(encoding).encode()
            except UnicodeError as error:
                raise DataError(path, f"is not {encoding.upper()} text: {error}") from None
    return raw.removeprefix(BYTE_ORDER_MARK)


def plain_stream(path: Path, stream: IO[bytes]) -> IO[bytes]:
    """Return a stream of what a file holds as UTF-8; it can `peek`.

    Only what is UTF-16 or UTF-32 is read at once.

    Raises:
        DataError: As `plain`.
    """
    buffered = stream if hasattr(stream, "peek") else io.BufferedReader(stream)  # type: ignore[type-var]
    head = buffered.peek(HEAD)[:HEAD]
    if head.startswith(_GZIP):
        unpacked = gzip.GzipFile(fileobj=buffered)
        unpacked.myfileobj = buffered  # type: ignore[assignment]  # so that it is closed too
        return io.BufferedReader(unpacked)
    _refuse(path, head)
    if any(head.startswith(mark) for mark, _ in _ENCODINGS):
        with buffered:
            return io.BufferedReader(io.BytesIO(plain(path, buffered.read())))
    return buffered


def _refuse(path: Path, head: bytes) -> None:
    for magic, (format, command) in _OTHERS.items():
        if head.startswith(magic):
            raise DataError(path, f"{format}; convert it first: {command.format(path)}")
