"""`interlock policy generate`: a policy from a description in plain words.

On the data directory the configured providers are asked, through the same door and with
the same ledger as a request to the server; with `--server` a running server is.
"""

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from interlock.app_store import Store
from interlock.cli.failures import reported
from interlock.cli.local import ConfigOption, DataOption, JsonOption, emit_json, on_store
from interlock.cli.policy_store import read_text
from interlock.gateway.config import SessionConfig
from interlock.gateway.context import CallContext
from interlock.gateway.generation import PolicyGeneration, signatures
from interlock.gateway.ledger import Ledger
from interlock.gateway.roles import Roles
from interlock.identity.model import KeyInfo
from interlock.kernel.clock import SystemClock
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.kernel.ids import new_id
from interlock.policy.generation import Wanted
from interlock.providers.build import build_upstreams
from interlock.providers.demo import DemoUpstream
from interlock.providers.wire.exchange import FormatName, Head

__all__ = ["generate"]

_TIMEOUT_S: Final = 600.0
_TYPES: Final[dict[FormatName, str]] = {
    "chat": "oai_chat_completion",
    "messages": "anthropic_messages",
    "responses": "oai_responses",
}
_ENDPOINT: Final = "policy-gen/generate"


class _WrongInputError(InterlockError):
    """Something on the command line or in a file is not what it should be."""

    kind = ErrorKind.INVALID
    code = "invalid_request"


class _ServerError(InterlockError):
    """The server did not do it."""

    kind = ErrorKind.UPSTREAM
    code = "server_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What to write, and by whom."""

    description: str
    wire: FormatName
    tools: list[dict[str, Any]]
    provider: str | None
    model: str | None
    retries: int


def generate(
    description: Annotated[
        str, typer.Argument(help="What the policy shall do, in plain words; `-` for stdin.")
    ],
    *,
    tools: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with the tools, as clients of any format declare them. Without it, "
            "tool names are not checked.",
            metavar="FILE",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model to ask. Default: the provider's first.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="Provider to ask. Default: as in the settings.")
    ] = None,
    retries: Annotated[
        int, typer.Option(help="How often to ask again after an answer that is no policy.", min=0)
    ] = 3,
    server: Annotated[
        str | None, typer.Option(help="Ask a running server instead.", metavar="URL")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Its gateway key, or `@FILE` with the key in its first line. Asked for if absent."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the policy to this file.", metavar="FILE")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a policy from a description; what is printed compiles.

    Exits with 0 and the policy, or with 1 when no answer of the model was one. Each rule quotes the
    part of the description it implements: read them before you use it.

    Examples:

        interlock policy generate "Only allow mail to addresses ending in @corp.example." --tools
        tools.json --output mail.sqrt

        interlock policy generate - --tools tools.json --provider openai --model gpt-5 < rules.txt

        interlock policy generate "Never delete files" --server http://127.0.0.1:8080 --key @key.txt
    """
    text = read_text(Path("-")) if description == "-" else description
    with reported():
        if not text.strip():
            raise _WrongInputError("the description is empty")
        wire, declared = _declared(tools)
        asked = _Asked(
            description=text,
            wire=wire,
            tools=declared,
            provider=provider,
            model=model,
            retries=retries,
        )
        if server is not None:
            secret = _key(key)
            with Console(stderr=True).status(f"asking {server}"):
                reply = _by_server(server, secret, asked)
    if server is None:
        with Console(stderr=True).status("asking the model"):
            reply = on_store(lambda store: _locally(store, asked), data=data, config=config)
    if output is not None:
        _write(output, reply["policies"])
    if as_json:
        emit_json(reply)
        return
    if output is None:
        typer.echo(reply["policies"], nl=False)
    usage = reply["usage"]
    typer.echo(
        f"{usage['prompt_tokens']} tokens in, {usage['completion_tokens']} tokens out", err=True
    )


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"cannot write `{file}`: {error.strerror}") from None


# Tools


def _declared(file: Path | None) -> tuple[FormatName, list[dict[str, Any]]]:
    """The tools in a file, and the format they are written in."""
    if file is None:
        return "chat", []
    try:
        tree = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise _WrongInputError(f"`{file}` is not JSON: {error}") from None
    if isinstance(tree, dict):
        tree = tree.get("tools")
    if not isinstance(tree, list) or not all(isinstance(item, dict) for item in tree):
        raise _WrongInputError(f"`{file}` is no list of tools, nor an object with `tools`")
    wire = _format(tree)
    signatures(wire, tree)
    return wire, tree


def _format(tools: list[dict[str, Any]]) -> FormatName:
    if any("function" in tool for tool in tools):
        return "chat"
    if any("input_schema" in tool for tool in tools):
        return "messages"
    return "responses"


# Locally


async def _locally(store: Store, asked: _Asked) -> dict[str, Any]:
    """Asks a configured provider, metered as a request of nobody's key."""
    clock = SystemClock()
    upstreams = build_upstreams(store.settings.upstreams, clock=clock, demo=DemoUpstream())
    ledger = Ledger(recorder=store.recorder, clock=clock, counters=())
    writer = PolicyGeneration(Roles(upstreams=upstreams, ledger=ledger))
    store.recorder.start()
    try:
        provider = asked.provider or upstreams.default_provider("generate")
        model = asked.model or next(
            (name for name in upstreams.models(provider) if not name.endswith("*")), None
        )
        if model is None:
            raise _WrongInputError(f"say with `--model` which model of `{provider}` to ask")
        ctx = CallContext(
            request_id=new_id("req"),
            key=KeyInfo(id="local", account_id="local", user_id="", user_email="", label="local"),
            config=SessionConfig(),
            head=Head(format="chat", model=model, stream=False, body=b""),
            provider=provider,
            byok=None,
            endpoint=_ENDPOINT,
        )
        wanted = Wanted(
            description=asked.description,
            tools=tuple(signatures(asked.wire, asked.tools)),
            retries=asked.retries,
        )
        written = await asyncio.wait_for(writer.write(ctx, wanted), _TIMEOUT_S)
    except TimeoutError:
        raise _ServerError(f"no policy within {_TIMEOUT_S:g} s") from None
    finally:
        upstreams.close()
    usage = written.usage
    return {
        "policies": written.code,
        "usage": {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
        },
    }


# By a server


def _key(given: str | None) -> str:
    if given is None:
        return str(typer.prompt("Gateway key", hide_input=True, err=True))
    if given.startswith("@"):
        lines = read_text(Path(given[1:])).split("\n", 1)
        given = lines[0].strip()
    if not given or not given.isascii() or not given.isprintable():
        raise _WrongInputError("the key is empty or not a key")
    return given


def _by_server(base_url: str, key: str, asked: _Asked) -> dict[str, Any]:
    if not base_url.startswith(("http://", "https://")):
        raise _WrongInputError("`--server` must begin with http:// or https://")
    provider = f"/{asked.provider}" if asked.provider else ""
    root = f"{base_url.rstrip('/')}/control/policy-gen{provider}/v1"
    model = asked.model
    if model is None:
        listed = _call(f"{root}/models", key, None).get("data") or []
        names = [one.get("id") for one in listed if isinstance(one, dict)]
        model = next((name for name in names if name and not name.endswith("*")), None)
    if model is None:
        raise _WrongInputError("say with `--model` which model to ask: the server lists none")
    return _call(
        f"{root}/generate",
        key,
        {
            "type": _TYPES[asked.wire],
            "model": model,
            "description": asked.description,
            "n_retries": asked.retries,
            "tools": asked.tools,
        },
    )


def _call(url: str, key: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """One request; the answer's object. Raises _ServerError with what the server says."""
    try:
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            url,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
            tree = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise _ServerError(_told(error.read()) or f"the server answered {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise _ServerError(f"no answer from `{url}`: {reason}") from None
    if not isinstance(tree, dict):
        raise _ServerError(f"`{url}` is no Interlock server")
    return tree


def _told(body: bytes) -> str | None:
    try:
        tree = json.loads(body)
    except ValueError:
        return None
    detail = tree.get("detail") if isinstance(tree, dict) else None
    return detail if isinstance(detail, str) else None
