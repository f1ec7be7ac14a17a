"""Lineage as a person reads it."""

from typing import Any

from interlock.gateway.lineage import lineage_lines, lineage_mermaid

LINEAGE: dict[str, Any] = {
    "nodes": [
        {
            "id": "r1",
            "kind": "tool_result",
            "ref": "tc-1",
            "tool": "read_inbox",
            "preview": "Hi!\nX",
        },
        {"id": "v", "kind": "variable", "ref": "inbox"},
        {"id": "a", "kind": "argument", "ref": "body"},
        {"id": "alone", "kind": "user", "ref": ""},
    ],
    "edges": [
        {"from": "r1", "to": "v", "gained": {"tags": ["untrusted"]}, "removed": {}, "at": 1},
        {"from": "v", "to": "a", "gained": {}, "removed": {"consumers": ["*"]}, "at": 2},
    ],
    "path": ["r1", "v", "a"],
}


def test_the_text_goes_from_the_origin_to_the_call() -> None:
    assert lineage_lines(LINEAGE) == [
        '* tool result read_inbox tc-1 "Hi! X"',
        "*   line 1, +tags {untrusted} -> variable inbox",
        "*     line 2, -consumers {*} -> argument body",
        "  user",
    ]


def test_the_graph_draws_the_path_bold() -> None:
    graph = lineage_mermaid(LINEAGE)

    assert graph.startswith("flowchart LR\n")
    assert '    n0[/"tool result read_inbox tc-1 #quot;Hi! X#quot;"/]' in graph
    assert '    n0 ==>|"line 1, +tags {untrusted}"| n1' in graph
    assert "    class n0,n1,n2 path" in graph


def test_cycles_and_edges_to_nowhere_end() -> None:
    cyclic = {
        "nodes": [{"id": "a", "kind": "variable"}, {"id": "b", "kind": "variable"}],
        "edges": [
            {"from": "a", "to": "b", "gained": {}},
            {"from": "b", "to": "a", "gained": {}},
            {"from": "a", "to": "gone", "gained": {}},
        ],
        "path": [],
    }

    assert len(lineage_lines(cyclic)) == 4
    assert "gone" not in lineage_mermaid(cyclic)


def test_no_lineage_is_no_line() -> None:
    assert lineage_lines({}) == []
    assert lineage_mermaid({}) == "flowchart LR"


def test_what_a_tool_returned_cannot_break_out_of_the_graph() -> None:
    evil = {"nodes": [{"id": "x", "kind": "tool_result", "preview": '"]\n n9["<b>`'}]}

    assert lineage_mermaid(evil).count("\n") == 1
    assert '"]' not in lineage_mermaid(evil).split("\n")[1][:-3]
