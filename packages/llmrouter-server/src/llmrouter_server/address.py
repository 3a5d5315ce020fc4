"""Where an upstream is asked, and the proxy on the way to it."""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from llmrouter.errors import ConfigError

_PORTS = {"http": 80, "https": 443}


class Proxy(NamedTuple):
    """A proxy that speaks HTTP.

    Attributes:
        host: Its name.
        port: Its port.
        headers: That it wants with a request.
    """

    host: str
    port: int
    headers: tuple[tuple[str, str], ...] = ()


class Origin(NamedTuple):
    """Who a connection leads to; all connections of one origin are alike.

    Attributes:
        host: Its name or address.
        port: Its port.
        tls: Whether it speaks TLS.
        proxy: Through which it is reached; None: directly.
    """

    host: str
    port: int
    tls: bool
    proxy: Proxy | None = None

    @property
    def authority(self) -> str:
        """Host and port, as a proxy is told them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Address:
    """A URL, as requests are sent there.

    Args:
        url: An absolute URL that `llmrouter.completion.services.check_url` finds good.

    Attributes:
        origin: To whom a connection is needed.

    Raises:
        ConfigError: Its host cannot be one, or the environment names a proxy that does not speak HTTP.
    """

    __slots__ = ("_start", "origin")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            host = (parts.hostname or "").encode("idna").decode()
        except UnicodeError:
            raise ConfigError(None, f"{parts.hostname!r} cannot be the name of a host") from None
        proxy = proxy_for(parts.scheme, host)
        self.origin = Origin(host, parts.port or _PORTS[parts.scheme], parts.scheme == "https", proxy)
        named = self.origin.authority.removesuffix(f":{_PORTS[parts.scheme]}")
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
        headers = [("host", named)]
        if proxy is not None and not self.origin.tls:
            # A proxy is told all of the URL; through TLS it sees nothing of it.
            target = f"http://{named}{target}"
            headers += proxy.headers
        self._start = f"POST {target} HTTP/1.1\r\n{_lines(headers)}accept-encoding: identity\r\n"

    def request(self, body: bytes, headers: Iterable[tuple[str, str]]) -> bytes:
        """Return a POST request as it goes over the wire.

        Args:
            body: Its body.
            headers: Beside those that HTTP needs.

        Raises:
            ValueError: A header holds the end of a line.
        """
        head = f"{self._start}{_lines(headers)}content-length: {len(body)}\r\n\r\n"
        return head.encode() + body


def proxy_for(scheme: str, host: str) -> Proxy | None:
    """Return the proxy that ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` name for a host.

    Raises:
        ConfigError: It is of another kind than HTTP.
    """
    url = urllib.request.getproxies().get(scheme)
    if not url or urllib.request.proxy_bypass(host):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(
            None,
            f"the environment names a proxy for {scheme} that is none of HTTP; expected http://HOST:PORT",
        )
    headers: tuple[tuple[str, str], ...] = ()
    if parts.username is not None:
        told = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = (("proxy-authorization", f"Basic {base64.b64encode(told.encode()).decode()}"),)
    return Proxy(parts.hostname, parts.port or 80, headers)


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    if any("\n" in line[:-2] or "\r" in line[:-2] for line in lines):
        raise ValueError("a header holds the end of a line")
    return "".join(lines)
