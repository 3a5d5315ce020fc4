"""What is known of one request while it is on its way: attempts, tokens, cost, budget."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter

import msgspec

from llmrouter.completion.bounds import LIMITS, limit_parameter
from llmrouter.completion.turns import Turns
from llmrouter.completion.usage import Usage, read_usage
from llmrouter.decision import RoutingDecision
from llmrouter_server import tracing
from llmrouter_server.asgi import Request
from llmrouter_server.budgets import Reservation
from llmrouter_server.candidates import Candidate
from llmrouter_server.parsing import Asked, Fields, TextAsked, encode, with_fields
from llmrouter_server.report import Report, report_of
from llmrouter_server.requirements import Demand
from llmrouter_server.timing import TimeLimitError, time_limit
from llmrouter_server.upstream import Fault

logger = logging.getLogger(__name__)

_WITH_USAGE = {"include_usage": True}


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
        adds_usage: Whether a streamed answer is asked for its tokens though the client did not ask: the log,
            the metrics and budgets are to know what it cost.
        usage: Tokens, as soon as they are known.
        complete: Whether these are those of the whole answer.
        sent: Whether the call was sent, as far as that is noted: where a budget pays for it.
    """

    def __init__(
        self, request: Request, asked: Asked, fields: Fields, demand: Demand, decision: RoutingDecision | None
    ) -> None:
        self.request = request
        self.asked = asked
        self.attempts = 0
        self.adds_usage = bool(asked.stream) and not asked.wants_usage
        self.usage: Usage | None = None
        self.complete = False
        self.sent = False
        self._fields = fields
        self._demand = demand
        self._decision = decision
        self._candidate: Candidate | None = None
        self._reservation: Reservation | None = None
        self._limit: int | None = None
        self._turns: Turns | None = None
        self._turn_by: float | None = None
        self._reasons: list[str] = []
        self._began = 0.0

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
        self.usage, self.complete, self.sent = None, False, False
        if candidate.turns is not None:
            await self._take_turn(candidate.turns, deadline)
        try:
            await self._reserve(candidate)
        except BaseException:  # a cancelled request gives its turn back too
            self._end()
            raise
        self.attempts += 1
        self.request.entry.attempts = self.attempts
        self.request.entry.model = candidate.name
        self._began = perf_counter()

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
        if not self._demand.priced or key is None or budgets is None:
            return
        bound = self._demand.bound(
            candidate, self._fields.keys(), self.request.gateway.settings.answer_tokens
        )
        self._reservation = await budgets.reserve(key, bound.wanted)
        # A limit of the client's stays as it is, unless it is known that the upstream takes no such field.
        if not bound.given or candidate.endpoint.limit_parameter is not None:
            self._limit = bound.limit_for(self._reservation.usd)

    @property
    def sending(self) -> Callable[[], Awaitable[None]] | None:
        """What is to be done just before the call is sent; None: nothing."""
        return None if self._reservation is None else self._note_sent

    async def _note_sent(self) -> None:
        if self._reservation is not None and not self.sent:
            await self._reservation.sent()
            self.sent = True

    def body(self) -> bytes:
        """Return the request as the candidate takes it: all as the client sent it, but the model.

        Fields that the candidate's ``parameters`` set are added where the client set them not.
        """
        fields = self._fields
        if self.candidate.parameters:
            fields = {**self.candidate.parameters, **fields}
        changed = {"model": self.candidate.upstream_name}
        if self.adds_usage:
            options = {**(self.asked.stream_options or {}), **_WITH_USAGE}
            changed["stream_options"] = msgspec.Raw(encode(options))
        if self._limit is not None:
            fields = {name: value for name, value in fields.items() if name not in LIMITS}
            old = isinstance(self.asked, TextAsked)
            name = LIMITS[0] if old else limit_parameter(self.candidate.endpoint)
            changed[name] = msgspec.Raw(encode(self._limit))
        return with_fields(fields, **changed)

    def headers(self) -> dict[str, str]:
        """Return the headers of the request to the candidate."""
        return tracing.upstream_headers(self.request.headers)

    def first_byte(self) -> None:
        """Note that the answer has begun, and well: from now on it is this candidate's."""
        self.candidate.cooldown.success()
        self.request.entry.upstream_ms = round((perf_counter() - self._began) * 1000, 3)

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

    def count(self, usage: msgspec.Raw | None, complete: bool) -> None:
        """Read the tokens that an answer reports; where they cannot be true, its tokens are unknown.

        Args:
            usage: The field of the answer.
            complete: Whether it is about the whole answer.
        """
        try:
            found = read_usage(None if usage is None else msgspec.json.decode(usage))
            window = self.candidate.endpoint.context_window
            if found is not None and window is not None:
                most = window * self.asked.prompts * max(self.asked.n or 1, self.asked.best_of or 1)
                if max(found.prompt_tokens, found.completion_tokens) > most:
                    raise ValueError(f"more tokens than the context window of {window} takes")
        except (ValueError, RecursionError) as error:  # msgspec's errors are among them
            logger.warning("%s: the usage that it reports is ignored: %s", self.candidate.name, error)
            self.usage = None
            return
        if found is not None:
            self.usage, self.complete = found, complete

    @property
    def cost(self) -> float | None:
        """What the answer cost in USD, where price and tokens are known."""
        return self.candidate.endpoint.cost_of(self.usage)

    def answered(self) -> None:
        """Note that the answer is complete, with its tokens and cost, and charge it."""
        entry = self.request.entry
        entry.error = None
        self.complete = True
        if self.usage is not None:
            entry.prompt_tokens, entry.completion_tokens = (
                self.usage.prompt_tokens,
                self.usage.completion_tokens,
            )
            entry.cost = self.cost
        self.settle()

    def settle(self) -> None:
        """Charge the call, which has ended; where its cost is unknown, all that was set aside for it."""
        if self._reservation is not None:
            cost = self.cost if self.complete else None
            if cost is not None and cost > self._reservation.usd:
                logger.warning("%s: an answer cost more than its limits allow", self.candidate.name)
            self._reservation.settle(cost)
        self._end()

    @property
    def reads_on(self) -> bool:
        """Whether the rest of the answer is worth reading when the client has left: for its tokens."""
        return self._reservation is not None and not self.complete

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
