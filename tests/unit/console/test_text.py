"""Hostile text: whatever it is, it is shown and does nothing."""

import re
from collections.abc import Callable
from pathlib import Path

import html5lib
import pytest
from tests.support.hostile import HOSTILE

import interlock.console
from interlock.console.colouring import KEYWORDS, colour_table
from interlock.console.text import Rendered, ansi, finalize, kept, markdown, shown
from interlock.policy.syntax.lexer import tokenize

_ALLOWED = {
    "html",
    "head",
    "body",
    "p",
    "br",
    "hr",
    "em",
    "strong",
    "s",
    "code",
    "pre",
    "ul",
    "ol",
    "li",
    "blockquote",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "a",
    "span",
    "div",
}
_HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\U000e0000-\U000e007f\x00\x1b]")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("render", [shown, ansi, markdown])
def test_hostile_text_makes_no_element_and_no_address_of_its_own(
    text: str, render: Callable[[str], Rendered]
) -> None:
    made = str(render(text))

    tree = html5lib.parseFragment(made, namespaceHTMLElements=False)
    for one in tree.iter():
        if not isinstance(one.tag, str) or one.tag == "DOCUMENT_FRAGMENT":
            continue
        assert one.tag in _ALLOWED
        assert not [name for name in one.attrib if name.startswith("on") or name == "style"]
        assert one.attrib.get("href", "/console/leaving").startswith("/console/leaving")
    assert not _HIDDEN.search(made)


def test_there_are_enough_hostile_texts() -> None:
    assert len(HOSTILE) >= 80


def test_hidden_characters_are_named_everywhere_but_in_fields() -> None:
    assert finalize("a\u202eb") == "a[U+202E]b"
    assert str(shown("a\u202eb")) == 'a<span class="hidden-char">U+202E</span>b'
    assert finalize(kept("a\u202eb")) == "a\u202eb"


def test_an_image_is_named_and_not_loaded() -> None:
    made = str(markdown("![x](https://evil.example/pixel.png?q=secret)"))

    assert "image from evil.example - not loaded" in made
    assert "<img" not in made


def test_html_is_made_in_one_place() -> None:
    folder = Path(interlock.console.__file__).parent
    for file in sorted(folder.rglob("*")):
        text = file.read_text("utf-8") if file.suffix in {".py", ".html", ".js"} else ""
        if file.name != "text.py":
            assert "Rendered(" not in text, file
        assert "|safe" not in text.replace(" ", ""), file
        assert "Markup(" not in text, file
        if file.name != "swap.js":
            assert "innerHTML" not in text, file
        if file.suffix == ".js":
            assert len(text.splitlines()) < 250, file
        if file.suffix == ".html":
            assert not re.search(r"\son[a-z]+=|\sstyle=|<script>(?!<)", text), file


@pytest.mark.parametrize(
    "file",
    sorted((Path(__file__).parents[3] / "src/interlock/policy/shipped").glob("*.sqrt")),
    ids=lambda file: file.name,
)
def test_the_colour_table_cuts_a_policy_as_the_lexer_does(file: Path) -> None:
    import json  # noqa: PLC0415 - read beside its one use

    text = file.read_text("utf-8")
    pattern = re.compile(
        json.loads(colour_table())["pattern"]
        .replace("(?<", "(?P<")
        .replace("(?P<!", "(?<!")
        .replace("[^]", "[\\s\\S]")
    )
    found = [
        (m.lastgroup, m.start())
        for m in pattern.finditer(text)
        if m.lastgroup not in {"space", "comment"}
    ]

    lines = [0]
    for line in text.split("\n"):
        lines.append(lines[-1] + len(line) + 1)
    wanted = [
        lines[token.span.line - 1] + token.span.column - 1
        for token in tokenize(text, "x")
        if token.kind != "end"
    ]
    assert [start for _, start in found] == wanted
    assert KEYWORDS["deny"] == ("deny",)


def test_hidden_characters_written_as_references_in_markdown_are_named() -> None:
    assert "[U+202E]" in str(markdown("a&#x202e;b"))
    assert "[U+FFFE]" in str(markdown("a\ufffeb"))
