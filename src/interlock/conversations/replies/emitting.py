"""Hands the growing text of one reply to its message, every few milliseconds.

After a crash a model is asked again. While the new text repeats what the message says already,
nothing is written; where it differs, the reply has diverged and ends. No reader sees a word
twice.
"""

import asyncio
from collections.abc import Callable

from interlock.conversations.growing import ROW_EVERY_S
from interlock.conversations.replying import ReplyWriter

__all__ = ["Emitter"]


class Emitter:
    """Collects pieces and writes them; `run` flushes until `finish`."""

    def __init__(
        self,
        writer: ReplyWriter,
        message_id: str,
        *,
        by: str,
        already: str,
        flush_s: float,
        stopped: Callable[[], None],
    ) -> None:
        """Writes for one round, as the process `by`.

        `already` is what it has written before; `stopped` is called when the text diverges, or
        somebody else ended the message.
        """
        self._writer = writer
        self._message_id = message_id
        self._by = by
        self._repeat = already
        self._flush_s = flush_s
        self._stopped = stopped
        self._pieces: list[str] = []
        self._wake = asyncio.Event()
        self._done = False
        self._next: int | None = None
        self.diverged = False
        self.ended = False
        """The message takes no more text."""

    @property
    def owes(self) -> bool:
        """Whether the new text ended before it had repeated all of the old one."""
        return bool(self._repeat)

    def tell(self, text: str) -> None:
        """Takes a piece. Never waits."""
        if self.diverged or self.ended:
            return
        if self._repeat:
            size = min(len(self._repeat), len(text))
            if self._repeat[:size] != text[:size]:
                self.diverged = True
                self._stopped()
                return
            self._repeat, text = self._repeat[size:], text[size:]
        if text:
            self._pieces.append(text)
            self._wake.set()

    def finish(self) -> None:
        """No more pieces come."""
        self._done = True
        self._wake.set()

    async def run(self) -> None:
        """Writes what was told, until `finish` and everything is written."""
        while True:
            await self._told()
            self._wake.clear()
            if not self._done:
                await asyncio.sleep(self._flush_s)
            pieces, self._pieces = self._pieces, []
            if pieces and not self.ended:
                await self._write("".join(pieces))
            if self._done and not self._pieces:
                await self._writer.settle(self._message_id, by=self._by)
                return

    async def _told(self) -> None:
        """Waits for pieces; when the text pauses, whoever reads the message sees all of it."""
        try:
            async with asyncio.timeout(ROW_EVERY_S):
                await self._wake.wait()
        except TimeoutError:
            await self._writer.settle(self._message_id, by=self._by)
            await self._wake.wait()

    async def _write(self, text: str) -> None:
        if self._next is None:
            self._next = await self._writer.write(self._message_id, [], by=self._by)
        after = await self._writer.write(self._message_id, [text], by=self._by)
        if after == self._next:
            self.ended = True
            self._stopped()
        self._next = after
