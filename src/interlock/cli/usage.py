"""`interlock usage`: tokens and cost, summed by day, model, key or provider."""

from typing import Annotated, get_args

import typer
from rich.markup import escape

from interlock.app_store import Store
from interlock.cli.local import ConfigOption, DataOption, JsonOption, emit_json, grid, on_store, out
from interlock.cli.when import parse_instant
from interlock.gateway.history import GroupBy, UsageSum

__all__ = ["usage"]

_GROUPS: tuple[str, ...] = get_args(GroupBy)
_NUMBERS = (
    "requests",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def usage(
    *,
    by: Annotated[
        list[str] | None, typer.Option("--by", help=f"Group by: {', '.join(_GROUPS)}; repeatable.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="A date or a span such as `7d`; default: 30d.")
    ] = "30d",
    until: Annotated[str | None, typer.Option(help="A date or a span.")] = None,
    key: Annotated[str | None, typer.Option(help="Key id, label or prefix.")] = None,
    model: Annotated[str | None, typer.Option(help="Model as asked for.")] = None,
    provider: Annotated[str | None, typer.Option(help="Provider name.")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sum up what was used, and what it cost. Days are UTC.

    Examples:

        interlock usage

        interlock usage --by model --by key --since 2026-01-01 --until 2026-02-01

        interlock usage --key ci-robot --json
    """
    groups = _groups(by or ["day"])
    start, end = parse_instant(since, "--since"), parse_instant(until, "--until")

    async def work(store: Store) -> tuple[list[UsageSum], list[UsageSum], dict[str, str]]:
        key_id = None if key is None else (await store.admin.key(key)).id
        labels = {view.id: view.label for view in await store.admin.keys()}
        rows, total = [
            await store.history.usage(
                by=wanted, since=start, until=end, key_id=key_id, model=model, provider=provider
            )
            for wanted in (groups, ())
        ]
        return rows, total, labels

    rows, (total,), labels = on_store(work, data=data, config=config)
    if as_json:
        emit_json({"rows": rows, "total": total})
        return
    if not rows:
        out.print("nothing was used in that time")
        return
    table = grid(*groups, *(name.replace("_", " ") for name in _NUMBERS), "cost")
    table.show_footer = True
    for row in rows:
        names = [_name(group, row.group[group], labels) for group in groups]
        table.add_row(*map(escape, names), *_numbers(row))
    for column, number in zip(table.columns[len(groups) :], _numbers(total), strict=True):
        column.justify, column.footer = "right", number
    table.columns[0].footer = "total"
    out.print(table)
    if total.unpriced:
        out.print(f"{total.unpriced} requests have no known price and are not in the cost")
    if total.estimated:
        out.print(f"{total.estimated} requests have estimated token counts")


def _groups(names: list[str]) -> tuple[GroupBy, ...]:
    for name in names:
        if name not in _GROUPS:
            raise typer.BadParameter(
                f"`{name}` is not one of {', '.join(_GROUPS)}", param_hint="--by"
            )
    return tuple(dict.fromkeys(names))  # type: ignore[arg-type] # checked just above


def _name(group: str, value: str, labels: dict[str, str]) -> str:
    return f"{labels[value]} ({value})" if group == "key" and value in labels else value


def _numbers(row: UsageSum) -> list[str]:
    return [*(f"{getattr(row, name):,}" for name in _NUMBERS), f"${row.cost:,.4f}"]
