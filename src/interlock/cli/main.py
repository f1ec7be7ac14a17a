"""Assembles the command line from the groups beside this file."""

from pathlib import Path
from typing import Annotated

import typer

from interlock import __version__
from interlock.app_settings import load_settings
from interlock.cli import (
    audit,
    decisions,
    keys,
    policy,
    policy_activation,
    policy_bindings,
    policy_generate,
    policy_replay,
    policy_store,
    providers,
    tools,
)
from interlock.cli import config as settings_commands
from interlock.cli.demo import demo
from interlock.cli.demo_upstream import demo_upstream
from interlock.cli.migrate import migrate
from interlock.cli.serve import serve
from interlock.cli.usage import usage
from interlock.providers.build import build_upstreams
from interlock.providers.demo import DemoUpstream

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")
app.command()(serve)
app.command()(demo)
app.command("demo-upstream")(demo_upstream)
app.command()(usage)
app.command()(migrate)
app.add_typer(keys.app, name="keys")
app.add_typer(providers.app, name="providers")
policy.app.add_typer(policy_generate.app)
policy.app.add_typer(policy_store.app)
policy.app.add_typer(policy_bindings.app)
policy.app.add_typer(policy_activation.app)
policy.app.add_typer(policy_replay.app)
app.add_typer(policy.app, name="policy")
app.add_typer(tools.app, name="tools")
app.add_typer(decisions.app, name="decisions")
app.add_typer(settings_commands.app, name="config")
app.add_typer(audit.app, name="audit")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"interlock {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """Interlock: decide every model call and tool call of a team."""
    del version  # answered by the callback


def main() -> None:
    """Entry point of the `interlock` script."""
    providers.use(_providers)
    app()


def _providers(data: Path | None, config: Path | None) -> providers.Loaded:
    settings = load_settings(data=data, config=config).settings.upstreams
    return providers.Loaded(
        settings=settings, connect=lambda: build_upstreams(settings, demo=DemoUpstream())
    )
