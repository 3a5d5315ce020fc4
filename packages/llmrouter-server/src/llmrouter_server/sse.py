"""Server-sent events, as far as streamed answers use them."""

from __future__ import annotations

DONE = b"[DONE]"
_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Cut a stream of bytes into events; lines end with LF, CR LF or CR.

    Args:
        limit: Most bytes of one event.

    Attributes:
        too_large: Whether an event was larger; neither it nor what follows it is returned.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # The event that is not complete yet, in pieces, and its size.
        self._pieces: list[bytes] = []
        self._size = 0
        self._begun = False
        self._after_cr = False
        self.too_large = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the events that end in `data`, each without the blank line after it."""
        if not data:
            return []
        data = self._with_newlines(data)
        # Only here may an event end that was not complete before: nothing is searched twice.
        last = self._pieces[-1][-1:] if self._pieces else b""
        if b"\n\n" not in last + data:
            self._keep(data)
            return []
        *events, rest = b"".join([*self._pieces, data]).split(b"\n\n")
        self._pieces, self._size = [], 0
        if not self._begun:
            self._begun = True
            events[0] = events[0].removeprefix(_BOM)
        found: list[bytes] = []
        for event in events:
            if len(event) > self._limit:
                self.too_large = True
                return found
            if stripped := event.lstrip(b"\n"):
                found.append(stripped)
        self._keep(rest)
        return found

    def end(self) -> list[bytes]:
        """Return the last event of a stream that ended; only ``[DONE]`` needs no blank line."""
        event = b"".join(self._pieces).removeprefix(_BOM).strip(b"\n")
        return [event] if split_event(event)[1] == DONE else []

    def _with_newlines(self, data: bytes) -> bytes:
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _keep(self, data: bytes) -> None:
        if data:
            self._pieces.append(data)
            self._size += len(data)
            self.too_large = self._size > self._limit


def split_event(event: bytes) -> tuple[bytes, bytes | None]:
    """Return an event's other lines, each with its end, and its data; None if it has none, or only spaces."""
    if event.startswith(b"data:") and b"\n" not in event:
        return b"", event[5:].strip() or None
    data, others = [], []
    for line in event.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line != b"data":
            others.append(line + b"\n")
    return b"".join(others), b"\n".join(data).strip() or None


def event_of(data: bytes, others: bytes = b"") -> bytes:
    """Return an event with one line of data."""
    return b"%bdata: %b\n\n" % (others, data)
