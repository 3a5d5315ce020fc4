"""OpenTelemetry spans, where its packages are installed and an exporter is configured."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

# Each says that traces are wanted.
_VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)
_NOTHING: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
_PASSED_ON = (b"traceparent", b"tracestate")

_tracer: Any = None


def start(environ: Mapping[str, str] = os.environ) -> None:
    """Begin to trace, if the environment asks for it, as OpenTelemetry's own variables say.

    Where its packages are missing that is logged once, and nothing is traced.
    """
    global _tracer
    wanted = [name for name in _VARIABLES if environ.get(name)]
    if not wanted or environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or _exporter(environ) == "none":
        return
    try:
        from opentelemetry import trace

        if not hasattr(trace.get_tracer_provider(), "add_span_processor"):
            trace.set_tracer_provider(_provider(_exporter(environ)))
    except ImportError as error:
        logger.warning(
            "%s is set, but %s is not installed; to trace: pip install 'llmrouter-server[otel]'",
            wanted[0],
            error.name,
        )
        return
    _tracer = trace.get_tracer("llmrouter_server")


def stop() -> None:
    """Send what is left of the traces."""
    global _tracer
    if _tracer is not None:
        from opentelemetry import trace

        shutdown = getattr(trace.get_tracer_provider(), "shutdown", None)
        if shutdown is not None:
            shutdown()
        _tracer = None


def active() -> bool:
    """Whether anything is traced."""
    return _tracer is not None


def span(name: str, attributes: Mapping[str, Any]) -> contextlib.AbstractContextManager[Any]:
    """Return a context that traces a step within a request, or does nothing."""
    if _tracer is None:
        return _NOTHING
    span: contextlib.AbstractContextManager[Any] = _tracer.start_as_current_span(name, attributes=attributes)
    return span


def request_span(name: str, headers: Mapping[bytes, bytes]) -> contextlib.AbstractContextManager[Any]:
    """Return a context that traces a request, as part of the client's trace where there is one."""
    if _tracer is None:
        return _NOTHING
    from opentelemetry import propagate, trace

    context = propagate.extract({name.decode(): value.decode("latin-1") for name, value in headers.items()})
    span: contextlib.AbstractContextManager[Any] = _tracer.start_as_current_span(
        name, context=context, kind=trace.SpanKind.SERVER
    )
    return span


def upstream_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return the headers by which an upstream continues the trace; without tracing the client's own."""
    if _tracer is None:
        return {name.decode(): headers[name].decode("latin-1") for name in _PASSED_ON if name in headers}
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def _exporter(environ: Mapping[str, str]) -> str:
    return environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()


def _provider(exporter: str) -> Any:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

    made: SpanExporter
    if exporter == "console":
        import sys

        made = ConsoleSpanExporter(out=sys.stderr)
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        made = OTLPSpanExporter()
    provider = TracerProvider(
        resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "llmrouter")})
    )
    provider.add_span_processor(BatchSpanProcessor(made))
    return provider
