"""``llmrouter install``: add plugins to this environment."""

from __future__ import annotations

import click

from llmrouter.plugin_system import PluginRegistry
from llmrouter.specs import TrainerSpec
from llmrouter_cli.app import App, debug_option, pass_app
from llmrouter_cli.installer import install as install_distributions
from llmrouter_cli.installer import requirement_of


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-U", "--upgrade", is_flag=True, help="Upgrade what is installed.")
@debug_option
@pass_app
def install(app: App, names: tuple[str, ...], upgrade: bool) -> int:
    """Install plugins into this environment.

    NAME is a plugin, such as knn or llmrouter-knn, with a version if need be ('knn>=0.1'); or a wheel, a
    folder or a URL, as pip takes them. Where there is no pip, uv installs.
    """
    before = {str(plugin.distribution) for plugin in app.registry.plugins}
    install_distributions([requirement_of(name) for name in names], upgrade)
    added = [plugin for plugin in _looked_again().plugins if str(plugin.distribution) not in before]
    for plugin in added:
        declared = [spec.name for spec in plugin.declared if not isinstance(spec, TrainerSpec)]
        told = (
            f"adds {', '.join(declared) or 'nothing'}"
            if plugin.state == "ready"
            else f"is {plugin.state}: {plugin.reason}"
        )
        click.echo(f"{plugin.distribution} {told}", err=True)
    if not added:
        click.echo("No plugin was added that was not there.", err=True)
    return 0 if all(plugin.state == "ready" for plugin in added) else 1


def _looked_again() -> PluginRegistry:
    import importlib

    importlib.invalidate_caches()
    return PluginRegistry(())
