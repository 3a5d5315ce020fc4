import click

from llmrouter.plugin_system import discover_and_register_plugins


@click.command()
@click.option("--upper", is_flag=True)
def frozen(upper):
    """Print the routers there are."""
    registry = discover_and_register_plugins(plugin_dirs=[], verbose=False)
    names = ", ".join(registry.get_router_names())
    click.echo(names.upper() if upper else names)
