"""The fast local upstream: nginx with the echo module, one worker, one port per behaviour.

| port | behaviour |
|---|---|
| 9101 | one JSON chat completion |
| 9102 | SSE, 32 events written back to back, each flushed on its own |
| 9103 | SSE, 20 events, 10 ms apart |
| 9104 | one JSON chat completion that calls a tool |
| 9105 | SSE, 32 events that call a tool, arguments in fragments |
| 9106 | SSE, 10 events, then silence: a stream that stays open |

Every port answers any POST path alike, so a gateway may add what it likes to
the base URL.
"""

import json
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rig.layout import run_dir
from benchmarks.rig.process import Server

__all__ = ["BURST", "JSON", "PACED", "STALLED", "TOOL", "TOOL_BURST", "Endpoint", "start_upstream"]

BURST_EVENTS = 32
PACED_EVENTS = 20
PACED_GAP_S = 0.010
STALL_S = 45
"""How long 9106 keeps a stream open if nobody closes it: bounded, but longer than the probe."""

TOOL_NAME = "lookup_order"
TOOL_ARGUMENTS = '{"order_id":"A-1009","customer":"ada@example.com","include":["items","history"]}'

ECHO_MODULE_PLACES = (
    "/usr/lib/nginx/modules/ngx_http_echo_module.so",
    "/usr/share/nginx/modules/ngx_http_echo_module.so",
    "/usr/lib64/nginx/modules/ngx_http_echo_module.so",
    "/etc/nginx/modules/ngx_http_echo_module.so",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One behaviour of the upstream."""

    name: str
    port: int
    model: str
    """What callers and peers call it; also the provider name inside Interlock."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


JSON = Endpoint(name="json", port=9101, model="bench")
BURST = Endpoint(name="burst", port=9102, model="bench-stream")
PACED = Endpoint(name="paced", port=9103, model="bench-paced")
TOOL = Endpoint(name="tool", port=9104, model="bench-tool")
TOOL_BURST = Endpoint(name="tool-burst", port=9105, model="bench-tool-stream")
STALLED = Endpoint(name="stalled", port=9106, model="bench-stalled")
ENDPOINTS = (JSON, BURST, PACED, TOOL, TOOL_BURST, STALLED)


class UpstreamUnavailableError(RuntimeError):
    """nginx or its echo module is missing, or a port is taken."""


def start_upstream(core: int | None) -> Server:
    """Start nginx and wait until every port answers.

    Raises:
        UpstreamUnavailableError: nothing can be measured without it.
    """
    nginx, module = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin"), echo_module()
    if nginx is None or module is None:
        raise UpstreamUnavailableError("nginx with its echo module is not installed")
    conf = run_dir() / "upstream.conf"
    conf.write_text(nginx_configuration(run_dir(), module))
    server = Server(
        [nginx, "-e", "stderr", "-c", str(conf)], log=run_dir() / "upstream.log", core=core
    )
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline and server.alive:
        if all(_answers(endpoint) for endpoint in ENDPOINTS):
            return server
        time.sleep(0.1)
    words = server.last_words()
    server.stop()
    raise UpstreamUnavailableError(f"the upstream did not start: {words}")


def echo_module() -> Path | None:
    """The echo module as a loadable file, where the known distributions put it."""
    return next((Path(p) for p in ECHO_MODULE_PLACES if Path(p).exists()), None)


def nginx_configuration(scratch: Path, module: Path) -> str:
    """The whole nginx configuration, bodies included."""
    servers = "\n".join(_server(endpoint) for endpoint in ENDPOINTS)
    temporary = "\n".join(
        f"  {kind}_temp_path {scratch}/nginx-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""load_module {module};
worker_processes 1;
daemon off;
pid {scratch}/upstream.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_timeout 900s;
  keepalive_requests 1000000000;
  client_body_buffer_size 256k;
{temporary}
{servers}
}}
"""


def _server(endpoint: Endpoint) -> str:
    models = json.dumps({"object": "list", "data": [_model_card(endpoint)]})
    return f"""  server {{
    listen 127.0.0.1:{endpoint.port} backlog=4096;
    location = /health {{ return 200 'ok'; }}
    location = /v1/models {{ default_type application/json; return 200 {_quoted(models)}; }}
    location / {{
{_body(endpoint)}
    }}
  }}"""


def _model_card(endpoint: Endpoint) -> dict[str, object]:
    return {"id": endpoint.model, "object": "model", "created": 1, "owned_by": "bench"}


def _body(endpoint: Endpoint) -> str:
    if endpoint in (JSON, TOOL):
        text = _compact(_completion(endpoint.model, calls_tool=endpoint is TOOL))
        return f"      default_type application/json;\n      return 200 {_quoted(text)};"
    if endpoint is BURST:
        return _sse(_text_events(endpoint.model, BURST_EVENTS))
    if endpoint is PACED:
        return _sse(_text_events(endpoint.model, PACED_EVENTS), gap_s=PACED_GAP_S)
    if endpoint is TOOL_BURST:
        return _sse(_tool_events(endpoint.model, BURST_EVENTS))
    return _sse(_text_events(endpoint.model, 10), stall_s=STALL_S)


def _sse(events: list[str], *, gap_s: float = 0.0, stall_s: float = 0.0) -> str:
    """echo ends each line itself; the newline inside the text closes the event."""
    lines = ["default_type text/event-stream;", "echo_read_request_body;"]
    for position, event in enumerate([*events, "[DONE]"]):
        if position and gap_s:
            lines.append(f"echo_sleep {gap_s:.3f};")
        if stall_s and position == len(events) - 1:
            lines.append(f"echo_sleep {stall_s};")
        text = f"data: {event}\n"
        lines += [f"echo {_quoted(text)};", "echo_flush;"]
    return "\n".join("      " + line for line in lines)


def _quoted(text: str) -> str:
    """An nginx string. `$` would be a variable there, so the texts have none."""
    if "$" in text:
        raise ValueError("nginx would expand the `$` in this text")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _completion(model: str, *, calls_tool: bool) -> dict[str, object]:
    sentence = "Here is the note for a busy reader: the fox ran, rested and went home. "
    message: dict[str, object] = {"role": "assistant", "content": sentence * 3, "refusal": None}
    if calls_tool:
        call = {
            "id": "call_bench0001",
            "type": "function",
            "function": {"name": TOOL_NAME, "arguments": TOOL_ARGUMENTS},
        }
        message = {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
    return {
        "id": "chatcmpl-bench0001",
        "object": "chat.completion",
        "created": 1750000000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": "tool_calls" if calls_tool else "stop",
            }
        ],
        "usage": {"prompt_tokens": 42, "completion_tokens": 50, "total_tokens": 92},
        "system_fingerprint": "fp_bench",
    }


def _chunk(
    model: str,
    delta: dict[str, object],
    *,
    finish: str | None = None,
    usage: dict[str, int] | None = None,
) -> str:
    chunk: dict[str, object] = {
        "id": "chatcmpl-bench0001",
        "object": "chat.completion.chunk",
        "created": 1750000000,
        "model": model,
        "system_fingerprint": "fp_bench",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    if usage:
        chunk["usage"] = usage
    return _compact(chunk)


def _usage(completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": 42,
        "completion_tokens": completion,
        "total_tokens": 42 + completion,
    }


def _text_events(model: str, count: int) -> list[str]:
    """`count` chunks: the role, the text, the end with usage."""
    opening = _chunk(model, {"role": "assistant", "content": ""})
    words = [_chunk(model, {"content": f" word{n:03d}"}) for n in range(count - 2)]
    return [opening, *words, _chunk(model, {}, finish="stop", usage=_usage(count - 2))]


def _tool_events(model: str, count: int) -> list[str]:
    """`count` chunks: the call's name first, then its arguments in equal fragments."""
    start = {
        "index": 0,
        "id": "call_bench0001",
        "type": "function",
        "function": {"name": TOOL_NAME, "arguments": ""},
    }
    opening = _chunk(model, {"role": "assistant", "content": None, "tool_calls": [start]})
    pieces = count - 2
    step = -(-len(TOOL_ARGUMENTS) // pieces)
    cuts = [TOOL_ARGUMENTS[n * step : (n + 1) * step] for n in range(pieces)]
    fragments = [
        _chunk(model, {"tool_calls": [{"index": 0, "function": {"arguments": cut}}]})
        for cut in cuts
    ]
    return [opening, *fragments, _chunk(model, {}, finish="tool_calls", usage=_usage(pieces))]


def _answers(endpoint: Endpoint) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/health", timeout=1) as got:
            return bool(got.status == 200)
    except (OSError, urllib.error.URLError):
        return False
