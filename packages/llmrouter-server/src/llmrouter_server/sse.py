"""Server-sent events, as far as streamed answers use them."""

from __future__ import annotations

DONE = b"[DONE]"


class EventSplitter:
    """Cuts a stream of bytes into events.

    Args:
        limit: Most bytes of one event.

    Attributes:
        too_large: Whether an event was larger; it and what follows it is not returned.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self.too_large = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the events that end in `data`, each without the blank line after it."""
        data = self._rest + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        *events, self._rest = data.split(b"\n\n")
        found: list[bytes] = []
        for event in events:
            if len(event) > self._limit:
                self.too_large = True
                return found
            if stripped := event.lstrip(b"\n"):
                found.append(stripped)
        self.too_large = len(self._rest) > self._limit
        return found


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
