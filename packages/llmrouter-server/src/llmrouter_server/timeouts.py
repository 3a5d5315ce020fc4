"""A time limit on a block: ``async with timeout(seconds): …`` raises TimeoutError."""

import sys

if sys.version_info >= (3, 11):
    from asyncio import timeout, timeout_at

    TimeoutError = TimeoutError
else:
    from asyncio import TimeoutError

    from async_timeout import timeout, timeout_at

__all__ = ["TimeoutError", "timeout", "timeout_at"]
