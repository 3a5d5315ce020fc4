"""The keys file: who may ask the gateway for what. It holds digests, never a key."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from llmrouter.errors import ConfigError, LLMRouterError
from llmrouter.files import replacing
from llmrouter.spelling import unknown

Scope = Literal["chat", "read", "write"]
SCOPES: tuple[Scope, ...] = ("chat", "read", "write")
DEFAULT_ORG = "default"
PREFIX = "sk-llmrouter-"

# They stand in logs, metrics and paths.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key as the file has it.

    Attributes:
        name: By which people know it.
        sha256: Digest of the key, in hexadecimal.
        org: Organisation that it belongs to.
        scopes: What it may do: ``chat`` asks for answers and decisions, ``read`` lists, ``write`` changes.
        budget_usd: What it may spend in all, in USD; None: no limit.
    """

    name: Annotated[str, msgspec.Meta(pattern=f"^{NAME.pattern}$")]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    org: Annotated[str, msgspec.Meta(pattern=f"^{NAME.pattern}$")] = DEFAULT_ORG
    scopes: tuple[Scope, ...] = SCOPES
    budget_usd: Annotated[float, msgspec.Meta(ge=0)] | None = None


def digest_of(key: str | bytes) -> str:
    """Return the digest by which a key is known."""
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).hexdigest()


def read_keys(path: str | os.PathLike[str]) -> list[Key]:
    """Read a keys file.

    Raises:
        ConfigError: It is missing or malformed, or two keys have one name or digest.
    """
    place = Path(path)
    try:
        content = place.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            place, "there is no such file; make one with: llmrouter keys create NAME --keys-file FILE"
        ) from None
    except OSError as error:
        raise ConfigError(place, f"cannot be read: {error.strerror}") from None
    return parse_keys(place, content)


def parse_keys(place: Path, content: bytes) -> list[Key]:
    """Read what a keys file holds.

    Raises:
        ConfigError: It is malformed, or two keys have one name or digest.
    """
    try:
        found = msgspec.json.decode(content, type=list[Key])
    except msgspec.DecodeError as error:
        problem = str(error)
        if odd := re.search(r"unknown field `([^`]*)`", problem):
            problem += f"; {odd[1]!r} {unknown(odd[1], Key.__struct_fields__)}"
        raise ConfigError(place, f"is not a keys file: {problem}") from None
    for field in ("name", "sha256"):
        values = [getattr(key, field) for key in found]
        if repeated := [value for value in values if values.count(value) > 1]:
            raise ConfigError(place, f"holds two keys of one {field}: {repeated[0]}")
    return found


def create_key(
    path: str | os.PathLike[str],
    name: str,
    scopes: Sequence[Scope] = SCOPES,
    org: str = DEFAULT_ORG,
    budget_usd: float | None = None,
) -> str:
    """Add a new key to a file, which is made where it is missing; only its owner may read it.

    Returns:
        The key, which is kept nowhere.

    Raises:
        LLMRouterError: The name is taken or unsuitable, or the file is malformed.
    """
    for what, value in (("name", name), ("organisation", org)):
        if not NAME.fullmatch(value):
            raise LLMRouterError(
                f"{value!r} cannot be the {what} of a key; use letters, digits, '.', '_' and '-', 63 at most"
            )
    with _editing(path) as keys:
        if any(key.name == name for key in keys):
            raise LLMRouterError(
                f"{path} has a key named {name!r} already; revoke it, or choose another name"
            )
        secret = PREFIX + secrets.token_urlsafe(32)
        keys.append(
            Key(name=name, sha256=digest_of(secret), org=org, scopes=tuple(scopes), budget_usd=budget_usd)
        )
    return secret


def revoke_key(path: str | os.PathLike[str], name: str) -> None:
    """Remove a key from a file.

    Raises:
        LLMRouterError: There is none of that name, or the file is missing or malformed.
    """
    read_keys(path)
    with _editing(path) as keys:
        kept = [key for key in keys if key.name != name]
        if len(kept) == len(keys):
            names = ", ".join(key.name for key in keys) or "none"
            raise LLMRouterError(f"{path} has no key named {name!r}; there are: {names}")
        keys[:] = kept


@contextlib.contextmanager
def _editing(path: str | os.PathLike[str]) -> Iterator[list[Key]]:
    """Change a keys file; nobody else who does so at the same time is overwritten."""
    place = Path(path)
    with _locked(place):
        keys = read_keys(place) if place.exists() else []
        yield keys
        try:
            with replacing(place) as stream:
                os.chmod(stream.name, 0o600)
                stream.write(msgspec.json.format(msgspec.json.encode(keys), indent=2) + b"\n")
        except OSError as error:
            raise LLMRouterError(f"{path} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    # The folder, for the file itself is replaced.
    try:
        folder = os.open(place.absolute().parent, os.O_RDONLY)
    except OSError as error:
        raise LLMRouterError(f"{place.parent} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
