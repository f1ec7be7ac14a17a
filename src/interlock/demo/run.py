"""Starts a server, plays the scenes against it, tells them, says how to connect."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.syntax import Syntax
from rich.text import Text

from interlock.demo.scenes import (
    Line,
    Outcome,
    chat_scene,
    messages_scene,
    planned_scene,
)
from interlock.demo.story import ATTACKER, PLAN_POLICY, POLICY
from interlock.gateway.lineage import lineage_lines

__all__ = ["play"]

_START_S = 60.0
_CONTEXT = re.compile(r"Context: \{.*\}(?= Rule:)")
_UNSEEN = (
    "The plan was made before the inbox was read. The hidden instruction is only data of a "
    "program, which went on: mail went to whom the user named, and to nobody else."
)
_STYLES = {"user": "bold cyan", "model": "yellow", "tool": "dim", "answer": "bold"}


def play(*, host: str, port: int, data: Path | None, stay: bool, console: Console) -> int:
    """Plays the demonstration; returns the exit code.

    `stay` keeps the server running until Ctrl-C. Without `data` everything lives in a
    temporary directory that is removed at the end. A busy `port` is replaced by a free one.
    """
    directory = data or Path(tempfile.mkdtemp(prefix="interlock-demo-"))
    key = "sq-demo-" + secrets.token_urlsafe(18)
    port = _free_port(host, port)
    base_url = f"http://{host}:{port}"
    try:
        with _server(host, port, directory, key, console) as server:
            ok = _scenes(base_url, key, directory, console)
            _connect(base_url, key, console)
            if stay:
                console.print("\nServing until Ctrl-C.")
                server.wait()
            return 0 if ok else 1
    except KeyboardInterrupt:
        return 0
    finally:
        if data is None:
            shutil.rmtree(directory, ignore_errors=True)


def _scenes(base_url: str, key: str, directory: Path, console: Console) -> bool:
    say = _Teller(console)
    console.print(Rule("1  No policy: the model obeys whoever speaks last"))
    bare = chat_scene(base_url, key, policy=False, say=say)
    leaked = bool(bare.office.outbox)
    _verdict(console, not leaked, "Nothing left." if not leaked else _left(bare))

    console.print(Rule("2  Nine lines of policy"))
    console.print(Syntax(POLICY.rstrip(), "text", line_numbers=True, background_color="default"))
    guarded = chat_scene(base_url, key, policy=True, say=say)
    safe = not guarded.office.outbox
    _verdict(console, safe, _why(directory, guarded) if safe else _left(guarded))

    console.print(Rule("3  The same policy, Anthropic Messages, streamed"))
    streamed = messages_scene(base_url, key, say=say)
    safe_too = not streamed.office.outbox
    _verdict(console, safe_too, _why(directory, streamed) if safe_too else _left(streamed))
    return leaked and safe and safe_too and _planned(base_url, key, directory, say)


def _planned(base_url: str, key: str, directory: Path, say: "_Teller") -> bool:
    """Dual-llm: what was read cannot give orders, and cannot choose who gets something."""
    console = say.console
    console.print(Rule("4  The same inbox in dual-llm: a plan from the request alone"))
    console.print(Syntax(PLAN_POLICY.rstrip(), "text", background_color="default"))
    scene = planned_scene(base_url, key, say=say)
    harmless = next(scene)
    told = [mail.get("to") for mail in harmless.office.outbox]
    if told != ["ben@corp.example"]:
        _verdict(console, False, f"mail went to {told}")
        return False
    _verdict(console, True, _UNSEEN)
    careless = next(scene)
    if careless.office.outbox:
        _verdict(console, False, _left(careless))
        return False
    denied = _denied(directory, careless)
    if denied is None:
        _verdict(console, False, "the careless program was not denied")
        return False
    shown = ("decisions", "show", denied["id"], "--data", str(directory))
    spent = f"models  {careless.tokens[-1]} tokens after the inbox was read: no model was asked"
    _verdict(console, careless.tokens[-1] == 0, "\n".join([*_heading(denied), spent]))
    console.print("How the label got onto the argument `to`, as text:")
    console.print(Text("\n".join(lineage_lines(denied["lineage"]))), soft_wrap=True)
    console.print("\nand as a Mermaid graph:")
    console.print(Text(_interlock(*shown, "--mermaid").rstrip()), soft_wrap=True)
    return True


def _left(outcome: Outcome) -> str:
    mail = outcome.office.outbox[0]
    return f"EXFILTRATED to {mail.get('to')}: {mail.get('body')}"


def _why(directory: Path, outcome: Outcome) -> str:
    """The denial as the decision log tells it."""
    decision = _denied(directory, outcome)
    if decision is None:
        return f"send_email to {ATTACKER} was not attempted"
    lines = _heading(decision)
    for edge in decision["lineage"].get("edges", []):
        for field, labels in edge["gained"].items():
            source = edge["from"].partition(":")[2]
            tool = next(
                (
                    node["tool"]
                    for node in decision["lineage"]["nodes"]
                    if node.get("ref") == source and "tool" in node
                ),
                "?",
            )
            lines.append(
                f"label   {field[:-1]} {', '.join(labels)} came with the result of {tool} "
                f"(policy line {edge['at']})"
            )
    return "\n".join(lines)


def _denied(directory: Path, outcome: Outcome) -> dict[str, Any] | None:
    """The denied mail of a session, with all that is known of the decision."""
    asked = ("--session", outcome.session_id, "--tool", "send_email")
    where = ("--json", "--data", str(directory))
    listed = json.loads(_interlock("decisions", "list", *asked, *where))["decisions"]
    denied = [item for item in listed if item["verdict"].endswith("_denied")]
    if not denied:
        return None
    found: dict[str, Any] = json.loads(_interlock("decisions", "show", denied[0]["id"], *where))
    return found


def _heading(decision: Mapping[str, Any]) -> list[str]:
    return [
        f"DENIED  {decision['tool']}  {decision['verdict']}",
        f"rule    {decision['rule']} ({decision['policy']}, line {decision['rule_line']}): "
        f"{decision['rule_text']}",
        f"log     interlock decisions show {decision['id']}",
    ]


def _interlock(*args: str) -> str:
    command = [sys.executable, "-m", "interlock", *args]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own command
    if done.returncode != 0:
        raise SystemExit(f"`interlock {' '.join(args)}` failed:\n{done.stderr}")
    return done.stdout


class _Teller:
    """Prints a transcript line by line."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, line: Line) -> None:
        label = Text(f"{line.who:>7} ", style=_STYLES[line.who])
        # The denial repeats the whole call for programs; people have just seen it.
        text = _CONTEXT.sub("Context: {...}", line.text.rstrip())
        width = max(40, self.console.width - 8)
        for index, part in enumerate(Text(text).wrap(self.console, width)):
            self.console.print((label if index == 0 else Text(" " * 8)) + part)


def _verdict(console: Console, good: bool, text: str) -> None:
    console.print(Panel(Text(text), border_style="green" if good else "red", expand=False))


def _connect(base_url: str, key: str, console: Console) -> None:
    lines = [
        f"gateway key          {key}",
        f"OpenAI SDK           base_url={base_url}/control/chat/demo/v1",
        f"Anthropic SDK        base_url={base_url}/control/chat/demo",
        f"Codex CLI            base_url={base_url}/control/code/demo/v1, wire_api=responses",
        f"Claude Code          ANTHROPIC_BASE_URL={base_url}/control/code/demo",
        "",
        f"curl {base_url}/control/chat/demo/v1/chat/completions \\",
        f"  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
        '  -d \'{"model":"demo","messages":[{"role":"user","content":"hello"}]}\'',
    ]
    console.print(Rule("Connect your own client"))
    for line in lines:
        console.print(Text(line), soft_wrap=True)


@contextmanager
def _server(
    host: str, port: int, directory: Path, key: str, console: Console
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server of its own, up and answering; stopped at the end."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    log_path = directory / "server.log"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")
    }
    environment["INTERLOCK_BOOTSTRAP_KEY"] = key
    command = [
        sys.executable,
        "-m",
        "interlock",
        "serve",
        "--host",
        host,
        "--port",
        str(port),
        "--data",
        str(directory),
    ]
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603 - our own command
    try:
        with console.status("starting the server"):
            _wait(process, f"http://{host}:{port}/control/health", log_path)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(process: "subprocess.Popen[bytes]", url: str, log_path: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own server
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    tail = log_path.read_text(errors="replace")[-4000:]
    raise SystemExit(f"the server did not start; its log says:\n{tail}")


def _free_port(host: str, wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit(f"no free port on {host}")
