"""Sets of models that providers offer, to name many at once: ``list(ANTHROPIC_MODELS | OPENAI_MODELS)``.

A name is the service, the vendor and the model, as ``openai/openai/gpt-4o``. The lists are of June 2025 and
hold names that the providers had published by then, some of which they may have withdrawn since; they say
nothing about prices. What can be called is what your configuration lists under ``data_path.llm_data``.
"""

from __future__ import annotations

OPENAI_MODELS = frozenset(
    f"openai/openai/{model}"
    for model in (
        "gpt-3.5-turbo",
        "gpt-4",
        "gpt-4-turbo",
        "gpt-4.1",
        "gpt-4.1-mini",
        "gpt-4.1-nano",
        "gpt-4.5-preview",
        "gpt-4o",
        "gpt-4o-mini",
    )
)

ANTHROPIC_MODELS = frozenset(
    f"anthropic/anthropic/{model}"
    for model in (
        "claude-3-opus-latest",
        "claude-3-5-haiku-latest",
        "claude-3-5-sonnet-latest",
        "claude-3-7-sonnet-latest",
        "claude-opus-4-0",
        "claude-sonnet-4-0",
    )
)

TOGETHER_MODELS = frozenset(
    f"together/{model}"
    for model in (
        "Qwen/Qwen2.5-72B-Instruct-Turbo",
        "Qwen/Qwen2.5-Coder-32B-Instruct",
        "deepseek-ai/DeepSeek-R1",
        "deepseek-ai/DeepSeek-V3",
        "google/gemma-2-27b-it",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo",
        "mistralai/Mistral-Small-24B-Instruct-2501",
        "nvidia/Llama-3.1-Nemotron-70B-Instruct-HF",
    )
)

GEMINI_MODELS = frozenset(
    f"gemini/gemini/{model}"
    for model in (
        "gemini-1.5-flash",
        "gemini-1.5-flash-8b",
        "gemini-1.5-flash-8b-latest",
        "gemini-1.5-flash-latest",
        "gemini-1.5-pro",
        "gemini-1.5-pro-latest",
        "gemini-2.0-flash",
        "gemini-2.0-flash-lite",
        "gemini-2.5-flash",
        "gemini-2.5-pro",
    )
)

ALL_MODELS = OPENAI_MODELS | ANTHROPIC_MODELS | TOGETHER_MODELS | GEMINI_MODELS
