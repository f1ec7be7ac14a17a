import json

from interlock.dual.turn import ContextVar
from interlock.gateway.dual.state import Conversation, decode_conversation, encode_conversation
from interlock.policy.model import Labels

LIMIT = 64 << 10


def test_the_newest_program_of_each_turn_is_kept() -> None:
    conversation = Conversation()
    conversation.keep_program(1, "a()", {})
    conversation.keep_program(1, "b()", {})
    for turn in range(2, 11):
        conversation.keep_program(turn, f"t{turn}()", {})

    stored = decode_conversation(encode_conversation(conversation))

    assert [one.turn for one in stored.programs] == list(range(3, 11))
    conversation.programs = []
    conversation.keep_program(1, "a()", {})
    conversation.keep_program(1, "b()", {})
    assert [(one.turn, one.source) for one in conversation.programs] == [(1, "b()")]


def test_variables_are_kept_as_a_request_sends_them() -> None:
    conversation = Conversation()
    labels = Labels.of(tags=["secret"], producers=["hr"], consumers=["ann"])
    conversation.keep_program(1, "x", {"number": ContextVar(value=2**80, labels=labels)})

    assert json.loads(conversation.programs[0].variables) == {
        "number": {
            "value": 2**80,
            "meta": {"tags": ["secret"], "producers": ["hr"], "consumers": ["ann"]},
        }
    }


def test_what_is_too_long_is_marked_instead_of_cut() -> None:
    conversation = Conversation()
    conversation.keep_program(1, "x" * (LIMIT + 1), {"v": ContextVar(value="y" * LIMIT)})

    assert (conversation.programs[0].source, conversation.programs[0].variables) == ("", "")


def test_a_conversation_of_an_earlier_version_has_none() -> None:
    assert decode_conversation(b"\x80").programs == []
