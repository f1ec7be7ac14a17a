"""Hands the growing text of one reply to its message, every few milliseconds.

After a crash a model is asked again. While the new text repeats what the message says already,
nothing is written; where it differs, the reply has diverged and ends. No reader sees a word
twice.
"""

import asyncio
from collections.abc import Callable

from interlock.conversations.replying import ReplyWriter

__all__ = ["Emitter"]


class Emitter:
    """Collects pieces and writes them; `run` flushes until `finish`."""

    def __init__(
        self,
        writer: ReplyWriter,
        message_id: str,
        *,
        already: str,
        flush_s: float,
        stopped: Callable[[], None],
    ) -> None:
        """Writes for one round.

        `already` is what it has written before; `stopped` is called when the text diverges, or
        somebody else ended the message.
        """
        self._writer = writer
        self._message_id = message_id
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
            await self._wake.wait()
            self._wake.clear()
            if not self._done:
                await asyncio.sleep(self._flush_s)
            pieces, self._pieces = self._pieces, []
            if pieces and not self.ended:
                await self._write("".join(pieces))
            if self._done and not self._pieces:
                return

    async def _write(self, text: str) -> None:
        if self._next is None:
            self._next = await self._writer.write(self._message_id, [])
        after = await self._writer.write(self._message_id, [text])
        if after == self._next:
            self.ended = True
            self._stopped()
        self._next = after
