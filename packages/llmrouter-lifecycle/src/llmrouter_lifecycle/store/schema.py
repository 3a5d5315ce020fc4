"""The tables. Every table has ``org``, and every query names it, or a job, which belongs to one."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from llmrouter_lifecycle.store.encoding import StoredText

metadata = MetaData()

# Counts up when tables change. Changes only add (`migration.py`): new tables, indexes, and columns that are
# nullable or have a server_default.
SCHEMA = 2

settings = Table(
    "llmrouter_settings",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("value", Text, nullable=False),
)


def _versions(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("org", String(63), primary_key=True),
        Column("id", String(63), primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("description", StoredText),
        Column("created", Float, nullable=False),
        Column("spec", JSON, nullable=False),
    )


# Versions are immutable: rows are added, and deleted all at once.
routers = _versions("llmrouter_routers")
judges = _versions("llmrouter_judges")

checkpoints = Table(
    "llmrouter_checkpoints",
    metadata,
    Column("org", String(63), primary_key=True),
    Column("digest", String(80), primary_key=True),
    Column("created", Float, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

jobs = Table(
    "llmrouter_jobs",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("org", String(63), nullable=False, index=True),
    # Whose credits pay.
    Column("account", String(63), nullable=False),
    Column("router", String(63), nullable=False),
    Column("judge", String(63), nullable=False),
    Column("judge_version", Integer, nullable=False),
    Column("llms", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("requests_digest", String(80), nullable=False),
    # Which programs may work on it.
    Column("program", String(63), nullable=False),
    Column("status", String(63), nullable=False, index=True),
    Column("error", StoredText),
    Column("retries", Integer, nullable=False, default=0),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("ended", Float),
    Column("done", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("spent", Float, nullable=False, default=0.0),
    # LLMs that are not called any more, each with its reason.
    Column("stopped", JSON, nullable=False),
    Column("results", JSON),
    Column("texts_deleted", Boolean, nullable=False, default=False),
    # Counts the claims of its tasks.
    Column("fence", Integer, nullable=False, server_default="0"),
)

requests = Table(
    "llmrouter_requests",
    metadata,
    Column("org", String(63), nullable=False),
    Column("job", String(63), primary_key=True),
    Column("request_index", Integer, primary_key=True),
    Column("body", JSON),
)

# The truth about a job: one row for each call that ended, committed as it ends.
calls = Table(
    "llmrouter_calls",
    metadata,
    Column("org", String(63), nullable=False),
    Column("job", String(63), primary_key=True),
    Column("request_index", Integer, primary_key=True),
    Column("llm", String(255), primary_key=True),
    Column("kind", String(15), primary_key=True),
    Column("ended", Float, nullable=False),
    # The message of the LLM, or what the judge said.
    Column("message", JSON),
    Column("score", Float),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cost", Float),
    # None where it succeeded.
    Column("error", StoredText),
    Column("error_status", Integer),
)

tasks = Table(
    "llmrouter_tasks",
    metadata,
    Column("org", String(63), nullable=False),
    Column("job", String(63), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", String(15), nullable=False),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    # The worker that does it, or None.
    Column("owner", String(127)),
    # Which claim of the job's tasks its owner's is: with a lower one nothing can be written.
    Column("fence", Integer, nullable=False, server_default="0"),
    # When its owner loses it, unless that renews it: in seconds since 1970, by the database's clock.
    Column("lease_until", Float),
    # When the step that its owner declared must have ended; None before the first step.
    Column("deadline", Float),
    # How often it failed since a call of it was last recorded.
    Column("attempts", Integer, nullable=False, server_default="0"),
)

workers = Table(
    "llmrouter_workers",
    metadata,
    Column("id", String(127), primary_key=True),
    Column("program", String(63), nullable=False),
    Column("heartbeat", Float, nullable=False),
)

accounts = Table(
    "llmrouter_accounts",
    metadata,
    Column("org", String(63), primary_key=True),
    Column("account", String(63), primary_key=True),
    Column("spent", Float, nullable=False, default=0.0),
)

# What calls in flight may cost.
reservations = Table(
    "llmrouter_reservations",
    metadata,
    Column("id", String(512), primary_key=True),
    Column("org", String(63), nullable=False),
    Column("account", String(63), nullable=False),
    Column("job", String(63)),
    Column("owner", String(127), nullable=False),
    Column("usd", Float, nullable=False),
    Column("created", Float, nullable=False),
    # Whether the call was sent, so that it is charged for if its process dies; those of jobs always are.
    Column("sent", Integer, nullable=False, server_default="0"),
    Index("llmrouter_reservations_account", "org", "account"),
    Index("llmrouter_reservations_job", "job"),
)

# Answers to requests that may be repeated without being done twice.
replies = Table(
    "llmrouter_replies",
    metadata,
    Column("org", String(63), primary_key=True),
    Column("account", String(63), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request", String(80), nullable=False),
    Column("created", Float, nullable=False),
    Column("status", Integer),
    Column("body", JSON),
    # Which attempt answers it, and until when that holds it unless renewed; None: in one transaction.
    Column("owner", String(63)),
    Column("lease_until", Float),
)
