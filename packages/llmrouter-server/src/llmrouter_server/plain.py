"""An answer that comes whole."""

from __future__ import annotations

import msgspec

from llmrouter_server.asgi import Response
from llmrouter_server.call import Call
from llmrouter_server.parsing import Fields, decode_fields, encode, with_fields
from llmrouter_server.report import headers_of
from llmrouter_server.upstream import Answer, Fault


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
    call.count(fields.get("usage"))
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
        fields = decode_fields(body)
    except (msgspec.DecodeError, RecursionError):
        raise Fault("garbage", "the upstream's answer is not valid JSON", 502) from None
    if not bytes(fields.get("choices", msgspec.Raw(b""))).lstrip().startswith(b"["):
        problem = "reports an error" if "error" in fields else "is not a completion: it has no choices"
        raise Fault("garbage", f"the upstream's answer {problem}", 502)
    return fields
