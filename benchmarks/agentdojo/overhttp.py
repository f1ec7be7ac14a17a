"""Decides calls by the gateway itself: `interlock serve`, with the model behind it over HTTP.

The worst-case model is an OpenAI-compatible server. The client speaks Chat Completions to
the gateway, runs the tool calls that come through and sends the results back, as an agent's
loop does. So everything that stands between a client and a model is in the way of an
attack: ids, sessions, labels, denials told to the model.

A model that insists on a denied call is stopped by the gateway after some rounds; the user
then says `Please continue.`, and the model goes on with its next call.
"""

import functools
import http.client
import json
import secrets
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from benchmarks.agentdojo.scenario import Attempt, Call, Outcome, Pair, Run
from benchmarks.rig.gateways.base import wait_until_open
from benchmarks.rig.layout import own_script, run_dir
from benchmarks.rig.process import Server

__all__ = ["Gateway", "offered_tools"]

_GO_ON = "Please continue."
_MOST_REQUESTS = 200
"""In one run; more would mean that something turns in circles."""


class _Model(BaseHTTPRequestHandler):
    """The worst-case model as a server; `user` of a request names the run."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    runs: ClassVar[dict[str, "_Conversation"]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(self.runs[body["user"]].reply(body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class _Conversation:
    """One run as the model's server sees it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.made: list[Call] = []
        """Calls since the client last heard of one."""
        self.denials: dict[str, str] = {}
        self.done = False
        self._number = 0

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        """The model reads everything and makes its next call, or answers."""
        for message in body["messages"]:
            if message["role"] == "tool":
                text = _text(message["content"])
                self.run.saw(text)
                self.denials[message["tool_call_id"]] = text
        call = self.run.next()
        message: dict[str, Any] = {"role": "assistant", "content": self.run.answer}
        if call is None:
            self.done = True
        else:
            self._number += 1
            self.made.append(call)
            function = {"name": call.tool, "arguments": json.dumps(call.args)}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": f"call_{self._number}", "type": "function", "function": function}
                ],
            }
        return {
            "id": f"chatcmpl-{secrets.token_hex(8)}",
            "object": "chat.completion",
            "created": 0,
            "model": "worst-case",
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": "stop" if call is None else "tool_calls",
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }

    def take(self) -> list[Call]:
        """Calls made since the last time."""
        made, self.made = self.made, []
        return made


class Gateway:
    """A running `interlock serve`, used as a context."""

    def __init__(self) -> None:
        self.key = "sq-" + secrets.token_hex(20)
        self._models = ThreadingHTTPServer(("127.0.0.1", 0), _Model)
        self._models.daemon_threads = True
        self._server: Server | None = None
        self.port = 0

    def __enter__(self) -> "Gateway":
        threading.Thread(target=self._models.serve_forever, daemon=True).start()
        data = run_dir() / f"agentdojo-{secrets.token_hex(4)}"
        data.mkdir(parents=True)
        self._data = data
        model_port = self._models.server_address[1]
        (data / "interlock.toml").write_text(
            "[providers.worst]\n"
            'kind = "compatible"\n'
            f'base_url = "http://127.0.0.1:{model_port}/v1"\n'
            'api_key = "sk-upstream"\n'
            'models = ["worst-case"]\n'
        )
        self.port = _free_port()
        base = f"http://127.0.0.1:{self.port}"
        command = [str(own_script("interlock")), "serve", "--host", "127.0.0.1"]
        self._server = Server(
            [*command, "--port", str(self.port), "--data", str(data)],
            log=data / "interlock.log",
            core=None,
            env={"INTERLOCK_BOOTSTRAP_KEY": self.key},
            cwd=data,
        )
        wait_until_open(self._server, base, name="interlock", timeout_s=60.0)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._server is not None:
            self._server.stop()
        self._models.shutdown()
        self._models.server_close()
        shutil.rmtree(self._data, ignore_errors=True)

    def cpu_s(self) -> float:
        """Seconds of processor time that the server has taken so far."""
        return 0.0 if self._server is None else self._server.cpu_s()

    def play(self, pair: Pair, code: str | None, *, mode: str = "standard") -> Outcome:
        """Plays a run through the gateway, with a policy in `X-Policy` (None: without one)."""
        run = Run(pair)
        name = secrets.token_hex(8)
        conversation = _Model.runs[name] = _Conversation(run)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        if code is not None:
            policy = {"mode": mode, "codes": {"code": _on_one_line(code), "language": "sqrt"}}
            headers["X-Policy"] = json.dumps(policy)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            return _Client(connection, headers, name, conversation).talk()
        finally:
            connection.close()
            del _Model.runs[name]


class _Client:
    """An agent's loop: asks the gateway, runs what comes back."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        headers: dict[str, str],
        name: str,
        conversation: _Conversation,
    ) -> None:
        self._connection = connection
        self._headers = headers
        self._conversation = conversation
        run = conversation.run
        self._body: dict[str, Any] = {
            "model": "worst-case",
            "user": name,
            "messages": [{"role": "user", "content": run.prompt}],
            "tools": offered_tools(run.pair.suite),
        }

    def talk(self) -> Outcome:
        run, messages = self._conversation.run, self._body["messages"]
        attempts: list[Attempt] = []
        for _ in range(_MOST_REQUESTS):
            answer = self._ask()
            made = self._conversation.take()
            if not answer.get("tool_calls"):
                attempts += [Attempt(call, allowed=False, why="denied") for call in made]
                if self._conversation.done:
                    return run.judge(attempts)
                messages.append({"role": "assistant", "content": answer["content"] or "..."})
                messages.append({"role": "user", "content": _GO_ON})
                continue
            attempts += [Attempt(call, allowed=False, why="denied") for call in made[:-1]]
            (sent,) = answer["tool_calls"]
            call = made[-1]
            function = sent["function"]
            if function["name"] != call.tool or json.loads(function["arguments"]) != json.loads(
                json.dumps(call.args)
            ):
                raise AssertionError(f"the gateway changed a call of {call.tool}")
            text, error = run.execute(call)
            attempts.append(Attempt(call, allowed=True, error=error))
            messages.append(answer)
            messages.append({"role": "tool", "tool_call_id": sent["id"], "content": text})
        raise AssertionError(f"{run.pair.name} does not end")

    def _ask(self) -> dict[str, Any]:
        path = "/control/chat/worst/v1/chat/completions"
        self._connection.request("POST", path, json.dumps(self._body), self._headers)
        response = self._connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise AssertionError(f"{response.status}: {data[:300].decode('utf-8', 'replace')}")
        self._headers["X-Session-ID"] = response.headers["X-Session-ID"]
        message: dict[str, Any] = json.loads(data)["choices"][0]["message"]
        return message


@functools.cache
def offered_tools(suite: Any) -> list[dict[str, Any]]:
    """The suite's tools as a request offers them."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters.model_json_schema(),
            },
        }
        for tool in suite.tools
    ]


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part.get("text", "") for part in parts)


def _on_one_line(code: str) -> str:
    """The policy without comments, which are the larger part of its text."""
    kept = (line for line in code.splitlines() if not line.lstrip().startswith("//"))
    return "\n".join(kept)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
