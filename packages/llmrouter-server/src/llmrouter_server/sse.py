"""Server-sent events, as far as streamed answers use them."""

from __future__ import annotations

DONE = b"[DONE]"


class EventTooLargeError(ValueError):
    """An event does not end within the bound."""


class EventSplitter:
    """Cuts a stream of bytes into events.

    Args:
        limit: Most bytes of one event.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the events that end in `data`, each without the blank line after it.

        Raises:
            EventTooLargeError: An event is larger than the bound.
        """
        data = self._rest + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        *events, self._rest = data.split(b"\n\n")
        if len(self._rest) > self._limit or any(len(event) > self._limit for event in events):
            raise EventTooLargeError
        return [stripped for event in events if (stripped := event.lstrip(b"\n"))]


def split_event(event: bytes) -> tuple[bytes, bytes | None]:
    """Return an event's other lines, each with its end, and its data; None where it has none."""
    if b"\n" not in event:
        if event.startswith(b"data:"):
            return b"", event[5:].strip()
        return event + b"\n", None
    data, others = [], []
    for line in event.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        else:
            others.append(line + b"\n")
    return b"".join(others), b"\n".join(data).strip() if data else None


def event_of(data: bytes, others: bytes = b"") -> bytes:
    """Return an event with one line of data."""
    return b"%bdata: %b\n\n" % (others, data)
