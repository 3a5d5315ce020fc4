"""``llmrouter serve``: answer requests over the OpenAI protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import socket

    from llmrouter_server.options import ServeOptions


@click.command()
@click.option(
    "--router",
    "routers",
    multiple=True,
    metavar="NAME",
    help="Name of a router to serve; the first is the default, 'auto'. May be given several times.",
)
@click.option(
    "--config",
    "configs",
    required=True,
    multiple=True,
    type=click.Path(),
    help="The router's configuration, a YAML file: one for each router, in their order, or one for all.",
)
@click.option(
    "--load-model-path",
    type=click.Path(),
    help="Saved state of the (first) router, in place of the configured one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port; 0: any that is free.",
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that serve."
)
@click.option(
    "--keys-file",
    type=click.Path(),
    help="Keys that clients need, as 'llmrouter keys create' makes them; a must for any other host.",
)
@click.option(
    "--access-log", type=click.Path(), help="File to append the access log to.  [default: standard error]"
)
@click.option(
    "--lifecycle",
    metavar="DATABASE",
    help="Serve the lifecycle of routers too, from an SQLite file or postgresql://…, with the LLMs of the "
    "(first) configuration.",
)
@click.option(
    "--no-worker", is_flag=True, help="Leave training jobs to workers started by 'llmrouter jobs worker'."
)
@click.option(
    "--plugin-dirs",
    is_flag=True,
    help="Look for routers in directories too, such as ./custom_routers; whoever can write there runs code.",
)
@click.option("--debug", is_flag=True, help="Log in detail, and show tracebacks of errors.")
@click.pass_context
def serve(
    context: click.Context,
    routers: tuple[str, ...],
    configs: tuple[str, ...],
    load_model_path: str | None,
    host: str,
    port: int,
    workers: int,
    keys_file: str | None,
    access_log: str | None,
    lifecycle: str | None,
    no_worker: bool,
    plugin_dirs: bool,
    debug: bool,
) -> None:
    """Serve routers over the OpenAI protocol.

    Clients name a candidate, a router, or 'auto' as the model. The section 'gateway' of the first
    configuration sets limits. SIGHUP reads configuration, keys and routers anew; SIGTERM lets running answers
    finish.

    \b
    llmrouter serve --router randomrouter --config config.yaml
    llmrouter serve --router my_router --config config.yaml --plugin-dirs
    llmrouter serve --config config.yaml --lifecycle lifecycle.sqlite --keys-file keys.json
    curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\
        -d '{"model": "auto", "messages": [{"role": "user", "content": "What is AI?"}]}'
    """
    from llmrouter_server.gateway import RouterOption
    from llmrouter_server.options import ServeOptions, check_host, listen, require_lifecycle

    if lifecycle is not None:
        require_lifecycle()
    elif not routers:
        raise click.UsageError("give a --router to serve, or a --lifecycle")
    if len(configs) not in (1, len(routers)):
        raise click.UsageError("give one --config for each --router, in their order, or one for all")
    check_host(host, keys_file)
    named = zip(routers, configs * len(routers) if len(configs) == 1 else configs, strict=False)
    app = context.obj
    if app is not None and debug:
        app.debug = True
    if plugin_dirs and not getattr(app, "use_directories", True):
        raise click.UsageError("--no-plugin-dirs and --plugin-dirs contradict each other")
    options = ServeOptions(
        routers=tuple(
            RouterOption(name, config, load_model_path if number == 0 else None)
            for number, (name, config) in enumerate(named)
        ),
        lifecycle=lifecycle,
        config=configs[0],
        keys_file=keys_file,
        access_log=access_log,
        block=tuple(getattr(app, "block", ())),
        use_directories=plugin_dirs,
        debug=debug,
        workers=workers,
    )
    listener = listen(host, port)
    try:
        does_jobs = lifecycle is not None and not no_worker
        if workers > 1 or does_jobs:
            from llmrouter_server.supervisor import Supervisor

            Supervisor(options, listener, workers, lambda: _say_where(listener, options), does_jobs).run()
        else:
            _serve_here(options, listener)
    finally:
        listener.close()


def _serve_here(options: ServeOptions, listener: socket.socket) -> None:
    """Serve in this process."""
    from llmrouter_server import tracing, worker
    from llmrouter_server.ending import hold_hang_ups, leave_threads
    from llmrouter_server.server import run

    hung_up = hold_hang_ups()
    worker.configure_logging(options.debug)
    tracing.start()
    serving = worker.Worker(options, lambda: _say_where(listener, options), hung_up=hung_up)
    run(serving.serve(listener))
    leave_threads()


def _say_where(listener: socket.socket, options: ServeOptions) -> None:
    """Say on standard error where the gateway listens, and how it is called."""
    from llmrouter_server.options import address_of

    url = address_of(listener)
    key = "" if options.keys_file is None else " -H 'Authorization: Bearer KEY'"
    served = [router.name for router in options.routers]
    if options.lifecycle is not None:
        served.append("the lifecycle of routers")
    if options.routers:
        example = (
            f"curl {url}/v1/chat/completions{key} -H 'Content-Type: application/json' "
            '-d \'{"model": "auto", "messages": [{"role": "user", "content": "What is AI?"}]}\''
        )
    else:
        example = f"curl {url}/v1/models{key}"
    click.echo(
        f"llmrouter serves {', '.join(served)} on {url}\nTry: {example}\n"
        f"For OpenAI clients the base URL is {url}/v1; Ctrl-C stops.",
        err=True,
    )
