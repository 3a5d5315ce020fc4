from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from llmrouter_server import tracing
from tests.server.serving import EVENTS, Serve, StartRaw, answer_with, json_answer

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ANSWER = b'{"choices": [], "model": "m"}'


@pytest.fixture(autouse=True)
def stop() -> Iterator[None]:
    yield
    tracing.stop()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_nothing_is_traced_unless_asked_for(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    tracing.start(environ)
    assert not tracing.active()
    assert caplog.records == []


def test_a_missing_package_is_told_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    try:
        import opentelemetry.sdk
    except ImportError:
        with caplog.at_level(logging.WARNING):
            tracing.start({"OTEL_TRACES_EXPORTER": "console"})
        assert "pip install 'llmrouter-server[otel]'" in caplog.text
        assert not tracing.active()
    else:
        pytest.skip(f"{opentelemetry.sdk.__name__} is installed")


def test_without_tracing_the_clients_context_is_passed_on(serve: Serve, raw_upstream: StartRaw) -> None:
    raw = raw_upstream(answer_with(json_answer(ANSWER)))
    serving = serve({"one": {"api_endpoint": raw.url}})
    serving.client.headers.update({"traceparent": PARENT, "x-other": "1"})
    serving.chat()
    assert f"traceparent: {PARENT}".encode() in raw.requests[0]
    assert b"x-other" not in raw.requests[0]


def test_a_request_is_traced_with_its_decision_and_its_upstreams(
    serve: Serve, raw_upstream: StartRaw
) -> None:
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry import trace

    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    tracing.start({"OTEL_TRACES_EXPORTER": "console"})
    raw = raw_upstream(answer_with(json_answer(ANSWER)))
    bad = raw_upstream(answer_with(EVENTS))
    serving = serve({"bad": {"api_endpoint": bad.url}, "one": {"api_endpoint": raw.url}})
    serving.client.headers["traceparent"] = PARENT
    assert serving.chat().status_code == 200
    serving.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"route", "upstream", "POST /v1/chat/completions"}
    request = spans["POST /v1/chat/completions"]
    assert f"{request.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{request.parent.span_id:016x}" == PARENT.split("-")[2]
    assert spans["route"].parent.span_id == request.context.span_id
    assert request.attributes["http.response.status_code"] == 200
    sent = f"00-{request.context.trace_id:032x}-{spans['upstream'].context.span_id:016x}-01"
    assert sent.encode() in raw.requests[0]
