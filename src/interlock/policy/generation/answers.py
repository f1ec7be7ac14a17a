"""The code in a model's answer.

Models wrap code in fences, talk around it, split it into several blocks, stop half-way
or answer a JSON object although nobody asked for one. What is found here is only a
text: whether it is a policy is decided by compiling it.
"""

import json
import re

__all__ = ["MAX_ANSWER_CHARS", "code_of", "notes_of"]

MAX_ANSWER_CHARS = 100_000
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*")
_OURS = frozenset({"sqrt", "sqrt-lite"})
_DECLARATION = re.compile(r"(?m)^\s*(?:tool\s*(?:r?\")|let\s+\w)")
_NOTES = 20
_NOTE_CHARS = 300


def code_of(answer: str) -> str:
    """The policy text in an answer: blocks marked as SQRT, else other blocks, else all of it."""
    answer = answer[: MAX_ANSWER_CHARS + 1].replace("\r\n", "\n")
    blocks = _blocks(answer)
    ours = [text for language, text in blocks if language in _OURS]
    if ours:
        return "\n".join(ours)
    others = [text for _, text in blocks]
    likely = [text for text in others if _DECLARATION.search(text)]
    if likely or others:
        return "\n".join(likely or others)
    return _from_object(answer) or answer.strip()


def _blocks(answer: str) -> list[tuple[str, str]]:
    """Fenced blocks with their language; one that is not closed goes to the end."""
    found: list[tuple[str, str]] = []
    fence, language, lines = "", "", list[str]()
    for line in answer.split("\n"):
        mark = _FENCE.fullmatch(line)
        if not fence:
            if mark is not None:
                fence, language, lines = mark[1], mark[2].lower(), []
        elif mark is not None and mark[1].startswith(fence) and not mark[2]:
            found.append((language, "\n".join(lines)))
            fence = ""
        else:
            lines.append(line)
    if fence:
        found.append((language, "\n".join(lines)))
    return found


def _from_object(answer: str) -> str | None:
    """The only string of a JSON object, if that is what the answer is."""
    if not answer.lstrip().startswith("{"):
        return None
    try:
        tree = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    texts = [value for value in tree.values() if isinstance(value, str)]
    if len(texts) != 1:
        return None
    inner = _blocks(texts[0])
    return "\n".join(text for _, text in inner) if inner else str(texts[0])


def notes_of(code: str) -> list[str]:
    """The `// ...` lines before the first declaration: what the writer has to say about it all."""
    notes: list[str] = []
    for line in code.split("\n"):
        text = line.strip()
        if not text:
            continue
        if not text.startswith("//") or text.startswith("///") or len(notes) == _NOTES:
            break
        note = "".join(char if char.isprintable() else " " for char in text[:_NOTE_CHARS])
        notes.append(note.rstrip())
    return notes
