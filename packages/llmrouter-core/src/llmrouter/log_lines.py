"""The form of log lines: what others wrote cannot look like a line of ours."""

from __future__ import annotations

import logging
import re

FORMAT = "%(asctime)s %(levelname)s %(message)s"
# Control characters, which end lines or steer terminals, and what else Unicode takes for the end of a line.
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class LineFormatter(logging.Formatter):
    """Formats a record as one line; what follows, such as a traceback, is indented.

    Control characters in the message, as paths and names of users may hold, are escaped.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without what follows it."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        """Return a traceback, indented."""
        lines = super().formatException(ei).splitlines()  # type: ignore[arg-type]  # as logging has it
        return "\n".join(f"    {escaped(line)}" for line in lines)


def escaped(text: str) -> str:
    """Return a text with its control characters as escapes, such as ``\\n``."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def log_lines(level: int, *, force: bool = False, form: str = FORMAT) -> None:
    """Log to standard error, a line for each record.

    Args:
        level: The least severe records to log.
        force: Whether to replace handlers that are there.
        form: The form of a line.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(form))
    logging.basicConfig(level=level, handlers=[handler], force=force)
