"""``llmrouter uninstall``: remove plugins from this environment."""

from __future__ import annotations

import click

from llmrouter.plugin_system.metadata import normalize
from llmrouter_cli.app import App, debug_option, pass_app
from llmrouter_cli.installer import requirement_of
from llmrouter_cli.installer import uninstall as uninstall_distributions


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@debug_option
@pass_app
def uninstall(app: App, names: tuple[str, ...], yes: bool) -> None:
    """Remove plugins from this environment.

    NAME is a plugin, such as knn or llmrouter-knn. What other packages it needed stays.
    """
    installed = {normalize(plugin.distribution.name): plugin.distribution for plugin in app.registry.plugins}
    found = []
    for name in names:
        distribution = installed.get(normalize(requirement_of(name))) or installed.get(normalize(name))
        if distribution is None:
            known = ", ".join(sorted(installed)) or "none is installed"
            raise click.UsageError(f"no plugin is named {name!r}; there are {known}")
        found.append(distribution)
    if not yes:
        click.confirm(f"Remove {', '.join(map(str, found))}?", abort=True, err=True)
    uninstall_distributions([distribution.name for distribution in found])
