from __future__ import annotations

import pytest

from llmrouter.errors import ConfigError
from llmrouter_server.address import Address, Proxy, proxy_for


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "origin", "target", "host"),
    [
        ("http://127.0.0.1:8080/v1/x", ("127.0.0.1", 8080, False), "/v1/x", "127.0.0.1:8080"),
        ("http://llm.example", ("llm.example", 80, False), "/", "llm.example"),
        ("https://llm.example/v1", ("llm.example", 443, True), "/v1", "llm.example"),
        ("https://llm.example:8443/v1", ("llm.example", 8443, True), "/v1", "llm.example:8443"),
        ("http://[::1]:80/v1", ("::1", 80, False), "/v1", "[::1]"),
        (
            "http://b\u00fccher.example/\u00e9 %41",
            ("xn--bcher-kva.example", 80, False),
            "/%C3%A9%20%41",
            "xn--bcher-kva.example",
        ),
    ],
)
def test_a_url_says_where_and_how(url: str, origin: tuple[str, int, bool], target: str, host: str) -> None:
    address = Address(url)
    assert address.origin[:3] == origin
    lines = address.request(b"{}", [("x", "1")]).split(b"\r\n")
    assert lines[0].decode() == f"POST {target} HTTP/1.1"
    assert lines[1].decode() == f"host: {host}"
    assert lines[3:] == [b"x: 1", b"content-length: 2", b"", b"{}"]


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_a_host_that_cannot_be_one_is_an_error(host: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a host"):
        Address(f"http://{host}/v1")


@pytest.mark.parametrize("value", ["a\nb", "a\rb: c"])
def test_no_header_begins_another(value: str) -> None:
    with pytest.raises(ValueError, match="end of a line"):
        Address("http://127.0.0.1/v1").request(b"", [("authorization", value)])


def test_a_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:pass%20word@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert proxy_for("https", "llm.example") == Proxy(
        "proxy.example", 3128, (("proxy-authorization", "Basic YW5uOnBhc3Mgd29yZA=="),)
    )
    assert proxy_for("https", "inside.example") is None
    assert proxy_for("http", "llm.example") is None


def test_a_proxy_of_another_kind_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://ann:secret@proxy.example:1080")
    with pytest.raises(ConfigError, match="HTTP") as caught:
        Address("https://llm.example/v1")
    assert "secret" not in str(caught.value)


def test_a_proxy_is_told_the_whole_url_but_of_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://ann:x@proxy.example:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:x@proxy.example:3128")
    plain = Address("http://llm.example:81/v1").request(b"", [])
    assert plain.startswith(
        b"POST http://llm.example:81/v1 HTTP/1.1\r\nhost: llm.example:81\r\nproxy-authorization: "
    )
    sealed = Address("https://llm.example/v1").request(b"", [])
    assert sealed.startswith(b"POST /v1 HTTP/1.1\r\nhost: llm.example\r\n")
    assert b"proxy" not in sealed
