"""What is stored about a session, and how two versions of it become one.

With several processes two requests of one session can be answered at the same moment,
each starting from the same stored state. Whoever stores second merges: what either side
learned is kept, and no label gets weaker (architecture.md, invariant 2).

Pure. Source: gateway.md sections 7.1 to 7.4 and 10.5.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from interlock.policy.model import DEFAULT_LABELS, Labels, LabelSet

__all__ = [
    "CALLS_KEPT",
    "DENIED_KEPT",
    "ORIGINS_KEPT",
    "CallState",
    "Denied",
    "MergeError",
    "Origin",
    "SessionState",
    "StoredLabels",
    "StoredSet",
    "decode_state",
    "encode_state",
    "merge_states",
    "open_labels",
    "pack_labels",
]

T = TypeVar("T")

CALLS_KEPT = 4096
DENIED_KEPT = 50
ORIGINS_KEPT = 200


class MergeError(Exception):
    """Raised when two versions cannot both be true.

    One call id stands for two calls, or one conversation went on in two ways.
    """


class CallState(Struct, kw_only=True):
    """One tool call that was let through."""

    upstream_id: str
    tool: str
    arguments: str
    """For the labels of the result; empty once it came."""
    answered: bool = False
    evidence: dict[str, list[str]] = field(default_factory=dict)
    """Tags that say where each argument comes from, when a rule asked for them."""
    trusted: bool = False
    """A rule vouches for its result."""


class Denied(Struct, frozen=True, kw_only=True):
    """A denied sibling of an allowed call, told to the model on the next request."""

    after: str
    """Our id of the sibling."""
    upstream_id: str
    name: str
    namespace: str | None
    arguments: str
    message: str


class Origin(Struct, frozen=True, kw_only=True):
    """Which event put a label on the session."""

    field: str
    label: str
    tool: str
    call_id: str
    declaration: str
    line: int


class StoredSet(Struct, frozen=True, kw_only=True):
    """A label set, losslessly."""

    items: list[str]
    negated: bool
    untouched: bool


class StoredLabels(Struct, frozen=True, kw_only=True):
    """Labels, with what watched and bound policies see apart from them."""

    tags: StoredSet
    producers: StoredSet
    consumers: StoredSet
    worlds: "dict[str, StoredLabels]"


class SessionState(Struct, kw_only=True):
    """Everything stored about a session."""

    id: str
    owner: str
    key_id: str
    account_id: str
    endpoint: str
    created_at: float
    updated_at: float
    arch: str = "single-llm"
    turns: int = 0
    unfinished: str = ""
    """Digest of the request that began the newest turn, until it is answered."""
    closed: bool = False
    labels: StoredLabels | None = None
    """None: the labels every session starts with."""
    origins: list[Origin] = field(default_factory=list)
    calls: dict[str, CallState] = field(default_factory=dict)
    denied: list[Denied] = field(default_factory=list)
    counter: int = 0
    approved: list[tuple[str, str]] = field(default_factory=list)
    """Soft denials a person lifted for the whole session: (tool, rule)."""
    dual: bytes = b""
    """What `gateway.dual` keeps of the conversation; empty in single-llm."""


def _pack_set(labels: LabelSet) -> StoredSet:
    return StoredSet(items=sorted(labels.items), negated=labels.negated, untouched=labels.untouched)


def pack_labels(labels: Labels) -> StoredLabels:
    """Labels as they are stored, losslessly."""
    return StoredLabels(
        tags=_pack_set(labels.tags),
        producers=_pack_set(labels.producers),
        consumers=_pack_set(labels.consumers),
        worlds={name: pack_labels(world) for name, world in labels.worlds.items()},
    )


def _open_set(stored: StoredSet) -> LabelSet:
    return LabelSet(frozenset(stored.items), stored.negated, untouched=stored.untouched)


def open_labels(stored: StoredLabels) -> Labels:
    """What `pack_labels` packed."""
    return Labels(
        tags=_open_set(stored.tags),
        producers=_open_set(stored.producers),
        consumers=_open_set(stored.consumers),
        worlds={name: open_labels(world) for name, world in stored.worlds.items()},
    )


encode_state = msgspec.msgpack.Encoder().encode
decode_state = msgspec.msgpack.Decoder(SessionState).decode


def merge_states(ours: SessionState, theirs: SessionState, *, base_turns: int) -> SessionState:
    """What holds after two requests changed one session at the same moment.

    `ours` is what became of it here, `theirs` what somebody else stored meanwhile; both
    started when `base_turns` were counted. Labels are merged as those of two values are,
    so that a label either side has stays; calls, denials and origins are united; turns
    add up, because either side counted its own.

    Raises:
        MergeError: both gave the same id to different calls, or both went on with a turn.
    """
    if ours.dual != theirs.dual:
        raise MergeError("two turns of one conversation")
    calls = dict(theirs.calls)
    for call_id, call in ours.calls.items():
        other = calls.get(call_id)
        calls[call_id] = call if other is None else _same_call(call, other, call_id)
    return msgspec.structs.replace(
        theirs,
        created_at=min(ours.created_at, theirs.created_at),
        updated_at=max(ours.updated_at, theirs.updated_at),
        turns=theirs.turns + max(0, ours.turns - base_turns),
        unfinished=ours.unfinished,
        closed=ours.closed or theirs.closed,
        labels=_merged_labels(ours.labels, theirs.labels),
        origins=_united(theirs.origins, ours.origins)[-ORIGINS_KEPT:],
        calls=dict(list(calls.items())[-CALLS_KEPT:]),
        denied=_united(theirs.denied, ours.denied)[-DENIED_KEPT:],
        counter=max(ours.counter, theirs.counter),
        approved=_united(theirs.approved, ours.approved),
    )


def _merged_labels(ours: StoredLabels | None, theirs: StoredLabels | None) -> StoredLabels | None:
    if ours == theirs:
        return ours
    one, other = (DEFAULT_LABELS if side is None else open_labels(side) for side in (ours, theirs))
    return pack_labels(one.merge(other))


def _same_call(one: CallState, other: CallState, call_id: str) -> CallState:
    """What is known of one call; its arguments go with its result, wherever that came in."""
    answered = one.answered or other.answered
    same = (one.upstream_id, one.tool) == (other.upstream_id, other.tool)
    if not same or (not answered and one.arguments != other.arguments):
        raise MergeError(call_id)
    return msgspec.structs.replace(
        one,
        answered=answered,
        arguments="" if answered else one.arguments,
        evidence=one.evidence or other.evidence,
        trusted=answered and all(side.trusted for side in (one, other) if side.answered),
    )


def _united(first: Sequence[T], second: Sequence[T]) -> list[T]:
    """Both lists without repetitions, in order."""
    return list(dict.fromkeys((*first, *second)))
