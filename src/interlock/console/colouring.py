"""The table by which policy texts are coloured, made from the lexer: one source of truth.

The browser's matcher is built from this table; its order is the lexer's. A test compares
both on every policy of the corpus.
"""

import json

from interlock.policy.syntax.lexer import LEXEMES

__all__ = ["KEYWORDS", "colour_table"]

KEYWORDS = {
    "keyword": (
        "let",
        "tool",
        "result",
        "session",
        "before",
        "after",
        "when",
        "always",
        "in",
        "like",
        "matches",
        "overlaps",
        "subset",
        "superset",
        "of",
        "not",
        "and",
        "or",
        "is",
        "true",
        "false",
        "priority",
        "default",
        "if",
        "then",
        "else",
    ),
    "deny": ("deny",),
    "allow": ("allow",),
    "function": (
        "must",
        "should",
        "hard",
        "soft",
        "tags",
        "producers",
        "consumers",
        "value",
        "args",
        "str",
        "int",
        "float",
        "bool",
        "datetime",
    ),
}
_CLASSES = {
    "doc": "doc",
    "comment": "comment",
    "quoted": "string",
    "infinity": "number",
    "number": "number",
}


def _bare(line: str) -> str:
    """A line of the verbose form without the blanks that mean nothing."""
    text = line.strip()
    return "|" + text[1:].lstrip() if text.startswith("|") else text


def colour_table() -> str:
    """JSON: the pattern as ECMAScript writes it, classes of its groups, and words."""
    pattern = "".join(
        _bare(line).replace("(?P<", "(?<").replace("[ \\t\\r\\n\\f\\v]", "\\s")
        for line in LEXEMES.splitlines()
    ).replace("/\\*.*?\\*/", "/\\*[^]*?\\*/")
    return json.dumps(
        {
            "pattern": pattern.replace("(?<space>\\s+)", "(?<space>[ \\t\\r\\n\\f\\v]+)"),
            "classes": _CLASSES,
            "words": KEYWORDS,
        }
    )
