"""`interlock audit`: who did what, when, and what it was before."""

from dataclasses import asdict
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from interlock.app_store import Store
from interlock.cli.local import ConfigOption, DataOption, JsonOption, emit_json, grid, on_store, out
from interlock.cli.when import parse_instant, shown_instant
from interlock.identity.model import AuditEntry

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The audit log of administration.")


@app.callback()
def root() -> None:
    """The audit log of administration."""


@app.command("list")
def list_entries(
    *,
    actor: Annotated[str | None, typer.Option(help="Who did it.")] = None,
    action: Annotated[
        str | None, typer.Option(help="What was done, e.g. `key.create` or `key.*`.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Id of what it was done to.")] = None,
    since: Annotated[str | None, typer.Option(help="A date or a span such as `7d`.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    before: Annotated[
        int | None, typer.Option(help="Continue a list: entries older than this number.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List admin actions, newest first.

    Examples:

        interlock audit list --action 'key.*' --since 30d

        interlock audit list --target 01234567-89ab-4cde-8f01-23456789abcd --json
    """
    start = parse_instant(since, "--since")

    async def work(store: Store) -> list[AuditEntry]:
        return await store.audit.entries(
            limit=limit, before_id=before, actor=actor, action=action, target=target, since=start
        )

    entries = on_store(work, data=data, config=config)
    if as_json:
        emit_json([asdict(entry) for entry in entries])
        return
    columns = ("number", "when", "who", "where", "what", "target", "change")
    table = grid(*columns, whole=("number", "target"))
    for entry in entries:
        table.add_row(
            str(entry.id),
            shown_instant(entry.at),
            escape(entry.actor),
            entry.surface,
            entry.action,
            escape(entry.target),
            escape(_change(entry)),
        )
    out.print(table if entries else "no entries")


def _change(entry: AuditEntry) -> str:
    """Members that differ, `name: before -> after`."""
    before, after = entry.before or {}, entry.after or {}
    lines = []
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new or new in (None, [], {}):
            continue
        shown = _short(new) if old is None else f"{_short(old)} -> {_short(new)}"
        lines.append(f"{name}: {shown}")
    return ", ".join(lines)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:59] + "…"
