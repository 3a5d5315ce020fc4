"""Keep the features of texts on disk, so that a text is encoded once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from llmrouter.encoders.base import Encoder, Floats, SparseBatch
from llmrouter.errors import LLMRouterError

T = TypeVar("T")

logger = logging.getLogger(__name__)

FILE = "embeddings.sqlite3"
# How long to wait for another process that writes.
_PATIENCE = 10.0
# The number of values that every SQLite takes in one query.
_VALUES = 900
_LITTLE_ENDIAN = np.dtype("<f4")


def cached(encoder: Encoder, setting: object) -> Encoder:
    """Wrap an encoder as ``hparam.embedding_cache`` says.

    Args:
        encoder: Any encoder.
        setting: None or False: no cache. True: the user's cache folder. Otherwise the path of a folder, a
            relative one from the current folder.

    Raises:
        LLMRouterError: The setting is none of these.
    """
    if setting is None or setting is False:
        return encoder
    if setting is True:
        return CachedEncoder(encoder)
    if isinstance(setting, str | os.PathLike) and os.fspath(setting):
        return CachedEncoder(encoder, setting)
    raise LLMRouterError(f"hparam.embedding_cache: expected true, false or a folder, found {setting!r}")


def default_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/llmrouter``, by default ``~/.cache/llmrouter``."""
    # The standard says to ignore a relative path.
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    return base / "llmrouter"


class CachedEncoder(Encoder):
    """An encoder that looks up on disk what it encoded before.

    Features are kept under a hash of the encoder's name, version and state, and of the text; texts are not
    kept. Any number of processes and threads may share a folder. The cache never makes encoding fail: where
    it cannot be used it says so in a warning, and what is damaged is thrown away. Sparse features, which
    cost less than a look-up, pass through.

    Args:
        encoder: The encoder; one that learns is fitted through this one, or before it is wrapped.
        folder: Where to keep the features; by default `default_folder`.
        max_bytes: Size of the file beyond which the older half of the features is dropped.
    """

    def __init__(
        self, encoder: Encoder, folder: str | os.PathLike[str] | None = None, *, max_bytes: int = 1 << 30
    ) -> None:
        super().__init__(encoder.argument)
        self.encoder = encoder
        self.name = encoder.name
        self.dim = encoder.dim
        self.path = Path(os.path.expanduser(folder) if folder is not None else default_folder()) / FILE
        self.max_bytes = max_bytes
        self._prefix: bytes | None = None
        self._warned = False

    @property
    def version(self) -> str:  # type: ignore[override]  # the encoder's, which may take it a while to tell
        """The encoder's version."""
        return self.encoder.version

    def fit(self, texts: Sequence[str]) -> None:
        """Fit the encoder."""
        self.encoder.fit(texts)
        self._prefix = None

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the encoder's state."""
        return self.encoder.state()

    def restore(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
        """Restore the encoder."""
        self.encoder.restore(arrays, settings)
        self._prefix = None

    def encode(self, texts: Sequence[str]) -> Floats | SparseBatch:
        """Return the features of texts, (n, dim), as the encoder would, encoding those that are new."""
        keys = [self._key(text) for text in texts]
        known = self._look_up(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing or not keys:
            made = self.encoder.encode(list(missing.values()))
            if isinstance(made, SparseBatch):
                # Of these nothing is ever known; only texts that are the same may have been left out.
                return made if len(missing) == len(keys) else self.encoder.encode(texts)
            self.dim = made.shape[1]
            if not keys:
                return made
            new = dict(zip(missing, made, strict=True))
            self._keep(new)
            known.update(new)
        return np.stack([known[key] for key in keys])

    def clear(self) -> None:
        """Drop the features of all encoders that share the folder."""

        def clear(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM embeddings")
            database.commit()
            database.execute("VACUUM")

        if os.path.exists(self.path):
            self._transact(clear)

    def _key(self, text: str) -> bytes:
        if self._prefix is None:
            arrays, settings = self.encoder.state()
            digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
            for name in sorted(arrays):
                array = np.ascontiguousarray(arrays[name])
                digest.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode())
                digest.update(array.data)
            self._prefix = f"{self.name}\0{self.version}\0{digest.hexdigest()}\0".encode()
        return hashlib.sha256(self._prefix + text.encode("utf-8", "surrogatepass")).digest()

    def _look_up(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        if not os.path.exists(self.path):
            return {}
        wanted = list(dict.fromkeys(keys))

        def look_up(database: sqlite3.Connection) -> list[tuple[bytes, object]]:
            found = []
            for start in range(0, len(wanted), _VALUES):
                some = wanted[start : start + _VALUES]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, features FROM embeddings WHERE key IN ({marks})"  # noqa: S608 - only marks
                found += database.execute(query, some).fetchall()
            return found

        known = {}
        found = self._transact(look_up) or []
        for key, content in found:
            features = _unpacked(key, content)
            if features is not None and self.dim in (None, len(features)):
                self.dim = len(features)
                known[key] = features
        if len(known) < len(found):
            logger.warning(
                "%s: the features of %d texts are damaged; encoding them again",
                self.path,
                len(found) - len(known),
            )
        return known

    def _keep(self, new: Mapping[bytes, Floats]) -> None:
        def keep(database: sqlite3.Connection) -> None:
            database.executemany(
                "INSERT OR REPLACE INTO embeddings (key, features) VALUES (?, ?)",
                [(key, _packed(key, features)) for key, features in new.items()],
            )
            (size,) = database.execute(
                "SELECT (page_count - freelist_count) * page_size "
                "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
            ).fetchone()
            if size > self.max_bytes:
                # A row that is new or replaced has a higher number than those before.
                database.execute(
                    "DELETE FROM embeddings "
                    "WHERE rowid <= (SELECT (min(rowid) + max(rowid)) / 2 FROM embeddings)"
                )

        self._transact(keep)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do work in a transaction; where the file cannot be used, warn and return None.

        The file is opened each time, which takes a fraction of a millisecond: a connection may not go to
        another thread or, over a fork, to another process, nor be copied or pickled with the encoder.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as database, database:
                database.execute("PRAGMA journal_mode = WAL")
                # Safe against whatever befalls a process. A power cut may damage the file, which is noticed.
                database.execute("PRAGMA synchronous = OFF")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS embeddings (key BLOB PRIMARY KEY, features BLOB NOT NULL)"
                )
                return work(database)
        except (sqlite3.Error, OSError) as error:
            # SQLite's class for a file that is damaged or no database; its other errors are subclasses.
            if type(error) is sqlite3.DatabaseError:
                logger.warning("%s: is damaged (%s); starting a new one", self.path, error)
                for suffix in ("", "-wal", "-shm"):
                    with contextlib.suppress(OSError):
                        os.unlink(f"{self.path}{suffix}")
            elif not self._warned:
                self._warned = True
                logger.warning("%s: cannot be used (%s); encoding without it", self.path, error)
            return None


def _packed(key: bytes, features: Floats) -> bytes:
    content = features.astype(_LITTLE_ENDIAN).tobytes()
    return _checksum(key, content) + content


def _unpacked(key: bytes, content: object) -> Floats | None:
    """Return the features, or None where these are not the bytes that were written under the key."""
    if not isinstance(content, bytes) or len(content) % 4 or content[:4] != _checksum(key, content[4:]):
        return None
    return np.frombuffer(content, _LITTLE_ENDIAN, offset=4).astype(np.float32)


def _checksum(key: bytes, content: bytes) -> bytes:
    return zlib.crc32(content, zlib.crc32(key)).to_bytes(4, "little")
