"""``llmrouter jobs``: train routers with a judge."""

from __future__ import annotations

import sys
import time

import click

from llmrouter.errors import LLMRouterError
from llmrouter_lifecycle.client.client import Client
from llmrouter_lifecycle.commands.shared import Place, json_option, place_options, read_requests, show
from llmrouter_lifecycle.resources import RouterTrainingJob

# Seconds between looks at a job.
INTERVAL = 0.5

_COLUMNS = ("id", "status", "router_name", "judge_name", "create_time", "error_message")


@click.group()
def jobs() -> None:
    """Train routers with a judge.

    The LLMs answer requests, the judge scores the answers, the router learns from both. A job survives
    whatever happens to the process that does it.
    """


@jobs.command()
@click.option("--router", required=True, help="The router, which gets a new version.")
@click.option("--judge", required=True, help="The judge.")
@click.option("--llm", "llms", required=True, multiple=True, help="An LLM to train on; several times.")
@click.option(
    "--requests",
    "path",
    required=True,
    type=click.Path(),
    help="JSON lines with 'messages', or 'query', and for judges that compare 'reference'.",
)
@click.option("--budget", type=click.FloatRange(min=0), help="What may be spent, in USD.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the training.")
@click.option("--estimate", is_flag=True, help="Tell calls and cost, and do nothing.")
@click.option("--detach", is_flag=True, help="Leave it to a worker, and return at once.")
@place_options
def start(
    router: str,
    judge: str,
    llms: tuple[str, ...],
    path: str,
    budget: float | None,
    seed: int,
    estimate: bool,
    detach: bool,
    place: Place,
) -> int:
    """Start a training job, and wait for it; Ctrl-C stops the waiting alone."""
    requests = read_requests(path)
    with place.client() as client:
        if estimate:
            show(client.routers.estimate_training_job(judge, list(llms), requests), True)
            return 0
        job = client.routers.run_training_job(
            router, judge, list(llms), requests, budget_usd=budget, seed=seed
        )
        if not detach:
            job = _watch(client, job)
        show(job, True)
    return _status(job)


@jobs.command("list")
@json_option
@place_options
def list_jobs(as_json: bool, place: Place) -> None:
    """List the training jobs, the newest first."""
    with place.client(worker=False) as client:
        show(client.routers.list_training_jobs(), as_json, _COLUMNS)


@jobs.command("show")
@click.argument("job")
@place_options
def show_job(job: str, place: Place) -> None:
    """Show a job."""
    with place.client(worker=False) as client:
        show(client.routers.poll_training_job(job), True)


@jobs.command()
@click.argument("job")
@place_options
def wait(job: str, place: Place) -> int:
    """Wait until a job has ended; the exit status is 1 unless it succeeded."""
    with place.client() as client:
        ended = _watch(client, client.routers.poll_training_job(job))
        show(ended, True)
    return _status(ended)


@jobs.command()
@click.argument("job")
@place_options
def cancel(job: str, place: Place) -> None:
    """Let no further calls be made for a job."""
    with place.client(worker=False) as client:
        show(client.routers.cancel_training_job(job), True)


@jobs.command()
@click.argument("job")
@click.option("--budget", type=click.FloatRange(min=0), help="What it may spend in all from now on, in USD.")
@click.option("--detach", is_flag=True, help="Leave it to a worker, and return at once.")
@place_options
def retry(job: str, budget: float | None, detach: bool, place: Place) -> int:
    """Let a job that failed or was cancelled do what is missing."""
    with place.client() as client:
        again = client.routers.retry_training_job(job, budget_usd=budget)
        if not detach:
            again = _watch(client, again)
        show(again, True)
    return _status(again)


@jobs.command()
@click.argument("job")
@click.option("--plot", type=click.Path(), help="Draw the frontier into this .png or .svg file.")
@place_options
def results(job: str, plot: str | None, place: Place) -> None:
    """Show what a job found out about its LLMs, and what its router reaches."""
    with place.client(worker=False) as client:
        found = client.routers.training_results(job)
    if plot is not None:
        found.plot(plot)
    show(found, True)


@jobs.command()
@click.argument("job")
@place_options
def delete(job: str, place: Place) -> None:
    """Delete a job that has ended, with all texts."""
    with place.client(worker=False) as client:
        client.routers.delete_training_job(job)


@jobs.command()
@click.option("--concurrency", type=click.IntRange(min=1), help="Calls at once.  [default: 16]")
@click.option("--idle", type=click.FloatRange(min=0), help="End after so many seconds without a job.")
@click.option(
    "--plugin-dirs", is_flag=True, help="Let what it runs, such as a judge, find routers in directories too."
)
@place_options
@click.pass_obj
def worker(app: object, concurrency: int | None, idle: float | None, plugin_dirs: bool, place: Place) -> int:
    """Do training jobs until stopped.

    On PostgreSQL any number of workers may run, on any machine; on SQLite one at a time.
    """
    from llmrouter_lifecycle.home import default_database
    from llmrouter_lifecycle.worker import run_worker

    where = place.lifecycle or default_database()
    if where.startswith(("http://", "https://")):
        raise LLMRouterError("a worker needs the database itself; name it with --lifecycle")
    if plugin_dirs and not getattr(app, "use_directories", True):
        raise click.UsageError("--no-plugin-dirs and --plugin-dirs contradict each other")
    return run_worker(
        where,
        place.config,
        concurrency=concurrency,
        idle=idle,
        block=tuple(getattr(app, "block", ())),
        directories=plugin_dirs,
    )


def _watch(client: Client, job: RouterTrainingJob) -> RouterTrainingJob:
    """Wait for a job, with a progress bar where somebody looks at it."""
    total = job.progress.total if job.progress is not None else 0
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=total, label="Judged answers", file=sys.stderr, hidden=hidden) as bar:
        while not job.ended:
            time.sleep(INTERVAL)
            job = client.routers.poll_training_job(job)
            if job.progress is not None:
                bar.update(job.progress.done + job.progress.failed - bar.pos)
    return job


def _status(job: RouterTrainingJob) -> int:
    """The exit status that tells how a job stands."""
    return 0 if job.status in ("SUCCESS", "RUNNING") else 1
