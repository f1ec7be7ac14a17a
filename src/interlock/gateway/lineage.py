"""How the lineage of a decision reads: as an indented text, and as a Mermaid graph.

A lineage is `{nodes, edges, path}` (gateway.md, 11.13): tool results and other origins,
through variables and lines of the program or the labels of the session, to the call.
Nodes of the `path` are those that made the deciding rule fire.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["lineage_lines", "lineage_mermaid", "without_previews"]

_PREVIEW = 60
_SHAPES = {
    "tool_result": ("[/", "/]"),
    "argument": ("[", "]"),
    "model": ("{{", "}}"),
    "user": ("([", "])"),
}
_QUOTES = str.maketrans({'"': "#quot;", "<": "#lt;", ">": "#gt;", "\n": " ", "`": "'"})

Tree = Mapping[str, Any]


def lineage_lines(lineage: Tree) -> list[str]:
    """One line a node, indented below what it came from; `*` marks the path."""
    nodes = _nodes(lineage)
    children: dict[str, list[Tree]] = {}
    targets = set()
    for edge in lineage.get("edges", ()):
        children.setdefault(str(edge["from"]), []).append(edge)
        targets.add(str(edge["to"]))
    path = {str(one) for one in lineage.get("path", ())}
    lines: list[str] = []
    told: set[str] = set()

    def walk(node_id: str, depth: int, how: str) -> None:
        mark = "*" if node_id in path else " "
        again = " (see above)" if node_id in told and children.get(node_id) else ""
        lines.append(f"{mark} {'  ' * depth}{how}{_title(nodes, node_id)}{again}")
        if node_id in told:
            return
        told.add(node_id)
        for edge in children.get(node_id, ()):
            walk(str(edge["to"]), depth + 1, f"{_how(edge)} -> ")

    for node_id in nodes:
        if node_id not in targets:
            walk(node_id, 0, "")
    for node_id in nodes:  # cycles have no root
        if node_id not in told:
            walk(node_id, 0, "")
    return lines


def lineage_mermaid(lineage: Tree) -> str:
    """A Mermaid flow chart; nodes and edges of the path are drawn bold."""
    nodes = _nodes(lineage)
    names = {node_id: f"n{number}" for number, node_id in enumerate(nodes)}
    path = [str(one) for one in lineage.get("path", ())]
    lines = ["flowchart LR"]
    for node_id, node in nodes.items():
        opened, closed = _SHAPES.get(str(node.get("kind")), ("(", ")"))
        text = _title(nodes, node_id).translate(_QUOTES)
        lines.append(f'    {names[node_id]}{opened}"{text}"{closed}')
    for edge in lineage.get("edges", ()):
        source, target = names.get(str(edge["from"])), names.get(str(edge["to"]))
        if source is None or target is None:
            continue
        strong = str(edge["from"]) in path and str(edge["to"]) in path
        label = _how(edge).translate(_QUOTES)
        arrow = "==>" if strong else "-->"
        shown = f'|"{label}"|' if label else ""
        lines.append(f"    {source} {arrow}{shown} {target}")
    marked = [names[one] for one in path if one in names]
    if marked:
        lines.append("    classDef path stroke-width:3px")
        lines.append(f"    class {','.join(dict.fromkeys(marked))} path")
    return "\n".join(lines)


def without_previews(lineage: Tree) -> Tree:
    """What of a lineage may be kept where values may not."""
    if not lineage:
        return lineage
    nodes = [{k: v for k, v in node.items() if k != "preview"} for node in lineage["nodes"]]
    return {**lineage, "nodes": nodes}


def _nodes(lineage: Tree) -> dict[str, Tree]:
    return {str(node["id"]): node for node in lineage.get("nodes", ())}


def _title(nodes: Mapping[str, Tree], node_id: str) -> str:
    node = nodes.get(node_id, {})
    parts = [str(node.get("kind", "node")).replace("_", " ")]
    parts += [str(node[key]) for key in ("tool", "ref") if node.get(key) not in (None, "")]
    preview = node.get("preview")
    if preview:
        text = " ".join(str(preview).split()).removeprefix('"').removesuffix('"')
        parts.append(f'"{text[:_PREVIEW]}{"..." if len(text) > _PREVIEW else ""}"')
    return " ".join(dict.fromkeys(parts))


def _how(edge: Tree) -> str:
    """Where an edge runs, and what labels it brought or took away."""
    return ", ".join(_facts(edge))


def _facts(edge: Tree) -> Iterator[str]:
    if edge.get("by"):
        yield f"rule {edge['by']}"
    if edge.get("at") is not None:
        yield f"line {edge['at']}"
    for sign, key in (("+", "gained"), ("-", "removed")):
        for field, labels in (edge.get(key) or {}).items():
            if labels:
                yield f"{sign}{field} {_listed(labels)}"


def _listed(labels: Sequence[Any]) -> str:
    return "{" + ", ".join(str(label) for label in labels) + "}"
