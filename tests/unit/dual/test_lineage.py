"""Lineage: which result put which label on an argument, through which lines."""

from tests.support.programs import begin, tagged, tool

from interlock.dual.events import Pending

TOOLS = (tool("read", "id"), tool("send", "to", "body"))


def test_a_label_is_traced_through_variables_to_the_result_it_came_from() -> None:
    machine = begin(
        'doc = read(id="D1")\n'
        'text = doc["text"]\n'
        "lines = []\n"
        "for line in text.split():\n"
        "    lines.append(line)\n"
        'send(to="bob", body=" ".join(lines))\n',
        tools=TOOLS,
    )
    machine.run()
    machine.give(1, {"text": "a b"}, tagged("secret"))
    event = machine.run()
    assert isinstance(event, Pending)

    lineage = machine.lineage(event.calls[0])

    assert [node.ref for node in lineage.nodes if node.kind == "tool_result"] == ["read"]
    assert [step.split(":")[1] for step in lineage.path] == [
        "1",
        "doc",
        "text",
        "line",
        "lines",
        "body",
    ]
    lines = {
        (edge.source.split(":")[1], edge.target.split(":")[1]): edge.at
        for edge in lineage.edges
        if ":" in edge.source
    }
    assert lines["1", "doc"] == 1
    assert lines["doc", "text"] == 2
    assert lines["lines", "body"] == 6


def test_an_argument_of_the_request_itself_comes_from_the_user() -> None:
    machine = begin('send(to="bob", body="hi")', tools=TOOLS)
    event = machine.run()
    assert isinstance(event, Pending)

    lineage = machine.lineage(event.calls[0]).to_dict()

    assert [edge["from"] for edge in lineage["edges"]] == ["user", "user"]  # type: ignore[index,attr-defined]
    assert lineage["path"] == []


def test_a_result_that_derives_from_another_is_traced_through_its_own_arguments() -> None:
    machine = begin(
        'first = read(id="a")\nsecond = read(id=first)\nsend(to=second, body="x")', tools=TOOLS
    )
    for number in (1, 2):
        machine.run()
        machine.give(number, f"id {number}", tagged(f"t{number}"))
    event = machine.run()
    assert isinstance(event, Pending)

    path = machine.lineage(event.calls[0]).path

    assert [step.split(":")[0] for step in path] == [
        "result",
        "variable",
        "result",
        "variable",
        "argument",
    ]
