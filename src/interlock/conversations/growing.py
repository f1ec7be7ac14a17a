"""The text of replies that grow: every piece is a chunk, the message's row follows now and then.

A chunk costs what the piece costs. The row holds the whole text, so writing it at every piece
would cost the square of the length: it is written when the text begins, at most every half
second while it grows, and when it ends. Whoever needs the exact text reads the chunks.

Source: conversations.md, 19.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from interlock.conversations.model import Chunk, Message
from interlock.conversations.spine import Work

__all__ = ["ROW_EVERY_S", "Growth", "locked_growth"]

ROW_EVERY_S: Final = 0.5
"""How far the row of a growing message may be behind its chunks."""


@dataclass(slots=True, kw_only=True)
class Growth:
    """A reply whose text grows, as one process has written it."""

    message: Message
    """As it was when writing began: its place, never its text."""
    pieces: list[str]
    next: int
    """The next free chunk index."""
    row_at: float | None = None
    """When the row was written last, in epoch seconds; None: not by this process."""
    behind: bool = True
    """Whether the row lacks something."""

    @property
    def text(self) -> str:
        """All of it."""
        self.pieces = ["".join(self.pieces)]
        return self.pieces[0]

    async def add(self, work: Work, given: Sequence[str], *, now: float) -> list[Chunk]:
        """Stores pieces, and the row when it is due."""
        chunks = [
            Chunk(message_id=self.message.id, idx=self.next + at, content=piece, created_at=now)
            for at, piece in enumerate(given)
        ]
        await work.messages.add_chunks(chunks)
        self.pieces += given
        self.next += len(given)
        self.behind = True
        if self.row_at is None or now - self.row_at >= ROW_EVERY_S:
            await self.write_row(work, now=now)
        return chunks

    async def write_row(self, work: Work, *, now: float) -> None:
        """Brings the row up to the chunks; its words are indexed when the reply ends."""
        await work.messages.grow(self.message.id, self.text)
        self.row_at, self.behind = now, False


async def locked_growth(
    work: Work, message_id: str, known: Growth | None, *, by: str | None
) -> tuple[Growth | None, int]:
    """The growth with other writers of its conversation waiting, and its next free index.

    None instead of a growth: the message takes no more text, or none of `by`.
    """
    message = known.message if known is not None else await work.messages.find(message_id)
    if message is None:
        return None, 0
    await work.conversations.lock(message.conversation_id)
    state = await work.messages.growing(message_id)
    if state is None:
        return None, 0
    if not state.unfinished or by not in (None, state.made_by):
        return None, state.next
    if known is None or known.next != state.next:
        text = await work.messages.text(message_id)
        known = Growth(message=message, pieces=[text] if text else [], next=state.next)
    return known, state.next
