"""Probes over open streams, run as a process of their own on the load core.

`paced` measures how long a stream's first event takes and whether its events
keep their rhythm; `hold` opens many streams, says so, and keeps them open
until told to let go. Both speak plain HTTP/1.1 over asyncio streams and report
as one line of JSON.

A caller uses `measure_paced` and `HeldStreams`; `main` is the other end.
"""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks.rig.layout import ROOT
from benchmarks.rig.machine import raise_file_limit
from benchmarks.rig.workloads import Target, Workload

__all__ = ["HeldStreams", "PacedSample", "StreamProbeError", "measure_paced"]

END_OF_CHUNKS = b"\r\n0\r\n\r\n"
FIRST_EVENT = (b"data:", b"event:")


class StreamProbeError(RuntimeError):
    """The probe did not report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedSample:
    """Times of whole streams, in milliseconds."""

    streams: int
    ttft_p50_ms: float
    ttft_p99_ms: float
    total_p50_ms: float
    total_p99_ms: float
    broken: int


def measure_paced(
    workload: Workload, target: Target, *, concurrency: int, streams: int, limit_s: float
) -> PacedSample:
    """Run `streams` streams on each of `concurrency` connections, ending at `limit_s`.

    The first stream of each connection is not counted.

    Raises:
        StreamProbeError: nothing was measured.
    """
    order = _order("paced", workload, target) | {
        "concurrency": concurrency,
        "streams": streams,
        "limit_s": limit_s,
    }
    with _start() as probe:
        out, err = probe.communicate(json.dumps(order) + "\n", timeout=limit_s + 60)
    report = _last_json(out)
    if not report or not report["streams"]:
        raise StreamProbeError(err.strip()[-200:] or "no stream was completed")
    return PacedSample(**report)


class HeldStreams:
    """Streams kept open while the block runs; `opened` says how many got their first event."""

    def __init__(self, workload: Workload, target: Target, *, count: int, limit_s: float) -> None:
        self._order = _order("hold", workload, target) | {"count": count, "limit_s": limit_s}
        self._limit_s = limit_s
        self.opened = 0
        self.failed = 0

    def __enter__(self) -> Self:
        self._probe = _start()
        assert self._probe.stdin is not None
        assert self._probe.stdout is not None
        self._probe.stdin.write(json.dumps(self._order) + "\n")
        self._probe.stdin.flush()
        report = _last_json(self._probe.stdout.readline())
        if report:
            self.opened, self.failed = int(report["opened"]), int(report["failed"])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._probe.communicate("\n", timeout=20)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._probe.kill()
            self._probe.communicate()


def _order(kind: str, workload: Workload, target: Target) -> dict[str, Any]:
    return {
        "kind": kind,
        "base": target.base,
        "path": target.path,
        "headers": dict(target.headers),
        "body": workload.body(target.model).decode(),
    }


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.rig.streams"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _last_json(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return dict(json.loads(line))
    return {}


# The probe process.


@dataclass(slots=True)
class _Tally:
    ttft: list[float]
    total: list[float]
    broken: int = 0


def _request(order: dict[str, Any]) -> bytes:
    body = str(order["body"]).encode()
    lines = [f"POST {order['path']} HTTP/1.1", f"Host: {urlsplit(order['base']).netloc}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in order["headers"].items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _open(order: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    at = urlsplit(order["base"])
    return await asyncio.open_connection(at.hostname, at.port, limit=2**20)


async def _read_stream(reader: asyncio.StreamReader, since: float) -> tuple[float, float]:
    """Seconds until the first event and until the end of the chunked body.

    Raises:
        ConnectionError: the stream ended early.
    """
    seen, first = b"", 0.0
    while not seen.endswith(END_OF_CHUNKS):
        piece = await reader.read(65536)
        if not piece:
            raise ConnectionError("closed before the end")
        seen += piece
        if not first and any(mark in seen for mark in FIRST_EVENT):
            first = time.perf_counter() - since
    if not first:
        raise ConnectionError("ended without an event")
    return first, time.perf_counter() - since


async def _paced_worker(order: dict[str, Any], tally: _Tally, deadline: float) -> None:
    request = _request(order)
    reader, writer = await _open(order)
    for number in range(order["streams"] + 1):
        if time.monotonic() > deadline:
            break
        since = time.perf_counter()
        writer.write(request)
        try:
            first, total = await asyncio.wait_for(_read_stream(reader, since), 30)
        except (OSError, TimeoutError):
            tally.broken += 1
            writer.close()
            reader, writer = await _open(order)
            continue
        if number:
            tally.ttft.append(first)
            tally.total.append(total)
    writer.close()


async def _paced(order: dict[str, Any]) -> dict[str, Any]:
    tally = _Tally([], [])
    deadline = time.monotonic() + order["limit_s"]
    async with asyncio.TaskGroup() as group:
        for _ in range(order["concurrency"]):
            group.create_task(_paced_worker(order, tally, deadline))
            await asyncio.sleep(0.2 / order["concurrency"])
    return {
        "streams": len(tally.ttft),
        "broken": tally.broken,
        **{
            f"{name}_p{percent}_ms": _percentile(values, percent) * 1e3
            for name, values in (("ttft", tally.ttft), ("total", tally.total))
            for percent in (50, 99)
        },
    }


def _percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


async def _hold_one(order: dict[str, Any], writers: list[asyncio.StreamWriter]) -> bool:
    reader, writer = await _open(order)
    writers.append(writer)
    writer.write(_request(order))
    seen = b""
    while not any(mark in seen for mark in FIRST_EVENT):
        piece = await reader.read(65536)
        if not piece:
            return False
        seen += piece
    return True


async def _hold(order: dict[str, Any]) -> None:
    """Open the streams a few at a time, report, wait for a line, let go."""
    writers: list[asyncio.StreamWriter] = []
    deadline = time.monotonic() + order["limit_s"]
    opened = failed = 0
    while opened + failed < order["count"] and time.monotonic() < deadline:
        batch = min(10, order["count"] - opened - failed)
        wait_s = max(deadline - time.monotonic(), 0.1)
        tries = [asyncio.wait_for(_hold_one(order, writers), wait_s) for _ in range(batch)]
        for got in await asyncio.gather(*tries, return_exceptions=True):
            if got is True:
                opened += 1
            else:
                failed += 1
    print(json.dumps({"opened": opened, "failed": failed}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for writer in writers:
        writer.close()


async def _serve(order: dict[str, Any]) -> None:
    if order["kind"] == "hold":
        await _hold(order)
    else:
        print(json.dumps(await _paced(order)), flush=True)


def main() -> None:
    """Read one order from standard input and carry it out."""
    raise_file_limit()
    asyncio.run(_serve(json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    main()
