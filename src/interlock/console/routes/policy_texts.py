"""What changed between two texts, and what the parser says about one."""

import difflib
from collections.abc import Sequence

from interlock.gateway.policies.checks import diagnostics
from interlock.gateway.policies.model import Language
from interlock.policy.errors import Diagnostic
from interlock.policy.model import PolicySource

__all__ = ["diff_of", "findings_of"]


def findings_of(text: str, language: Language, name: str) -> Sequence[Diagnostic]:
    """Problems of a text, in the order of its lines."""
    return diagnostics(PolicySource(name=name or "draft", text=text, language=language))


def diff_of(before: str, after: str) -> list[tuple[str, str]]:
    """Lines with what became of them: `same`, `added`, `removed`, `skip`."""
    marks = {"+": "added", "-": "removed", " ": "same", "@": "skip"}
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=3, lineterm="")
    return [
        (marks[line[0]], line[1:] if line[0] != "@" else "…")
        for line in lines
        if line[:3] not in {"+++", "---"} and line[:1] in marks
    ]
