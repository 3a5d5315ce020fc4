"""An answer that comes whole."""

from __future__ import annotations

import re

import msgspec

from llmrouter_server.asgi import Response
from llmrouter_server.call import Call
from llmrouter_server.parsing import NULL, Fields, encode, upstream_fields, with_fields
from llmrouter_server.report import headers_of
from llmrouter_server.upstream import Answer, Fault

# A list, of objects.
_CHOICES = re.compile(rb"\[\s*[{\]]")


async def plain_answer(call: Call, answer: Answer) -> Response:
    """Read an upstream's answer, and return it with the decision in it, all else as it was.

    Raises:
        Fault: It is not a completion, is too large, too slow, or breaks off.
    """
    kind = answer.content_type
    # Some say no type at all.
    if kind and b"json" not in kind:
        raise Fault("garbage", "the upstream's answer is not JSON", 502)
    fields = _completion(await _whole(answer))
    call.first_byte()
    call.count(fields.get("usage"), complete=True)
    report = call.report()
    report.upstream_model = fields.get("model")
    report.cost = call.cost
    call.answered()
    changed = {"model": call.candidate.own_name, "llmrouter": report.encode()}
    if call.asked.tells_cost:
        changed["cost"] = msgspec.Raw(encode(report.cost))
    body = with_fields(fields, **changed)
    return Response(body, headers=headers_of(report))


async def _whole(answer: Answer) -> bytes:
    data = await answer.part()
    if answer.complete:
        return data
    answer.begun()
    parts = [data]
    while data:
        data = await answer.part()
        parts.append(data)
    return b"".join(parts)


def _completion(body: bytes) -> Fields:
    try:
        fields = upstream_fields(body)
    except (msgspec.DecodeError, RecursionError):
        raise Fault("garbage", "the upstream's answer is not valid JSON", 502) from None
    if fields.get("error", NULL) != NULL:
        raise Fault("broken", "the upstream reported an error in its answer", 502)
    if not _CHOICES.match(bytes(fields.get("choices", NULL))):
        raise Fault("garbage", "the upstream's answer is not a completion: it has no choices", 502)
    return fields
