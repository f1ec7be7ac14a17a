"""Transport faults for tests: an answer that is cut, stalls, or turns into nonsense."""

from collections.abc import AsyncIterator, Awaitable, Callable

from interlock.providers.demo.model import FaultLine

__all__ = ["GARBAGE_EVENT", "BrokenConnectionError", "faulty"]

_NONSENSE = b'{"garbage": tru'
GARBAGE_EVENT = b"data: " + _NONSENSE + b"\n\n"
"""What GARBAGE puts into a stream: an event (named as the next one) whose data is no JSON."""
_STALL_S = 24 * 3_600.0


class BrokenConnectionError(ConnectionError):
    """The connection ends here, in the middle of the answer."""


async def faulty(
    chunks: AsyncIterator[bytes],
    fault: FaultLine,
    *,
    streamed: bool,
    sleep: Callable[[float], Awaitable[None]],
) -> AsyncIterator[bytes]:
    """The chunks with the fault played after its number of bytes.

    `cut` raises BrokenConnectionError there, `stall` sleeps for a day and then does, `garbage`
    goes on with a malformed event at the next event boundary (in a whole answer: ends
    in nonsense). An answer shorter than that is left as it is, but still cut or stalled at
    its end.
    """
    left = fault.after_bytes
    async for chunk in chunks:
        if left < 0 or len(chunk) <= left:
            left -= len(chunk) if left >= 0 else 0
            yield chunk
            continue
        if fault.kind == "garbage":
            yield _named(chunk) + GARBAGE_EVENT + chunk if streamed else chunk[:left] + _NONSENSE
            left = -1
            if streamed:
                continue
            return
        if left:
            yield chunk[:left]
        break
    if fault.kind == "stall":
        await sleep(_STALL_S)
    if fault.kind != "garbage":
        raise BrokenConnectionError("connection cut by the demo model, as asked")


def _named(chunk: bytes) -> bytes:
    """The `event:` line of a chunk, where the format has such."""
    line, end, _ = chunk.partition(b"\n")
    return line + end if line.startswith(b"event:") else b""
