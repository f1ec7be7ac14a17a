"""Closed-loop load with wrk, and the single request that proves an answer right first."""

import http.client
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.rig.layout import run_dir
from benchmarks.rig.workloads import Target, Workload

__all__ = ["LoadError", "Sample", "WrongAnswerError", "prove", "run_wrk"]

SCRIPT = Path(__file__).with_name("post.lua")
KEY_HEADERS = {"Content-Type": "application/json"}


class LoadError(RuntimeError):
    """wrk is missing or printed nothing that can be read."""


class WrongAnswerError(RuntimeError):
    """A gateway answered, but not with what the workload asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run of wrk saw; latencies in microseconds."""

    requests: int
    seconds: float
    p50_us: int
    p90_us: int
    p99_us: int
    max_us: int
    bad_status: int
    socket_errors: int
    timeouts: int
    bytes: int

    @property
    def failed(self) -> int:
        return self.bad_status + self.socket_errors + self.timeouts

    @property
    def rps(self) -> float:
        """Good answers per second."""
        return max(self.requests - self.bad_status, 0) / self.seconds if self.seconds else 0.0


def run_wrk(workload: Workload, target: Target, *, concurrency: int, seconds: float) -> Sample:
    """Keep `concurrency` requests in flight for `seconds` from one thread.

    Runs on the caller's core: the bench binds itself to the load core.

    Raises:
        LoadError: wrk is not there, died, or did not report.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadError("wrk is not installed")
    request = run_dir() / "request.lua"
    request.write_text(lua_request(workload, target), encoding="utf-8")
    whole = max(1, round(seconds))
    command = [wrk, "-t1", f"-c{concurrency}", f"-d{whole}s", "--timeout", "10s"]
    done = subprocess.run(
        [*command, "-s", str(SCRIPT), target.base],
        env={**os.environ, "BENCH_REQUEST": str(request)},
        capture_output=True,
        text=True,
        timeout=whole + 60,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.startswith("@@"):
            return Sample(**json.loads(line[2:]))
    raise LoadError((done.stderr or done.stdout).strip()[-300:] or "wrk printed nothing")


def lua_request(workload: Workload, target: Target) -> str:
    """The request as a Lua table that `post.lua` loads."""
    headers = {**KEY_HEADERS, **target.headers}
    lines = [f"  [{_lua(name)}] = {_lua(value)}," for name, value in headers.items()]
    body = _lua(workload.body(target.model).decode())
    return "\n".join(
        [
            "return {",
            f" path = {_lua(target.path)},",
            " headers = {",
            *lines,
            " },",
            f" body = {body},",
            "}",
            "",
        ]
    )


def prove(workload: Workload, target: Target, *, timeout_s: float = 20.0) -> None:
    """Send the request once and read the whole answer (a stalled one: its beginning).

    Raises:
        WrongAnswerError: not 200, or without the workload's proof.
    """
    status, text = ask(workload, target, timeout_s=timeout_s)
    if status != 200:
        raise WrongAnswerError(f"answered {status}: {' '.join(text.split())[:160]}")
    if workload.proof not in text:
        raise WrongAnswerError(f"`{workload.proof}` is not in the answer: {text[:160]!r}")


def ask(workload: Workload, target: Target, *, timeout_s: float = 20.0) -> tuple[int, str]:
    """One request over a fresh connection; status and text of the answer.

    Raises:
        WrongAnswerError: no answer at all.
    """
    at = urlsplit(target.base)
    connection = http.client.HTTPConnection(at.hostname or "127.0.0.1", at.port, timeout=timeout_s)
    try:
        headers = {**KEY_HEADERS, **target.headers}
        connection.request("POST", target.path, workload.body(target.model), headers)
        answer = connection.getresponse()
        seen = b""
        while piece := answer.read1(65536):
            seen += piece
            if workload.name == "memory" and workload.proof.encode() in seen:
                break
        return answer.status, seen.decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswerError(f"no answer: {error!r}") from error
    finally:
        connection.close()


def _lua(text: str) -> str:
    """A Lua string literal for any text of printable and control characters."""
    out = []
    for byte in text.encode():
        if byte in b'"\\':
            out.append("\\" + chr(byte))
        elif 32 <= byte < 127:
            out.append(chr(byte))
        else:
            out.append(f"\\{byte:03d}")
    return '"' + "".join(out) + '"'
