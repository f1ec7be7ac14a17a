"""Where the values of a call came from, laid out as a drawing. Pure: lineage in, boxes out.

Nodes stand in layers by the longest path that leads to them, left to right, or top to
bottom where the page is narrow. At most 40 are drawn; what is left out is counted in one
node per layer. The path that made the rule fire ends in a node for the rule itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Edge", "Graph", "Node", "edge_words", "graph_of", "node_names"]

MAX_NODES = 40
_WIDTH, _HEIGHT = 116, 52
_GAP_X, _GAP_Y = 84, 20
_DOWN_GAP = 56
_MARGIN = 8
_TITLES = {
    "tool_result": "Tool result",
    "argument": "Argument",
    "model": "Call by the model",
    "user": "User's words",
    "variable": "Value",
    "rule": "Rule",
    "more": "More",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value, drawn as a box."""

    id: str
    kind: str
    title: str
    name: str
    preview: str
    path: bool
    x: float = 0
    y: float = 0
    width: float = _WIDTH
    height: float = _HEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A flow from one value into another."""

    source: str
    target: str
    words: str
    """Labels gained or removed, and the line."""
    short: str
    path: bool
    d: str = ""
    """Path data of the curve."""
    x: float = 0
    y: float = 0
    """Where its words stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A drawing and its size."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: float
    height: float
    folded: int
    """Nodes that are not drawn."""


def graph_of(
    lineage: Mapping[str, Any], rule: str | None = None, *, down: bool = False
) -> Graph | None:
    """The drawing of a lineage; None: nothing is known. `rule` names the deciding rule."""
    path = [str(one) for one in lineage.get("path") or ()]
    nodes = {str(one["id"]): _node(one, path) for one in lineage.get("nodes") or ()}
    if not nodes:
        return None
    edges = [
        _edge(one, path)
        for one in lineage.get("edges") or ()
        if str(one.get("from")) in nodes and str(one.get("to")) in nodes
    ]
    if rule is not None:
        last = path[-1] if path and path[-1] in nodes else next(reversed(nodes))
        nodes["rule"] = Node(
            id="rule", kind="rule", title="Rule", name=rule, preview="", path=bool(path)
        )
        edges.append(Edge(source=last, target="rule", words="", short="", path=bool(path)))
    layers = _layers(nodes, edges)
    nodes, edges, folded = _fold(nodes, edges, layers)
    return _drawn(nodes, edges, layers, folded, down=down)


def node_names(lineage: Mapping[str, Any]) -> dict[str, str]:
    """What each node is called, by id."""
    return {str(one["id"]): _node(one, ()).name for one in lineage.get("nodes") or ()}


def edge_words(edge: Mapping[str, Any]) -> str:
    """`+ untrusted, line 4`: what a flow did to the labels, and where."""
    parts = []
    for sign, key in (("+", "gained"), ("-", "removed")):
        parts += [f"{sign} {label}" for label in _labels(edge.get(key))]
    if edge.get("by"):
        parts.append(f"rule {edge['by']}")
    if edge.get("at") is not None:
        parts.append(f"line {edge['at']}")
    return ", ".join(parts)


def _labels(value: object) -> list[str]:
    """Labels of either form: a list, or lists by field."""
    if isinstance(value, Mapping):
        return [str(label) for labels in value.values() for label in labels or ()]
    return [str(label) for label in value] if isinstance(value, list | tuple) else []


def _node(one: Mapping[str, Any], path: Sequence[str]) -> Node:
    kind = str(one.get("kind", "variable"))
    name = str(one.get("tool") or one.get("ref") or one["id"])
    title = _TITLES.get(kind, kind.replace("_", " ").capitalize())
    if one["id"] == "session":
        title, name = "Session", "labels of the session"
    if kind == "user":
        name = "the request"
    if one.get("call") is not None:
        title = f"{title} {one['call']}"
    return Node(
        id=str(one["id"]),
        kind=kind,
        title=title,
        name=name,
        preview=str(one.get("preview") or ""),
        path=str(one["id"]) in path,
    )


def _edge(one: Mapping[str, Any], path: Sequence[str]) -> Edge:
    source, target = str(one["from"]), str(one["to"])
    words = edge_words(one)
    gained = [f"+ {label}" for label in _labels(one.get("gained"))]
    gained += [f"- {label}" for label in _labels(one.get("removed"))]
    short = gained[0] if gained else (f"line {one['at']}" if one.get("at") is not None else "")
    more = f" +{len(gained) - 1}" if len(gained) > 1 else ""
    return Edge(
        source=source,
        target=target,
        words=words,
        short=(short if len(short) <= 12 else short[:11] + "…") + more,
        path=source in path and target in path,
    )


def _layers(nodes: Mapping[str, Node], edges: Sequence[Edge]) -> dict[str, int]:
    """Longest path to each node; an edge that closes a cycle counts for nothing."""
    into: dict[str, list[str]] = {name: [] for name in nodes}
    for edge in edges:
        into[edge.target].append(edge.source)
    found: dict[str, int] = {}
    for start in nodes:
        stack, open_now = [start], set[str]()
        while stack:
            name = stack[-1]
            waiting = [one for one in into[name] if one not in found and one not in open_now]
            if name in found or not waiting:
                stack.pop()
                open_now.discard(name)
                known = [found[one] for one in into[name] if one in found]
                found.setdefault(name, max(known, default=-1) + 1)
            else:
                open_now.add(name)
                stack.append(waiting[0])
    return found


def _fold(
    nodes: dict[str, Node], edges: list[Edge], layers: dict[str, int]
) -> tuple[dict[str, Node], list[Edge], int]:
    """Keeps the path and what fits; the rest of each layer becomes one node with a count."""
    if len(nodes) <= MAX_NODES:
        return nodes, edges, 0
    kept = {name for name, node in nodes.items() if node.path or name == "rule"}
    kept = set(list(kept)[:MAX_NODES])
    for name in reversed(nodes):
        if len(kept) < MAX_NODES - len(set(layers.values())):
            kept.add(name)
    left: dict[int, list[str]] = {}
    for name in nodes:
        if name not in kept:
            left.setdefault(layers[name], []).append(name)
    into = {name: f"more:{layer}" for layer, names in left.items() for name in names}
    made = {name: node for name, node in nodes.items() if name in kept}
    for layer, names in left.items():
        key = f"more:{layer}"
        layers[key] = layer
        made[key] = Node(
            id=key,
            kind="more",
            title="More",
            name=f"{len(names)} more values",
            preview="",
            path=False,
        )
    moved = {(into.get(e.source, e.source), into.get(e.target, e.target)): e for e in edges}
    found = [
        replace(edge, source=source, target=target)
        for (source, target), edge in moved.items()
        if source != target
    ]
    return made, found, len(nodes) - len(kept)


def _drawn(
    nodes: Mapping[str, Node],
    edges: Sequence[Edge],
    layers: Mapping[str, int],
    folded: int,
    *,
    down: bool,
) -> Graph:
    columns: dict[int, list[Node]] = {}
    for name in sorted(nodes, key=lambda one: (layers[one], not nodes[one].path)):
        columns.setdefault(layers[name], []).append(nodes[name])
    placed: dict[str, Node] = {}
    for place, layer in enumerate(sorted(columns)):
        for row, node in enumerate(columns[layer]):
            if down:
                x, y = row * (_WIDTH + _GAP_Y), place * (_HEIGHT + _DOWN_GAP)
            else:
                x, y = place * (_WIDTH + _GAP_X), row * (_HEIGHT + _GAP_Y)
            placed[node.id] = replace(node, x=x + _MARGIN, y=y + _MARGIN)
    lines = tuple(_curve(edge, placed, down=down) for edge in edges)
    return Graph(
        nodes=tuple(placed.values()),
        edges=lines,
        width=max(node.x for node in placed.values()) + _WIDTH + _MARGIN,
        height=max(node.y for node in placed.values()) + _HEIGHT + _MARGIN,
        folded=folded,
    )


def _curve(edge: Edge, placed: Mapping[str, Node], *, down: bool) -> Edge:
    a, b = placed[edge.source], placed[edge.target]
    if down:
        x1, y1, x2, y2 = a.x + _WIDTH / 2, a.y + _HEIGHT, b.x + _WIDTH / 2, b.y - 5
        bend = (y2 - y1) / 2
        d = f"M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
        return replace(edge, d=d, x=(x1 + x2) / 2 + 8, y=(y1 + y2) / 2 + 4)
    x1, y1, x2, y2 = a.x + _WIDTH, a.y + _HEIGHT / 2, b.x - 5, b.y + _HEIGHT / 2
    bend = (x2 - x1) / 2
    d = f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
    return replace(edge, d=d, x=(x1 + x2) / 2, y=(y1 + y2) / 2 - 7)
