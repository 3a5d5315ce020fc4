"""A log line is one line, whatever users and upstreams wrote."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from llmrouter.log_lines import FORMAT, LineFormatter


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(FORMAT))
    logger = logging.getLogger("test_log_lines")
    logger.addHandler(handler)
    # Not to pytest, which could not pass half a surrogate pair on.
    logger.propagate = False
    yield stream
    logger.propagate = True
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/\0\n2026-01-01 00:00:00,000 ERROR forged", r"/\x00\n2026-01-01 00:00:00,000 ERROR forged"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\r\nb\u2028c\x85d", r"a\r\nb\u2028c\x85d"),
        ("tab\t", r"tab\t"),
        ("Grüße, \N{GRINNING FACE}", "Grüße, \N{GRINNING FACE}"),
    ],
)
def test_control_characters_are_escaped(stream: io.StringIO, text: str, shown: str) -> None:
    logging.getLogger("test_log_lines").warning("asked for %s", text)
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(f" WARNING asked for {shown}")


def test_a_traceback_is_indented_and_its_texts_are_escaped(stream: io.StringIO) -> None:
    try:
        raise ValueError("x\n2026-01-01 00:00:00,000 ERROR forged\x1b[2J")
    except ValueError:
        logging.getLogger("test_log_lines").exception("it failed")
    first, *others = stream.getvalue().splitlines()
    assert first.endswith("ERROR it failed")
    assert all(line.startswith("    ") for line in others)
    assert "\x1b" not in stream.getvalue()
