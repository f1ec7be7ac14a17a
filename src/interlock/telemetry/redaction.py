"""Keeps secrets out of logs, errors and the audit log.

Two rules: a member whose *name* speaks of a secret is masked whatever it holds,
and a text that *looks* like a known kind of secret loses that part wherever it
stands. Neither is a licence to log secrets; they catch mistakes.
"""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["MASK", "mask_members", "mask_text"]

MASK = "[secret]"

_NAME = re.compile(
    r"(?i)(^|[_\-.])(password|passwd|secret|token|api[_-]?key|apikey|authorization|cookie|"
    r"credentials?|private[_-]?key|secret[_-]?key|bearer|dsn|database_url|redis_url)s?$"
)
_COUNTS = re.compile(r"(?i)(^|_)(input|output|cache_read|cache_write|reasoning|max|total)_tokens?$")
_TEXT = re.compile(
    r"""
    (?P<scheme>\b(?i:bearer|basic)\s+)[A-Za-z0-9._~+/=\-]{8,}
    | \b(?:sq|sk|pk|rk|xai|gsk|ghp|gho|github_pat|glpat|xox[abprs])[-_][A-Za-z0-9_\-]{12,}
    | \bAKIA[0-9A-Z]{16}\b
    | \bAIza[0-9A-Za-z_\-]{30,}
    | \beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*
    | -----BEGIN[A-Z ]*PRIVATE\ KEY-----[^-]*(?:-----END[A-Z ]*PRIVATE\ KEY-----)?
    | (?P<url>\b[a-z][a-z0-9+.\-]{1,30}://[^\s:/@]{0,200}:)[^\s@/]{1,500}(?=@)
    """,
    re.VERBOSE,
)
_DEPTH = 12


def mask_text(text: str) -> str:
    """The text without anything that looks like a key, token or password in a URL."""
    return _TEXT.sub(_masked, text)


def mask_members(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - JSON values
    """A copy of a JSON-like value with secrets masked by name and by look."""
    if isinstance(value, str):
        return mask_text(value)
    if depth >= _DEPTH:
        return MASK if isinstance(value, Mapping | list | tuple) else value
    if isinstance(value, Mapping):
        return {
            name: MASK
            if isinstance(name, str) and member not in (None, "") and _secret(name, member)
            else mask_members(member, depth + 1)
            for name, member in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask_members(member, depth + 1) for member in value]
    return value


def _secret(name: str, member: object) -> bool:
    # `max_tokens: 5` is a count, `token: "..."` is not.
    if isinstance(member, bool | int | float) or _COUNTS.search(name):
        return False
    return _NAME.search(name) is not None


def _masked(found: re.Match[str]) -> str:
    return (found["scheme"] or found["url"] or "") + MASK
