"""What a session keeps of dual-llm: the conversation, the suspended turn, its last answers.

Stored as one blob in the session's state, written behind every answer and, where several
processes share the store, before it. Bounded: old messages, answers and cached results go.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Struct, field

from interlock.dual.turn import (
    CacheEntry,
    Called,
    ContextVar,
    Message,
    PlannerMessage,
    ToolSpec,
)
from interlock.gateway.config import SessionConfig, encode_config
from interlock.policy.model import Labels

__all__ = [
    "Conversation",
    "KeptProgram",
    "KeptReply",
    "called",
    "decode_conversation",
    "encode_conversation",
]

_MESSAGES = 400
_MESSAGE_CHARS = 1 << 20
"""Of all messages together; the oldest go first."""
_REPLIES = 8
_CACHED = 256
_CACHED_CHARS = 1 << 20
_PROGRAMS = 8
_PROGRAM_CHARS = 64 << 10
"""Of one program, and of the variables it began with."""


class KeptProgram(Struct, frozen=True, kw_only=True):
    """The program a turn ran last, so that a rehearsal can run exactly that one."""

    turn: int
    """Number of the turn within the session."""
    source: str
    """Empty: it was too long to be kept."""
    variables: str = "{}"
    """`context_vars` as a request sends them, as JSON text; empty: too long to be kept."""


class KeptReply(Struct, frozen=True, kw_only=True):
    """An answer that a repeated request gets again (7.4)."""

    step: str
    """Which results, followed by which message, it answered."""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Id, tool and arguments of the calls it asked for."""
    text: str = ""
    failure: tuple[str, str] | None = None
    """Code and message."""


class _Kept(Struct, frozen=True, kw_only=True):
    """A cached result (10.6), with labels in their lossless form."""

    data: str
    labels: dict[str, Any]


class Conversation(Struct, kw_only=True):
    """See the module's description."""

    messages: list[Message] = field(default_factory=list)
    """As the client sees the conversation, our answers included."""
    turn: bytes = b""
    """The suspended turn; empty: none is."""
    pending: dict[str, int] = field(default_factory=dict)
    """Outstanding calls of it: our id -> its number in the turn."""
    replies: list[KeptReply] = field(default_factory=list)
    tools: list[ToolSpec] = field(default_factory=list)
    """Of the newest request that sent any; a follow-up by `previous_response_id` may not."""
    planner_history: list[PlannerMessage] = field(default_factory=list)
    cached: dict[str, _Kept] = field(default_factory=dict)
    generated: str = ""
    """Policy written for this session (`auto_gen`)."""
    generation_tried: bool = False
    restrictions: list[str] = field(default_factory=list)
    """Policy its planner added (`set_policy`)."""
    programs: list[KeptProgram] = field(default_factory=list)
    """Of the newest turns."""
    config: bytes = b""
    """What the newest request came under, without policy and model settings."""
    config_digest: str = ""
    """Of the whole config it was made of."""

    @property
    def cache(self) -> dict[str, CacheEntry]:
        """Results that need not be asked for again."""
        return {
            key: CacheEntry(data=kept.data, labels=Labels.from_record(kept.labels))
            for key, kept in self.cached.items()
        }

    def keep_cache(self, cache: "dict[str, CacheEntry]") -> None:
        """Takes over a turn's cache; the oldest entries beyond the bounds are left out."""
        kept: dict[str, _Kept] = {}
        room = _CACHED_CHARS
        for key, entry in reversed(list(cache.items())[-_CACHED:]):
            room -= len(entry.data)
            if room < 0:
                break
            kept[key] = _Kept(data=entry.data, labels=entry.labels.to_record())
        self.cached = dict(reversed(list(kept.items())))

    def remember(self, reply: KeptReply) -> None:
        """Keeps an answer for a request that is repeated."""
        self.replies = [*(one for one in self.replies if one.step != reply.step), reply][-_REPLIES:]

    def keep_program(self, turn: int, source: str, variables: Mapping[str, ContextVar]) -> None:
        """Keeps what a turn runs, in place of what it ran before."""
        given = {
            name: {"value": one.value, "meta": one.labels.to_wire()}
            for name, one in variables.items()
        }
        text = json.dumps(given)
        kept = KeptProgram(
            turn=turn,
            source=source if len(source) <= _PROGRAM_CHARS else "",
            variables=text if len(text) <= _PROGRAM_CHARS else "",
        )
        others = [one for one in self.programs if one.turn != turn]
        self.programs = [*others, kept][-_PROGRAMS:]

    def keep_config(self, config: SessionConfig) -> None:
        """Keeps the settings of a request for rehearsals.

        Without policy texts, which the decision records lead to, and without the models.
        """
        if self.config and self.config_digest == config.digest:
            return
        policy = replace(config.policy, code="", generated="", restrictions="")
        bare = replace(config, policy=policy, shadow=None, llm={})
        self.config, self.config_digest = encode_config(bare), config.digest

    def reply_to(self, step: str) -> KeptReply | None:
        """The answer that was given to this step."""
        return next((one for one in self.replies if one.step == step), None)

    def replace_messages(self, messages: Sequence[Message]) -> None:
        """The conversation is now this; the oldest messages beyond the bounds go."""
        kept = list(messages[-_MESSAGES:])
        room = _MESSAGE_CHARS
        for index in range(len(kept) - 1, -1, -1):
            room -= len(kept[index].text)
            if room < 0:
                kept = kept[index + 1 :]
                break
        self.messages = kept


def called(calls: Sequence[tuple[str, str, str]], *, derived: Sequence[bool]) -> tuple[Called, ...]:
    """Calls of an answer as a message holds them."""
    return tuple(
        Called(id=call_id, tool=tool, arguments=arguments, derived=tainted)
        for (call_id, tool, arguments), tainted in zip(calls, derived, strict=True)
    )


encode_conversation = msgspec.msgpack.Encoder().encode
decode_conversation = msgspec.msgpack.Decoder(Conversation).decode
