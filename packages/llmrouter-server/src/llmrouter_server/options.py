"""What the command line asks of a worker."""

from __future__ import annotations

import importlib.util
import ipaddress
import socket

import msgspec

from llmrouter.errors import LLMRouterError
from llmrouter_server.gateway import RouterOption


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks of a worker.

    Attributes:
        routers: The routers to serve, the default first.
        lifecycle: The database of the lifecycle to serve; None: none is served.
        config: The first configuration, which lists the lifecycle's LLMs.
        keys_file: Who may ask; None: everybody on this machine.
        access_log: File of the access log; None: standard error.
        block: Plugins to leave out.
        use_directories: Whether to look for routers in directories, whatever the settings say.
        debug: Whether to log in detail.
        workers: How many there are.
        announces: Whether this one says from which folders routers run.
    """

    routers: tuple[RouterOption, ...]
    lifecycle: str | None = None
    config: str = ""
    keys_file: str | None = None
    access_log: str | None = None
    block: tuple[str, ...] = ()
    use_directories: bool = False
    debug: bool = False
    workers: int = 1
    announces: bool = True


def require_lifecycle() -> None:
    """Check that the package is installed that a lifecycle needs.

    Raises:
        LLMRouterError: It is not.
    """
    if importlib.util.find_spec("llmrouter_lifecycle") is None:
        raise LLMRouterError(
            "--lifecycle needs a package that is not installed; run: "
            "pip install 'llmrouter-server[lifecycle]'"
        )


def check_host(host: str, keys_file: str | None) -> None:
    """Check that nothing listens beyond this machine without keys.

    Raises:
        LLMRouterError: It would.
    """
    if keys_file is not None or is_loopback(host):
        return
    raise LLMRouterError(
        f"--host {host} can be reached from other machines, so it needs --keys-file; "
        "make one with: llmrouter keys create NAME --keys-file FILE"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        LLMRouterError: The host is unknown, or the port is taken or may not be used.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise LLMRouterError(f"--host {host} is no address of this machine: {error.strerror}") from error
    # Of a name with several addresses, such as localhost, the one that clients try first everywhere.
    family, kind, protocol, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise LLMRouterError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another with --port"
        ) from error
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
