"""`interlock config`: the settings in effect and where each came from."""

import typer
from rich.markup import escape

from interlock.cli.local import (
    ConfigOption,
    DataOption,
    JsonOption,
    emit_json,
    grid,
    out,
    settings_of,
)

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Settings: what is in effect, and why.")


@app.callback()
def root() -> None:
    """Settings: what is in effect, and why."""


@app.command("show")
def show(
    *, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show every setting with its value and source. Secrets are masked.

    Examples:

        interlock config show

        INTERLOCK_PORT=9000 interlock config show --json
    """
    loaded = settings_of(data, config)
    values = loaded.values()
    if as_json:
        emit_json(
            {
                "config_file": None if loaded.config_file is None else str(loaded.config_file),
                "settings": [
                    {"key": item.key, "value": item.value, "source": item.source} for item in values
                ],
            }
        )
        return
    table = grid("setting", "value", "source", whole=("setting",))
    for item in values:
        style = "dim" if item.source == "default" else ""
        shown = "-" if item.value is None else str(item.value)
        table.add_row(item.key, escape(shown), escape(item.source), style=style)
    out.print(table)
    file = "none" if loaded.config_file is None else str(loaded.config_file)
    out.print(f"settings file: {escape(file)}")
