"""Comparing the caller's history with the stored one (gateway.md 7.5)."""

import pytest

from interlock.dual.turn.model import Called, Message
from interlock.dual.turn.transcript import Comparison, compare, unsure


def user(text: str) -> Message:
    return Message(role="user", text=text)


def said(text: str) -> Message:
    return Message(role="assistant", text=text)


def called(*ids: str) -> Message:
    return Message(role="assistant", calls=tuple(Called(id=one, tool="t") for one in ids))


def tool(call_id: str, text: str = "") -> Message:
    return Message(role="tool", call_id=call_id, text=text)


SYSTEM = Message(role="system", text="Be brief.")
STORED = (user("one"), called("tc-1"), tool("tc-1", "r"), said('{"status": "success"}'))


@pytest.mark.parametrize(
    ("stored", "incoming", "wanted"),
    [
        ((), [user("one")], ("continues", 0, 0)),
        (STORED, [*STORED, user("two")], ("continues", 4, 4)),
        # An integration keeps the unwrapped value instead of our JSON.
        (STORED, [*STORED[:3], said("97"), user("two")], ("continues", 4, 4)),
        # White space and a changed system prompt are no difference.
        (STORED, [SYSTEM, user(" one\n"), *STORED[1:], user("two")], ("continues", 4, 5)),
        ((SYSTEM, *STORED), [*STORED, user("two")], ("continues", 5, 4)),
        # Only what is new.
        (STORED, [user("two")], ("new_only", 4, 0)),
        (STORED, [user("one")], ("new_only", 4, 0)),
        (STORED, [SYSTEM, user("two")], ("new_only", 4, 0)),
        (STORED[:2], [tool("tc-1", "r")], ("new_only", 2, 0)),
        # Only the end of the conversation, and what is new.
        (STORED[:2], [called("tc-1"), tool("tc-1", "r")], ("continues", 2, 1)),
        # Divergence.
        (STORED, [user("other"), *STORED[1:], user("two")], ("diverged", 0, 0)),
        (STORED, [user("one"), called("tc-9"), tool("tc-9"), user("two")], ("diverged", 1, 1)),
        (STORED, [user("one"), said("hm"), user("two")], ("diverged", 1, 1)),
        (STORED, list(STORED[:2]), ("diverged", 2, 2)),
        ((SYSTEM, *STORED), [user("one"), said("x"), user("two")], ("diverged", 2, 1)),
    ],
)
def test_histories_are_compared(
    stored: tuple[Message, ...], incoming: list[Message], wanted: tuple[str, int, int]
) -> None:
    kind, common, new_from = wanted

    assert compare(stored, incoming) == Comparison(
        kind=kind,  # type: ignore[arg-type]
        common=common,
        new_from=new_from,
    )


def test_a_history_brought_along_is_derived_from_its_first_result_on() -> None:
    before = (user("one"), said("early"), called("x"))
    after = (tool("x", "untrusted"), said("late"), called("y"), user("two"))

    marked = unsure((*before, *after))

    assert [message.derived for message in marked] == [False] * 4 + [True, True, False]
    assert marked[5].calls[0].derived
    assert not marked[2].calls[0].derived
