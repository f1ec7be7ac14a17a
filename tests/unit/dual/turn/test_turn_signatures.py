"""Tools as programs and prompts name them."""

import ast

from interlock.dual.turn.model import ToolSpec
from interlock.dual.turn.signatures import bind, identifier, internal_listing, listing
from interlock.providers.demo.tools import known_tools

MAIL = ToolSpec(
    name="mail.send-now",
    description='Sends "mail" \\ now.\nSecond line: it\'s """final""".',
    schema={
        "type": "object",
        "properties": {
            "to": {"type": "string", "description": "the\naddress"},
            "kind": {"enum": ["a", "b"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "options": {"type": ["object", "null"]},
            "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["to", "kind"],
    },
    output_schema={"type": "object"},
)


def test_names_become_identifiers() -> None:
    names = ["a-b.c/d", "1st", "class", "ärger", "x y", ""]

    assert [identifier(name) for name in names] == [
        "a_b_c_d",
        "_1st",
        "class_",
        "ärger",
        "x_y",
        "_",
    ]
    assert all(identifier(name).isidentifier() for name in names)


def test_names_stay_unique_and_internal_ones_are_taken() -> None:
    tools = [ToolSpec(name=name) for name in ("a-b", "a_b", "a.b", "a-b", "parse_with_ai")]

    bound = bind(tools, ["parse_with_ai"])

    assert [(tool.name, tool.spec.name) for tool in bound] == [
        ("a_b", "a-b"),
        ("a_b_2", "a_b"),
        ("a_b_3", "a.b"),
        ("parse_with_ai_2", "parse_with_ai"),
    ]


def test_a_signature_is_typed_python() -> None:
    text = listing(bind([MAIL]))

    assert text.splitlines()[0] == (
        "def mail_send_now(to: str, kind: Literal['a', 'b'], tags: list[str] = None, "
        "options: dict | None = None, count: int | None = None) -> dict:"
    )
    tree = ast.parse(text)
    assert ast.get_docstring(tree.body[0]) == (  # type: ignore[arg-type]
        "Sends \"mail\" \\ now.\nSecond line: it's '''final'''.\n\nto: the address"
    )


def test_the_demo_model_reads_them() -> None:
    [tool] = known_tools((), listing(bind([MAIL])))

    assert tool.name == "mail_send_now"
    assert tool.description.startswith('Sends "mail"')
    assert [(one.name, one.required) for one in tool.parameters] == [
        ("to", True),
        ("kind", True),
        ("tags", False),
        ("options", False),
        ("count", False),
    ]


def test_no_tools_are_said_to_be_none() -> None:
    assert listing(()) == "(There are no tools.)"


def test_internal_tools_are_no_tools_of_the_demo_model() -> None:
    text = internal_listing(["parse_with_ai", "complete_turn"])

    assert "parse_with_ai(query: str, output_schema: dict) -> dict" in text
    assert known_tools((), text) == []
