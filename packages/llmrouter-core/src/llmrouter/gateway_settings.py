"""The section ``gateway`` of the configuration: time limits and bounds."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from llmrouter.completion.bounds import ANSWER_TOKENS
from llmrouter.completion.messages import Mode
from llmrouter.config import config_error
from llmrouter.spelling import unknown

SECTION = "gateway"

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, msgspec.Meta(ge=1024, le=1 << 32)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the section may hold; sizes are in bytes.

    Attributes:
        mode: What a router sees of a conversation: the last message of the user, or all of it.
        connect_seconds: To connect to an upstream.
        first_byte_seconds: From the call of an upstream to the first part of its answer.
        idle_seconds: Between two parts of a streamed answer.
        total_seconds: For a request from its arrival to the end of its answer, all attempts included.
        request_seconds: For the client to send the request's body.
        send_seconds: For the client to take some of its answer, 16 KB or what is left.
        queue_seconds: To wait for a turn at a service that bounds its calls.
        decide_seconds: For the router to decide.
        shutdown_seconds: For running answers to finish when the gateway is stopped.
        cooldown_seconds: How long a candidate is left out after a fault; doubled with each further fault.
        max_cooldown_seconds: The longest of that, and the most of a ``Retry-After`` that is honoured.
        leave_seconds: How long an answer is read on for its tokens whose client has left, for keys with a
            budget.
        answer_tokens: Limit of an answer for keys with a budget, where neither the request nor the candidate
            has one.
        max_attempts: Upstreams called for one request at most.
        max_concurrency: Requests worked on at once by one worker; more are refused.
        peer_connections: Connections that one peer may have open to one worker; more are refused.
        trusted_proxies: Addresses and networks that may have any number, beside this machine.
        max_batch: Requests put to the router at once.
        max_request_bytes: Size of a request's body.
        max_job_bytes: Size of the body of a request for a training job.
        max_answer_bytes: Size of an upstream's answer, of a streamed one too.
        max_event_bytes: Size of one event of a streamed answer.
    """

    mode: Mode = "current_only"
    connect_seconds: Seconds = 5
    first_byte_seconds: Seconds = 120
    idle_seconds: Seconds = 60
    total_seconds: Seconds = 600
    request_seconds: Seconds = 30
    send_seconds: Seconds = 30
    queue_seconds: Seconds = 5
    decide_seconds: Seconds = 10
    shutdown_seconds: Seconds = 30
    cooldown_seconds: Seconds = 2
    max_cooldown_seconds: Seconds = 60
    leave_seconds: Seconds = 30
    answer_tokens: Count = ANSWER_TOKENS
    max_attempts: Count = 3
    max_concurrency: Count = 1024
    peer_connections: Count = 512
    trusted_proxies: tuple[str, ...] = ()
    max_batch: Count = 64
    max_request_bytes: Bytes = 10 << 20
    max_job_bytes: Bytes = 64 << 20
    max_answer_bytes: Bytes = 64 << 20
    max_event_bytes: Bytes = 8 << 20

    def __post_init__(self) -> None:
        for text in self.trusted_proxies:
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                raise ValueError(f"trusted_proxies: {error}") from None

    def trusts(self, peer: str) -> bool:
        """Whether a peer, an address or a network of IPv6, may have any number of connections."""
        try:
            found = ipaddress.ip_network(peer)
        except ValueError:
            return False
        if found.is_loopback:
            return True
        proxies = [ipaddress.ip_network(text) for text in self.trusted_proxies]
        # One address of a network of IPv6 that is counted as one peer is enough.
        return any(found.overlaps(proxy) for proxy in proxies if proxy.version == found.version)


def read_settings(config: Mapping[str, Any], source: object = None) -> Settings:
    """Read the section; what it leaves out has its default.

    Args:
        config: A configuration.
        source: Where it was read, for errors.

    Raises:
        ConfigError: A key is unknown, or a value is not what it must be.
    """
    section = config.get(SECTION)
    if section is None:
        return Settings()
    try:
        return msgspec.convert(section, Settings)
    except msgspec.ValidationError as error:
        # msgspec says "what - at `$.key`", or names the unknown key in the message.
        problem, _, place = str(error).partition(" - at `$.")
        key = place.rstrip("`")
        if not key and "unknown field" in problem:
            key = problem.split("`")[1]
            problem = unknown(key, Settings.__struct_fields__)
        raise config_error(source, [SECTION, *filter(None, [key])], problem) from None
