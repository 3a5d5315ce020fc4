"""Resources as JSON."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from llmrouter_lifecycle.names import full_name
from llmrouter_lifecycle.store.jobs import Job
from llmrouter_lifecycle.store.versions import Version


def timestamp(seconds: float) -> str:
    """Return a time as RFC 3339 has it."""
    return (
        datetime.fromtimestamp(seconds, timezone.utc)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


def router_json(version: Version) -> dict[str, Any]:
    """Return a version of a router."""
    return {
        "name": full_name(version.org, "routers", version.id),
        "version": version.version,
        "description": version.description,
        "createTime": timestamp(version.created),
        "routerSpec": version.spec,
    }


def judge_json(version: Version) -> dict[str, Any]:
    """Return a version of a judge."""
    return {
        "name": full_name(version.org, "judges", version.id),
        "version": version.version,
        "description": version.description,
        "createTime": timestamp(version.created),
        "judgeSpec": {"judgeSpec": version.spec},
    }


def job_json(job: Job) -> dict[str, Any]:
    """Return a training job; its progress stands beside what the protocol has."""
    return {
        "name": full_name(job.org, "router_training_jobs", job.id),
        "routerName": full_name(job.org, "routers", job.router),
        "judgeName": full_name(job.org, "judges", job.judge),
        "judgeVersion": job.judge_version,
        "status": job.status,
        "createTime": timestamp(job.created),
        "updateTime": timestamp(job.updated),
        "llms": job.llms,
        "errorMessage": job.error,
        "retryCount": job.retries,
        "progress": {
            "done": job.done,
            "failed": job.failed,
            "total": job.options["requests"] * len(job.llms),
            "spentUsd": job.spent,
        },
    }
