"""Who asks, and whether they may."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterator
from pathlib import Path

from llmrouter.errors import ConfigError
from llmrouter.files import held_file, stamp_of
from llmrouter_server.errors import GatewayError
from llmrouter_server.key_file import Key, Scope, digest_of, parse_keys, read_keys

__all__ = ["Key", "Keys", "is_loopback_host"]

_LOOPBACK = re.compile(rb"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)


class Keys:
    """The keys of a file, for looking up by digest.

    Args:
        path: The keys file.

    Attributes:
        path: The keys file.
        stamp: What changes when it does; None: the keys are not from the file as it is.

    Raises:
        ConfigError: The file cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        # Before they are read, so that a change meanwhile is noticed.
        self.stamp = stamp_of(self.path)
        try:
            keys = read_keys(path)
        except ConfigError:
            # A process that starts anew has the keys that the others still have.
            held = held_file(path)
            if held is None:
                raise
            self.stamp, keys = None, parse_keys(self.path, held)
        self._keys = {key.sha256: key for key in keys}
        self._several_orgs = len({key.org for key in self}) > 1

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def sharers(self, key: Key) -> tuple[str, ...]:
        """Return whose places a request takes: the key's and its organisation's, if there are others."""
        if len(self._keys) < 2:
            return ()
        # Neither a name nor an organisation holds a slash.
        return (key.name, f"{key.org}/") if self._several_orgs else (key.name,)

    def identify(self, authorization: bytes | None) -> Key:
        """Return the key that the header ``Authorization`` bears.

        Raises:
            GatewayError: 401, it bears none, or an unknown one.
        """
        kind, _, token = (authorization or b"").partition(b" ")
        token = token.strip()
        if kind.lower() != b"bearer" or not token:
            raise _unauthorised("No key was given: send it with 'Authorization: Bearer KEY'.")
        digest = digest_of(token)
        # Who guesses keys learns nothing from how long a look-up by digest takes, which they cannot steer;
        # the comparison itself takes the same time wherever two digests differ.
        found = self._keys.get(digest)
        if found is None or not hmac.compare_digest(found.sha256, digest):
            raise _unauthorised("The key is unknown, or was revoked.")
        return found


def allow(key: Key, scope: Scope) -> None:
    """Check that a key may do what needs a scope.

    Raises:
        GatewayError: 403, it may not.
    """
    if scope not in key.scopes:
        raise GatewayError(
            403, f"The key {key.name!r} may not do this: it lacks the scope {scope!r}.", code="scope_missing"
        )


def is_loopback_host(header: bytes | None) -> bool:
    """Whether the header ``Host`` names this machine.

    A gateway without keys is only for those on this machine. A page of the web may point a name of its own to
    127.0.0.1 and have a browser here call it by that name.
    """
    return not header or _LOOPBACK.fullmatch(header) is not None


def is_loopback_origin(header: bytes) -> bool:
    """Return whether the header ``Origin`` names a page of this machine; ``null`` does not."""
    scheme, separator, host = header.partition(b"://")
    return bool(separator) and scheme in (b"http", b"https") and _LOOPBACK.fullmatch(host) is not None


def _unauthorised(message: str) -> GatewayError:
    return GatewayError(
        401,
        message,
        code="invalid_api_key",
        type="authentication_error",
        headers={"www-authenticate": "Bearer"},
    )
