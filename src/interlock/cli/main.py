"""Assembles the command line from the groups beside this file; see `lazy` for how."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from interlock import __version__
from interlock.cli.lazy import MARKUP, Lazy, LazyGroup

__all__ = ["app", "main"]


class _Commands(LazyGroup):
    """The commands and groups of `interlock`, in the order of its help."""

    lazy: ClassVar[Mapping[str, Lazy]] = {
        "serve": Lazy("interlock.cli.serve:serve", "Serve the gateway."),
        "worker": Lazy(
            "interlock.cli.worker:worker",
            "Make agents' replies beside the servers, on the same PostgreSQL database.",
        ),
        "demo": Lazy(
            "interlock.cli.demo:demo",
            "Start a server with the demo model and show what a policy stops.",
        ),
        "demo-upstream": Lazy(
            "interlock.cli.demo_upstream:demo_upstream",
            "Serve the demo model as a provider: OpenAI, Anthropic and Responses routes.",
        ),
        "usage": Lazy(
            "interlock.cli.usage:usage", "Sum up what was used, and what it cost. Days are UTC."
        ),
        "migrate": Lazy(
            "interlock.cli.migrate:migrate",
            "Bring the database schema up to date. The server does the same when it starts.",
        ),
        "backup": Lazy(
            "interlock.cli.backup:backup",
            "Write everything a server keeps into one file. The server may go on meanwhile.",
        ),
        "restore": Lazy(
            "interlock.cli.backup:restore",
            "Put a backup into an empty data directory, or an empty database.",
        ),
        "doctor": Lazy(
            "interlock.cli.doctor:doctor",
            "Look at everything a server depends on. Changes nothing; exit code 1 if something "
            "failed.",
        ),
        "keys": Lazy("interlock.cli.keys:app", "Gateway keys: who may use the gateway, and how."),
        "users": Lazy(
            "interlock.cli.users:app", "People: who may sign in, as what, and from where."
        ),
        "budgets": Lazy(
            "interlock.cli.budgets:app",
            "Money and tokens that keys, people, groups and accounts may use.",
        ),
        "providers": Lazy(
            "interlock.cli.configured_providers:app",
            "Upstreams: which are configured, and whether they answer.",
        ),
        "policy": Lazy(
            "interlock.cli.policy:app", "Write, check, test, keep, activate and replay policies."
        ),
        "tools": Lazy(
            "interlock.cli.tools:app",
            "Pinned tool definitions: a definition that changes reaches the model as an "
            "instruction.",
        ),
        "decisions": Lazy(
            "interlock.cli.decisions:app", "The decision log: what was allowed, denied, and why."
        ),
        "approvals": Lazy(
            "interlock.cli.approvals:app",
            "Soft denials that wait for a person (keys with `--approval ask`).",
        ),
        "rehearse": Lazy(
            "interlock.cli.rehearse:rehearse",
            "Put a text into a tool result of a recorded session and show what it would have done.",
        ),
        "config": Lazy("interlock.cli.config:app", "Settings: what is in effect, and why."),
        "audit": Lazy("interlock.cli.audit:app", "The audit log of administration."),
    }


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=MARKUP
)


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
    app()
