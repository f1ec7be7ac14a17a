"""`interlock decisions`: why was a tool call allowed or denied."""

import contextlib
from typing import Annotated, Any

import msgspec
import typer

from interlock.app_store import Store
from interlock.cli.local import ConfigOption, DataOption, JsonOption, emit_json, grid, on_store, out
from interlock.cli.when import parse_instant, shown_instant
from interlock.cli.words import legend, marked, plain, shown_json
from interlock.gateway.approvals.model import Approval
from interlock.gateway.history import DecisionFilter, DecisionPage
from interlock.gateway.lineage import lineage_lines, lineage_mermaid
from interlock.gateway.records import DecisionRecord
from interlock.policy.model import Verdict

__all__ = [
    "KeyOption",
    "LabelOption",
    "RuleOption",
    "SessionOption",
    "ToolOption",
    "VerdictOption",
    "app",
    "verdicts",
    "with_key",
]

app = typer.Typer(no_args_is_help=True, help="The decision log: what was allowed, denied, and why.")

_VERDICTS = tuple(str(verdict) for verdict in Verdict)
_SHORT = {
    "denied": tuple(str(verdict) for verdict in Verdict if not verdict.allowed),
    "allowed": tuple(str(verdict) for verdict in Verdict if verdict.allowed),
}

VerdictOption = Annotated[
    list[str] | None,
    typer.Option("--verdict", help=f"`denied`, `allowed`, or {', '.join(_VERDICTS)}; repeatable."),
]
ToolOption = Annotated[str | None, typer.Option("--tool", help="Tool name; `mail_*` for a prefix.")]
RuleOption = Annotated[str | None, typer.Option("--rule", help="`send_email#0`, or `send_email`.")]
LabelOption = Annotated[
    str | None, typer.Option("--label", help="`pii`, or `tag:pii`, `producer:web`, `consumer:hr`.")
]
KeyOption = Annotated[str | None, typer.Option("--key", help="Key id, label or prefix.")]
SessionOption = Annotated[str | None, typer.Option("--session", help="Session id.")]


@app.command("list")
def list_decisions(
    *,
    verdict: VerdictOption = None,
    tool: ToolOption = None,
    rule: RuleOption = None,
    label: LabelOption = None,
    key: KeyOption = None,
    session: SessionOption = None,
    since: Annotated[str | None, typer.Option(help="A date or a span such as `2h`.")] = None,
    until: Annotated[str | None, typer.Option(help="A date or a span.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    page: Annotated[str | None, typer.Option(help="Continue a list.")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List decisions, newest first.

    Examples:

        interlock decisions list --verdict denied --since 24h

        interlock decisions list --tool send_email --label tag:pii --json
    """
    wanted = DecisionFilter(
        verdicts=verdicts(verdict),
        tool=tool,
        rule=rule,
        label=label,
        session_id=session,
        since=parse_instant(since, "--since"),
        until=parse_instant(until, "--until"),
    )

    async def work(store: Store) -> DecisionPage:
        full = await with_key(store, wanted, key)
        return await store.history.decisions(full, limit=limit, page=page)

    found = on_store(work, data=data, config=config)
    if as_json:
        emit_json({"decisions": found.decisions, "next": found.next})
        return
    if not found.decisions:
        out.print("no decisions")
        return
    columns = ("when", "verdict", "tool", "rule", "session", "decision")
    table = grid(*columns, whole=("decision",))
    for record in found.decisions:
        table.add_row(
            shown_instant(record.at),
            _colour(record.verdict),
            plain(record.tool),
            plain(record.rule or record.reason),
            plain(record.session_id or "-"),
            plain(record.id),
        )
    out.print(table)
    if found.next:
        out.print(f"more: add [bold]--page {plain(found.next)}[/]")


@app.command("show")
def show(
    decision_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Print the lineage as a Mermaid graph.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one decision: the rule, its conditions, the labels and where they came from.

    The lineage goes from what was read, through variables and lines of the program or the
    labels of the session, to the call; `*` marks what made the deciding rule fire.

    Examples:

        interlock decisions show dec_0123456789abcdef01234567

        interlock decisions show dec_0123456789abcdef01234567 --mermaid > lineage.mmd
    """

    async def work(store: Store) -> tuple[DecisionRecord, Approval | None]:
        record = await store.history.decision(decision_id)
        return record, await store.approvals.about(record.id, account_id=record.account_id)

    record, approval = on_store(work, data=data, config=config)
    words = {} if approval is None else approval.lineage.get("words") or {}
    if as_json:
        whole = msgspec.to_builtins(record)
        emit_json({**whole, "words": words} if words else whole)
        return
    if mermaid:
        typer.echo(lineage_mermaid(record.lineage))
        return
    out.print(f"{_colour(record.verdict)} [bold]{plain(record.tool)}[/] ({plain(record.reason)})")
    facts = {
        "decision": record.id,
        "when": shown_instant(record.at),
        "rule": record.rule,
        "rule text": record.rule_text,
        "policy": record.policy and f"{record.policy}:{record.rule_line or '?'}",
        "key": record.key_id,
        "session": record.session_id,
        "request": record.request_id,
        "call": record.call_id,
        "trace": record.trace_id,
        "took": f"{record.duration_s * 1e6:.0f} µs",
    }
    for name, value in facts.items():
        if value:
            out.print(f"  [dim]{name:<10}[/] {plain(value)}")
    out.print(f"  [dim]{'arguments':<10}[/] {_arguments(record)}")
    for name, value in (approval.arguments or {}).items() if approval and words else ():
        out.print(f"    [bold]{plain(name)}[/] = {marked(name, value, words)}", soft_wrap=True)
    for line in legend(words):
        out.print(f"      {line}", soft_wrap=True)
    if approval is not None and approval.edited_arguments is not None:
        out.print(f"    changed to {shown_json(approval.edited_arguments)}", soft_wrap=True)
    for title in ("caller", "basis", "labels", "guards", "shadow"):
        if member := getattr(record, title):
            out.print(f"  [dim]{title:<10}[/] {shown_json(member)}")
    for number, line in enumerate(lineage_lines(record.lineage)):
        title = "" if number else "lineage"
        out.print(f"  [dim]{title:<10}[/] {plain(line)}", soft_wrap=True)
    for rule in record.rules:
        _print_rule(rule)


@app.command("tail")
def tail(
    *,
    verdict: VerdictOption = None,
    tool: ToolOption = None,
    rule: RuleOption = None,
    label: LabelOption = None,
    key: KeyOption = None,
    session: SessionOption = None,
    last: Annotated[int, typer.Option(min=0, max=1000, help="Show this many first.")] = 10,
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many; default: never.")
    ] = None,
    poll: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks.")] = 1.0,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show decisions as they are made; ends with Ctrl-C. With --json, one object a line.

    Examples:

        interlock decisions tail --verdict denied
    """
    wanted = DecisionFilter(
        verdicts=verdicts(verdict), tool=tool, rule=rule, label=label, session_id=session
    )

    async def work(store: Store) -> None:
        full = await with_key(store, wanted, key)
        shown = 0
        stream = store.history.follow(full, last=last, poll_s=poll)
        async with contextlib.aclosing(stream):
            async for record in stream:
                _print_line(record, as_json=as_json)
                shown += 1
                if shown == count:
                    return

    with contextlib.suppress(KeyboardInterrupt):
        on_store(work, data=data, config=config)


async def with_key(store: Store, wanted: DecisionFilter, key: str | None) -> DecisionFilter:
    """The filter with the id of a key that is given by id, label or prefix."""
    if key is None:
        return wanted
    return msgspec.structs.replace(wanted, key_id=(await store.admin.key(key)).id)


def verdicts(names: list[str] | None) -> tuple[str, ...]:
    """The verdicts that these options mean; ends the command when one means none."""
    found: list[str] = []
    for name in names or ():
        if name in _SHORT:
            found.extend(_SHORT[name])
        elif name in _VERDICTS:
            found.append(name)
        else:
            raise typer.BadParameter(
                f"`{name}` is not one of denied, allowed, {', '.join(_VERDICTS)}",
                param_hint="--verdict",
            )
    return tuple(dict.fromkeys(found))


def _print_line(record: DecisionRecord, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(record).decode())
        return
    out.print(
        f"[dim]{shown_instant(record.at)}[/] {_colour(record.verdict)} "
        f"[bold]{plain(record.tool)}[/] {plain(record.rule or record.reason)} "
        f"[dim]{plain(record.id)}[/]",
        soft_wrap=True,
    )


def _print_rule(rule: dict[str, Any]) -> None:
    state, text = str(rule.get("state", "")), str(rule.get("rule", ""))
    where = f"{rule.get('policy', '')} line {rule.get('line', '?')}"
    out.print(f"  [dim]{plain(state):<12}[/]{plain(text)} [dim]{plain(where)}[/]")
    for condition in rule.get("conditions") or ():
        if isinstance(condition, dict):
            value = shown_json(condition.get("value"))
            out.print(f"      {plain(condition.get('text', ''))} = {value}")


def _arguments(record: DecisionRecord) -> str:
    if record.args is not None:
        return shown_json(record.args)
    gone = record.basis.get("values_removed_at")
    return "not kept" if gone is None else f"removed {shown_instant(gone)}"


def _colour(verdict: str) -> str:
    return f"[{'red' if verdict.endswith('denied') else 'green'}]{plain(verdict)}[/]"
