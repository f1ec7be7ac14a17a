"""Where an argument's labels come from: through which variables and lines, from which results.

Built from the machine's bounded trace of stores. Each store knows its variable, the variables its
statement reads and what the stored value derives from; walking backwards from a call connects
them. What the trace has forgotten shows as a direct edge from the result.

Source: gateway.md 11.13 ("lineage").
"""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from interlock.dual.events import Request, Store
from interlock.policy.model import Labels

__all__ = ["Edge", "Lineage", "Node", "trace_back"]

_PREVIEW_CHARS = 80
_MAX_NODES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Something data was in."""

    id: str
    kind: Literal["user", "tool_result", "model", "variable", "argument"]
    ref: str
    """Name of the tool, variable or argument."""
    preview: str = ""
    """Beginning of the value, for arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Data went from one node to another."""

    source: str
    target: str
    gained: Sequence[str]
    """Labels the target has and the source has not: `tags:x`, `producers:y`."""
    removed: Sequence[str]
    """Consumers the source admits and the target does not."""
    at: int
    """Line of the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The graph behind one call."""

    nodes: Sequence[Node]
    edges: Sequence[Edge]
    path: Sequence[str]
    """Nodes of one chain from the origin of the first labelled argument to it."""

    def to_dict(self) -> dict[str, object]:
        """As a decision record holds it."""
        return {
            "nodes": [
                {"id": node.id, "kind": node.kind, "ref": node.ref, "preview": node.preview}
                for node in self.nodes
            ],
            "edges": [
                {
                    "from": edge.source,
                    "to": edge.target,
                    "gained": list(edge.gained),
                    "removed": list(edge.removed),
                    "at": edge.at,
                }
                for edge in self.edges
            ],
            "path": list(self.path),
        }


@dataclass(frozen=True, slots=True)
class _Step:
    """A node whose origins are still to be found."""

    node: str
    names: Sequence[str]
    sources: frozenset[int]
    labels: Labels
    before: int
    """Only stores before this position count."""
    line: int


class _Walk:
    """One walk backwards from a request."""

    def __init__(
        self,
        trace: Sequence[Store],
        first: int,
        requests: Mapping[int, Request],
        contexts: Mapping[int, str],
    ) -> None:
        self.trace = trace
        self.first = first
        """Position of the oldest store still known."""
        self.requests = requests
        self.contexts = contexts
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], Edge] = {}
        self.queue: deque[_Step] = deque()

    def add(self, node: Node) -> bool:
        """Whether it is new (and fits)."""
        if node.id in self.nodes or len(self.nodes) >= _MAX_NODES:
            return False
        self.nodes[node.id] = node
        return True

    def link(self, source: str, before: Labels, step: _Step) -> None:
        gained, removed = _changes(before, step.labels)
        self.edges.setdefault(
            (source, step.node),
            Edge(source=source, target=step.node, gained=gained, removed=removed, at=step.line),
        )

    def run(self) -> None:
        while self.queue:
            step = self.queue.popleft()
            found = [each for name in step.names if (each := self._store(name, step))]
            left = step.sources.difference(*(store.mark.sources for _, store in found))
            direct = self._direct(left)
            through = self._read_by(direct)
            for position, store in found:
                if store.name not in through:
                    self._variable(position, store, step)
            for number in direct:
                self._result(number, step)
            if not step.sources and not step.names:
                self.add(Node(id="user", kind="user", ref="request"))
                self.link("user", Labels(), step)

    def _store(self, name: str, step: _Step) -> tuple[int, Store] | None:
        """The last store of the variable before the step that shares an origin with it."""
        for index in range(min(step.before - self.first, len(self.trace)) - 1, -1, -1):
            store = self.trace[index]
            if store.name == name and store.mark.sources & step.sources:
                return self.first + index, store
        return None

    def _variable(self, position: int, store: Store, step: _Step) -> None:
        node = Node(id=f"variable:{store.name}:{position}", kind="variable", ref=store.name)
        new = self.add(node)
        if node.id not in self.nodes:
            return
        self.link(node.id, store.mark.labels, step)
        if new:
            self.queue.append(
                _Step(
                    node.id,
                    store.reads,
                    store.mark.sources,
                    store.mark.labels,
                    position,
                    store.line,
                )
            )

    def _direct(self, numbers: frozenset[int]) -> list[int]:
        """Results the step's own expression used: those no other of them derives from."""
        indirect: set[int] = set()
        for number in numbers:
            request = self.requests.get(number)
            if request is not None:
                indirect.update(*request.sources.values())
        return sorted(numbers - indirect)

    def _read_by(self, numbers: Sequence[int]) -> set[str]:
        """Variables that went into those calls, and so into the step only through them."""
        found: set[str] = set()
        for number in numbers:
            request = self.requests.get(number)
            if request is not None:
                found.update(*request.reads.values())
        return found

    def _result(self, number: int, step: _Step) -> None:
        request = self.requests.get(number)
        if request is None:
            name = self.contexts.get(number, "context")
            node = Node(id=f"context:{name}", kind="variable", ref=name)
            self.add(node)
            self.link(node.id, step.labels, step)
            return
        kind: Literal["model", "tool_result"] = "model" if request.sig.internal else "tool_result"
        node = Node(id=f"result:{number}", kind=kind, ref=request.sig.tool)
        new = self.add(node)
        self.link(node.id, step.labels, step)
        if new:
            for name, sources in request.sources.items():
                if sources:
                    self.queue.append(
                        _Step(
                            node.id,
                            request.reads.get(name, ()),
                            sources,
                            request.labels[name],
                            request.at,
                            request.line,
                        )
                    )


def _changes(before: Labels, after: Labels) -> tuple[list[str], list[str]]:
    gained = [
        f"{field}:{label}"
        for field in ("tags", "producers")
        for label in getattr(after, field).minus(getattr(before, field)).to_wire()
    ]
    lost = before.consumers.minus(after.consumers)
    return gained, [] if lost.is_empty else [f"consumers:{label}" for label in lost.to_wire()]


def trace_back(
    request: Request,
    trace: Sequence[Store],
    stores: int,
    requests: Mapping[int, Request],
    contexts: Mapping[int, str],
) -> Lineage:
    """The lineage of a call.

    Args:
        request: the call.
        trace: the stores still known, oldest first.
        stores: how many stores there have been in all.
        requests: all calls so far, by number.
        contexts: names of context variables, by their (negative) source number.
    """
    walk = _Walk(trace, stores - len(trace), requests, contexts)
    for name, labels in request.labels.items():
        text = json.dumps(request.args.get(name), ensure_ascii=False, default=str)
        node = Node(id=f"argument:{name}", kind="argument", ref=name, preview=text[:_PREVIEW_CHARS])
        walk.add(node)
        walk.queue.append(
            _Step(
                node.id,
                request.reads.get(name, ()) if request.sources[name] else (),
                request.sources[name],
                labels,
                request.at,
                request.line,
            )
        )
    walk.run()
    return Lineage(
        nodes=list(walk.nodes.values()),
        edges=list(walk.edges.values()),
        path=_path(request, list(walk.edges.values())),
    )


def _path(request: Request, edges: Sequence[Edge]) -> list[str]:
    """One chain to the first argument that derives from something."""
    start = next((name for name, found in request.sources.items() if found), None)
    if start is None:
        return []
    into: dict[str, str] = {}
    for edge in edges:
        into.setdefault(edge.target, edge.source)
    path = [f"argument:{start}"]
    while path[-1] in into and into[path[-1]] not in path:
        path.append(into[path[-1]])
    return path[::-1]
