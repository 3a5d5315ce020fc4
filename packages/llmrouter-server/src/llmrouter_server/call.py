"""What is known of one request while it is on its way: attempts, tokens, cost, budget."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import Annotated

import msgspec

from llmrouter.completion.turns import Turns
from llmrouter.decision import RoutingDecision
from llmrouter_server import tracing
from llmrouter_server.asgi import Request
from llmrouter_server.budgets import Reservation
from llmrouter_server.candidates import Candidate
from llmrouter_server.parsing import Asked, Fields, encode, with_fields
from llmrouter_server.report import Report, report_of
from llmrouter_server.requirements import Demand, cost_estimate
from llmrouter_server.timing import TimeLimitError, time_limit
from llmrouter_server.upstream import Fault

logger = logging.getLogger(__name__)

# Tokens of an answer that are set aside where the request bounds them not.
_ANSWER_TOKENS = 512
_WITH_USAGE = {"include_usage": True}


# Neither a negative count nor an endless one can be right.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Usage(msgspec.Struct):
    """Tokens as an upstream counted them."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


_decode_usage = msgspec.json.Decoder(Usage | None).decode


class Call:
    """A request, and the calls of upstreams for it.

    Args:
        request: The request.
        asked: What was read of it.
        fields: All of it.
        demand: What it demands of an LLM.
        decision: The router's; None where the client named the candidate.

    Attributes:
        attempts: Upstreams called so far.
        adds_usage: Whether a streamed answer is asked for its tokens though the client did not: what it costs
            must be known where there is a budget.
        usage: Tokens, as soon as they are known.
        received: Parts of the answer so far.
    """

    def __init__(
        self, request: Request, asked: Asked, fields: Fields, demand: Demand, decision: RoutingDecision | None
    ) -> None:
        self.request = request
        self.asked = asked
        self.attempts = 0
        self.adds_usage = demand.priced and bool(asked.stream) and not asked.wants_usage
        self.usage: Usage | None = None
        self.received = 0
        self._fields = fields
        self._demand = demand
        self._decision = decision
        self._candidate: Candidate | None = None
        self._reservation: Reservation | None = None
        self._turns: Turns | None = None
        self._turn_by: float | None = None
        self._reasons: list[str] = []
        self._sent = 0.0

    @property
    def candidate(self) -> Candidate:
        """The candidate that is called."""
        if self._candidate is None:
            raise RuntimeError("no candidate was called yet")
        return self._candidate

    async def begin(self, candidate: Candidate, deadline: float) -> None:
        """Wait until a candidate may be called, and set aside what that may cost.

        Args:
            candidate: The candidate.
            deadline: When it would be too late, by the event loop's time.

        Raises:
            Fault: Its service has too much to do.
            GatewayError: 429 or 402, the budget does not suffice.
        """
        self._candidate = candidate
        if candidate.turns is not None:
            await self._take_turn(candidate.turns, deadline)
        try:
            await self._reserve(candidate)
        except BaseException:
            self._end()
            raise
        self.attempts += 1
        self.received = 0
        self.request.entry.attempts = self.attempts
        self.request.entry.model = candidate.name
        self._sent = perf_counter()

    async def _take_turn(self, turns: Turns, deadline: float) -> None:
        now = asyncio.get_running_loop().time()
        if self._turn_by is None:
            # One time for all: the next choice's service has what the first one's left of it.
            self._turn_by = min(now + self.request.gateway.settings.queue_seconds, deadline)
        busy = Fault("busy", "its service is given as many calls as it may be", 429, turns.pause)
        if now + turns.pause > self._turn_by:
            raise busy
        try:
            with time_limit(self._turn_by):
                await turns.take()
        except TimeLimitError:
            raise busy from None
        self._turns = turns

    async def _reserve(self, candidate: Candidate) -> None:
        key, budgets = self.request.key, self.request.gateway.budgets
        if self._demand.priced and key is not None and budgets is not None:
            tokens = (self.asked.answer_tokens or _ANSWER_TOKENS) * (self.asked.n or 1)
            self._reservation = await budgets.reserve(key, cost_estimate(candidate, self._demand, tokens))

    def body(self) -> bytes:
        """Return the request as the candidate takes it: all as the client sent it, but the model.

        Fields that the candidate's ``parameters`` set are added where the client set them not.
        """
        fields = self._fields
        if self.candidate.parameters:
            fields = {**self.candidate.parameters, **fields}
        if self.adds_usage:
            options = {**(self.asked.stream_options or {}), **_WITH_USAGE}
            return with_fields(
                fields, model=self.candidate.upstream_name, stream_options=msgspec.Raw(encode(options))
            )
        return with_fields(fields, model=self.candidate.upstream_name)

    def headers(self) -> dict[str, str]:
        """Return the headers of the request to the candidate."""
        return tracing.upstream_headers(self.request.headers)

    def first_byte(self) -> None:
        """Note that the answer has begun, and well: from now on it is this candidate's."""
        self.candidate.cooldown.success()
        self.request.entry.upstream_ms = round((perf_counter() - self._sent) * 1000, 3)

    def failed(self, fault: Fault) -> None:
        """Note that the candidate failed."""
        candidate, gateway = self.candidate, self.request.gateway
        logger.warning("%s %s: %s", self.request.id, candidate.name, fault.problem)
        gateway.metrics.faults(candidate.name, fault.kind).inc()
        if fault.kind != "busy":
            candidate.cooldown.fault(
                asyncio.get_running_loop().time(), fault.retry_after, 429 if fault.status == 429 else 503
            )
        self._reasons.append(f"{candidate.name}: {fault.problem}")
        self.request.entry.error = f"upstream_{fault.kind}"

    def report(self) -> Report:
        """Return what the answer says of its decision."""
        report = report_of(self._decision, self.candidate.name, self.attempts, self.request.id)
        if self._reasons:
            report.fallback = True
            report.fallback_reason = "; ".join([report.fallback_reason or "", *self._reasons]).removeprefix(
                "; "
            )
        return report

    def count(self, usage: msgspec.Raw | None) -> None:
        """Read the tokens that an answer tells."""
        if usage is not None:
            try:
                self.usage = _decode_usage(usage) or self.usage
            except msgspec.DecodeError:
                logger.warning(
                    "%s: the upstream counts tokens in a form that is not known", self.candidate.name
                )

    @property
    def cost(self) -> float | None:
        """What the answer cost in USD, where price and tokens are known."""
        if self.usage is None:
            return None
        return self.candidate.endpoint.cost(self.usage.prompt_tokens, self.usage.completion_tokens)

    def answered(self) -> None:
        """Note that the answer is complete, with its tokens and cost, and charge it."""
        entry = self.request.entry
        entry.error = None
        if self.usage is not None:
            entry.prompt_tokens, entry.completion_tokens = (
                self.usage.prompt_tokens,
                self.usage.completion_tokens,
            )
            entry.cost = self.cost
        self.settle()

    def settle(self) -> None:
        """Charge the call, which has ended; what is unknown is estimated from what was sent and received."""
        if self._reservation is not None:
            cost = self.cost
            self._reservation.settle(
                cost if cost is not None else cost_estimate(self.candidate, self._demand, self.received)
            )
        self._end()

    async def settled(self) -> None:
        """Wait until what was charged so far is written, where that is worth waiting for."""
        if self._reservation is not None:
            await self._reservation.settled()

    def release(self) -> None:
        """Charge nothing for the call, which has ended: the upstream did no work."""
        if self._reservation is not None:
            self._reservation.settle(0.0)
        self._end()

    def _end(self) -> None:
        """Let another call have its turn."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.give_back()
