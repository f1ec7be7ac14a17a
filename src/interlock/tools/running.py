"""Runs tools: arguments checked, output checked, sizes and time bounded, results cached.

A tool runs in a thread of a small pool. What takes too long is given up by its caller; the
sizes its schema allows bound how long the thread goes on.

Source: conversations.md section 13.
"""

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.tools.model import Tool, ToolFailure, UnknownToolError
from interlock.tools.registry import TOOLS
from interlock.tools.schemas import validator

__all__ = ["Ran", "ToolArgumentsError", "ToolRunner", "ToolTimeoutError", "canonical"]

_BYTES: Final = 256 * 1024
_CACHE_BYTES: Final = 16 << 20
_THREADS: Final = 4


class ToolArgumentsError(InterlockError):
    """Arguments do not match the schema of the tool."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNPROCESSABLE
    code: ClassVar[str] = "tool_arguments_invalid"

    def __init__(self, problems: list[dict[str, str]]) -> None:
        first = problems[0]
        super().__init__(
            f"{first['field']}: {first['message']}"[:400],
            param=first["field"],
            details={"errors": problems},
        )


class ToolTimeoutError(InterlockError):
    """A tool took longer than it may."""

    kind: ClassVar[ErrorKind] = ErrorKind.UPSTREAM_TIMEOUT
    code: ClassVar[str] = "timeout"

    def __init__(self, name: str, timeout_ms: int) -> None:
        super().__init__(f"tool `{name}` took longer than {timeout_ms} ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a tool gave."""

    tool: Tool
    output: Mapping[str, Any] | None
    """None when it failed."""
    failure: tuple[str, str] | None
    """Code and message."""
    input_hash: str
    """SHA-256 of the canonical arguments."""
    output_hash: str | None
    duration_ms: float
    cached: bool


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no spaces, UTF-8: equal values, equal bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


class ToolRunner:
    """Runs the tools of the registry."""

    def __init__(self, tools: Mapping[str, Tool] = TOOLS) -> None:
        self.tools = tools
        self._validators = {name: validator(dict(one.input_schema)) for name, one in tools.items()}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="tool")
        self._slots = asyncio.Semaphore(_THREADS)
        self._cache: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()
        self._cached = 0

    def close(self) -> None:
        """Takes no further work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def find(self, name: str) -> Tool:
        """A tool by name. Raises UnknownToolError."""
        tool = self.tools.get(name)
        if tool is None:
            raise UnknownToolError(name)
        return tool

    def check(self, name: str, arguments: Mapping[str, Any]) -> bytes:
        """The canonical arguments. Raises UnknownToolError, ToolArgumentsError."""
        self.find(name)
        given = canonical(arguments)
        if len(given) > _BYTES:
            raise ToolArgumentsError([{"field": "arguments", "message": "larger than 256 KiB"}])
        problems = [
            {
                "field": ".".join(["arguments", *map(str, error.absolute_path)]),
                "message": error.message[:300],
            }
            for error in self._validators[name].iter_errors(dict(arguments))
        ]
        if problems:
            raise ToolArgumentsError(sorted(problems[:50], key=lambda one: one["field"]))
        return given

    async def run(self, name: str, arguments: Mapping[str, Any]) -> Ran:
        """Runs a tool; a failure inside it is an outcome, not an error.

        Raises:
            UnknownToolError, ToolArgumentsError: nothing was run.
            ToolTimeoutError: it took longer than it may.
        """
        tool = self.find(name)
        began = time.perf_counter()
        input_hash = hashlib.sha256(self.check(name, arguments)).hexdigest()
        slot = (name, tool.version, input_hash)
        data = self._cache.get(slot)
        cached = data is not None
        failure: tuple[str, str] | None = None
        if data is None:
            try:
                data = await self._call(tool, arguments)
            except ToolFailure as error:
                failure = (error.code, error.message)
            else:
                self._keep(slot, data)
        else:
            self._cache.move_to_end(slot)
        return Ran(
            tool=tool,
            output=None if data is None else json.loads(data),
            failure=failure,
            input_hash=input_hash,
            output_hash=None if data is None else hashlib.sha256(data).hexdigest(),
            duration_ms=(time.perf_counter() - began) * 1000,
            cached=cached,
        )

    async def _call(self, tool: Tool, arguments: Mapping[str, Any]) -> bytes:
        def work() -> bytes:
            try:
                output = canonical(tool.run(arguments))
            except RecursionError:
                raise ToolFailure("too_complex", "the arguments are nested too deeply") from None
            if len(output) > _BYTES:
                raise ToolFailure("too_large", "the output is larger than 256 KiB")
            return output

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(tool.timeout_ms / 1000):
                async with self._slots:
                    return await loop.run_in_executor(self._pool, work)
        except TimeoutError:
            raise ToolTimeoutError(tool.name, tool.timeout_ms) from None

    def _keep(self, slot: tuple[str, str, str], data: bytes) -> None:
        self._cache[slot] = data
        self._cached += len(data)
        while self._cached > _CACHE_BYTES:
            _, old = self._cache.popitem(last=False)
            self._cached -= len(old)
