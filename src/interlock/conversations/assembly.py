"""Puts together what an agent reads before it answers.

System prompt, the chain of messages from the root to the one that is answered, what was found
by retrieval, and, when the conversation says so, the newest messages of other threads as marked
background. Other branches of the same thread are not seen. Pure; sizes are tokens of four
characters. Source: conversations.md, 12.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Assembled", "Turn", "assemble", "estimate_tokens"]

_CUT = "[{count} earlier messages of this thread were left out]"
_BACKGROUND = "[background: recent messages of other threads of this conversation]"
_FOUND = "[background: passages found for this question]"
_PER_TURN = 4
"""Tokens a provider adds around a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of the model's input, or one of the chain it is made of."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    author_id: str | None = None
    """A person; None for agents and notices."""
    speaker: str = ""
    """Display name of the author."""
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """The input of a model and what had to be left out of it."""

    turns: tuple[Turn, ...]
    left_out: int = 0
    """Messages of the chain between the root and the newest ones that did not fit."""
    background_left_out: int = 0


def estimate_tokens(text: str) -> int:
    """One token per four characters, rounded up."""
    return -(-len(text) // 4)


def assemble(
    chain: Sequence[Turn],
    *,
    system: str | None,
    found: Sequence[str] = (),
    background: Sequence[Turn] = (),
    budget: int,
) -> Assembled:
    """The turns a model reads, oldest first, within `budget` tokens.

    The system prompt, the root and the newest turn stay whatever they cost. Then the newest
    turns are kept as long as they fit, then what was found, then the newest background.
    """
    spoken = _spoken([turn for turn in chain if not turn.deleted])
    head = [] if not system else [Turn(role="system", content=system)]
    notes = [] if not found else [_note(_FOUND, found)]
    left = budget - sum(map(_cost, [*head, *notes]))
    kept, left_out, left = _fitting(spoken, left)
    others, dropped = _background(background, left)
    return Assembled(
        turns=(*head, *others, *notes, *kept), left_out=left_out, background_left_out=dropped
    )


def _spoken(chain: list[Turn]) -> list[Turn]:
    """With two or more people in the chain, who says what is part of the text."""
    people = {turn.author_id for turn in chain if turn.role == "user" and turn.author_id}
    if len(people) < 2:
        return chain
    return [
        Turn(
            role="user",
            content=f"{turn.speaker}: {turn.content}",
            author_id=turn.author_id,
            speaker=turn.speaker,
        )
        if turn.role == "user" and turn.author_id
        else turn
        for turn in chain
    ]


def _fitting(chain: list[Turn], left: int) -> tuple[list[Turn], int, int]:
    if sum(map(_cost, chain)) <= left or len(chain) <= 2:
        return chain, 0, left - sum(map(_cost, chain))
    root, rest = chain[0], chain[1:]
    mark = Turn(role="system", content=_CUT.format(count=len(rest)))
    left -= _cost(root) + _cost(mark) + _cost(rest[-1])
    newest = [rest[-1]]
    for turn in reversed(rest[:-1]):
        if _cost(turn) > left:
            break
        left -= _cost(turn)
        newest.insert(0, turn)
    missing = len(rest) - len(newest)
    if not missing:
        return chain, 0, left
    mark = Turn(role="system", content=_CUT.format(count=missing))
    return [root, mark, *newest], missing, left


def _background(turns: Sequence[Turn], left: int) -> tuple[list[Turn], int]:
    lines: list[str] = []
    present = [turn for turn in turns if not turn.deleted]
    left -= estimate_tokens(_BACKGROUND) + _PER_TURN
    for turn in reversed(present):
        line = f"{turn.speaker or turn.role}: {turn.content}"
        if estimate_tokens(line) + 1 > left:
            break
        left -= estimate_tokens(line) + 1
        lines.insert(0, line)
    return ([_note(_BACKGROUND, lines)] if lines else []), len(present) - len(lines)


def _note(title: str, lines: Sequence[str]) -> Turn:
    return Turn(role="system", content="\n".join([title, *lines]))


def _cost(turn: Turn) -> int:
    return estimate_tokens(turn.content) + _PER_TURN
