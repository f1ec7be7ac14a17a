"""What a reply is made from and how far it has come. No I/O."""

import hashlib
import uuid
from typing import Any, Final, Literal

import msgspec

__all__ = [
    "RESULTS",
    "Asked",
    "Journal",
    "Node",
    "NodeKind",
    "NodeStatus",
    "Round",
    "Trail",
    "digest_of",
    "node_id",
    "preview",
]

NodeKind = Literal["prompt", "retriever", "tool", "reducer", "responder"]
NodeStatus = Literal["pending", "running", "succeeded", "failed", "skipped", "denied"]

_SPACE: Final = uuid.UUID("0b7f6d6e-62a5-5c36-8d0e-6a4f0f1b7c55")
_PREVIEW: Final = 4096
RESULTS: Final = "results"
"""Name of the step that ends a round with tools."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked for a reply, and how. Rights are those of the person."""

    user_id: str
    account_id: str
    email: str
    groups: list[str] = []
    roles: list[str] = []
    agent_id: str
    model: str
    system: str | None = None
    tools: list[str] | None = None
    """Names of tools; None: all there are."""
    search: str | None = None
    """What to look for in the conversation first; None: nothing."""
    top_k: int = 5
    mode: Literal["off", "auto"] = "auto"
    max_steps: int = 6
    options: dict[str, Any] = {}
    """`temperature`, `max_tokens`, `stop`."""


class Round(msgspec.Struct, kw_only=True):
    """One answer of the model and what its calls gave."""

    text: str
    calls: list[dict[str, str]]
    """`{id, name, arguments}`."""
    results: dict[str, str]
    """Call id -> text."""


class Journal(msgspec.Struct, kw_only=True):
    """Finished rounds of a reply."""

    rounds: list[Round] = msgspec.field(default_factory=list)
    begun: Round | None = None
    """A round whose answer is complete and whose tools run: `results` are those that ended."""
    usage: dict[str, int] = msgspec.field(default_factory=dict)
    """Of all answers that are complete."""

    @property
    def said(self) -> int:
        """Characters of the message that finished rounds wrote."""
        return sum(len(one.text) for one in self.rounds)


class Node(msgspec.Struct, kw_only=True):
    """A step of the reasoning, as members may see it."""

    id: str
    ordinal: int
    kind: NodeKind
    name: str
    status: NodeStatus
    depends_on: list[str]
    input_hash: str
    output_hash: str | None = None
    output_preview: str | None = None
    provenance: list[dict[str, str]] = msgspec.field(default_factory=list)
    started_at: str | None = None
    finished_at: str | None = None
    duration_ms: float | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class Trail(msgspec.Struct, kw_only=True):
    """How a reply came about."""

    mode: str
    nodes: list[Node] = msgspec.field(default_factory=list)

    def begin(self, kind: NodeKind, name: str, given: object, after: list[str], *, at: str) -> Node:
        """A node that runs from now on; the same inputs give the same id."""
        digest = digest_of(given)
        ordinal = len(self.nodes)
        made = Node(
            id=node_id(kind, name, digest, after, ordinal),
            ordinal=ordinal,
            kind=kind,
            name=name,
            status="running",
            depends_on=list(after),
            input_hash=digest,
            started_at=at,
        )
        known = next((one for one in self.nodes if one.id == made.id), None)
        if known is not None:
            return known
        self.nodes.append(made)
        return made

    def resume(self, rounds: int, *, begun: bool = False) -> list[str]:
        """Forgets what belongs to the round that was cut off; ids of what the next one follows.

        The steps of that round are taken again, with the ids they had. `begun`: its answer is
        complete and stays, with the calls that were denied.
        """
        ends = [
            at
            for at, node in enumerate(self.nodes)
            if (node.kind, node.name) == ("reducer", RESULTS)
        ]
        last = ends[rounds - 1] if 0 < rounds <= len(ends) else None
        first = 0 if last is None else last + 1
        if begun:
            after = self.nodes[first:]
            ran = (at for at, one in enumerate(after) if one.kind == "tool")
            first += next((at for at in ran if after[at].status != "denied"), len(after))
        del self.nodes[first:]
        return [] if last is None else [self.nodes[last].id]

    def told(self, *, ended: str | None = None) -> dict[str, Any]:
        """As the API shows it; `ended`: how the reply ended, and with it what still ran."""
        if ended is not None:
            for node in self.nodes:
                if node.status in {"pending", "running"}:
                    node.status, node.error = "failed", {"code": ended}
        edges = [
            {"from": before, "to": node.id} for node in self.nodes for before in node.depends_on
        ]
        return {
            "mode": self.mode,
            "nodes": [msgspec.to_builtins(node) for node in self.nodes],
            "edges": edges,
        }


def preview(text: str) -> str:
    """A text, cut to what a trail keeps."""
    return text[:_PREVIEW]


def digest_of(value: object) -> str:
    """SHA-256 of canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def node_id(kind: str, name: str, digest: str, after: list[str], ordinal: int) -> str:
    """The id of a node: made of what goes into it."""
    return str(uuid.uuid5(_SPACE, "\0".join([kind, name, digest, *after, str(ordinal)])))
