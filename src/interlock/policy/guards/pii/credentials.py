"""Secrets: provider keys, tokens, private keys, passwords in assignments and URLs."""

from collections.abc import Iterator
from math import log2

import re2

from interlock.policy.guards.pii.context import GUARD, alone
from interlock.policy.guards.spans import Span, View

__all__ = ["find"]

_PRIVATE_KEY = re2.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[A-Za-z0-9+/=\s\\:,.()\-]*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"|[A-Za-z0-9+/=\s\\]*)"
)
_JWT = re2.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?")
# Formats that their issuers publish so that scanners can find leaked keys.
_KEY = re2.compile(
    r"\b(?:"
    r"sk-(?:ant-|proj-|or-v1-|svcacct-|admin-)?[A-Za-z0-9_-]{16,200}"
    r"|sq-[A-Za-z0-9_-]{40}"
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,128}|whsec_[A-Za-z0-9+/=]{20,}"
    r"|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{40,255}"
    r"|glpat-[A-Za-z0-9_-]{20,64}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{40,255}"
    r"|(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}"
    r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{20,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|key-[0-9a-f]{32}"
    r"|(?:SK|AC)[0-9a-f]{32}|hf_[A-Za-z0-9]{30,}|r8_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}"
    r"|xai-[A-Za-z0-9]{40,}|pplx-[A-Za-z0-9]{40,}|nvapi-[A-Za-z0-9_-]{40,}"
    r"|dop_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sbp_[0-9a-f]{40}"
    r"|lin_api_[A-Za-z0-9]{40}|ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{50,}|dckr_pat_[A-Za-z0-9_-]{20,}|tskey-[A-Za-z0-9-]{20,}"
    r"|hvs\.[A-Za-z0-9_-]{20,}|EAACEdEose0cBA[A-Za-z0-9]+|\d{8,10}:AA[A-Za-z0-9_-]{33}"
    r")"
)
_WEBHOOK = re2.compile(
    r"https://(?:hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/)[A-Za-z0-9/_-]{20,}"
)
_IN_URL = re2.compile(r"[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>]{0,128}:([^\s/@\"'<>]{1,256})@")
_BEARER = re2.compile(r"(?i)\b(?:bearer|basic|token)\s+([A-Za-z0-9._~+/-]{16,}={0,2})")
_ASSIGNED = re2.compile(
    r"(?i)(?:pass(?:word|wd|phrase)?|pwd|secret|api[_ -]?key|access[_ -]?key|auth[_ -]?token|"
    r"access[_ -]?token|refresh[_ -]?token|client[_ -]?secret|private[_ -]?key|secret[_ -]?key|"
    r"credentials?|kennwort|passwort|mot de passe|contraseña)"
    r"(?:\"|')?\s{0,3}(?:=>?|:=?|\bis\b:?)\s{0,3}"
    r"(?:\"([^\"\s]{4,256})\"|'([^'\s]{4,256})'|([^\s\"',;)\]}<>\[{(]{4,256}))"
)
_SECRET_NAME = re2.compile(
    r"^(?:.* )?(?:password|passwd|passphrase|pwd|secret|api key|apikey|access key|secret key|"
    r"access token|auth token|refresh token|client secret|private key|authorization)$"
)
_TOKEN = re2.compile(r"[A-Za-z0-9+/_=-]{32,256}")
_PLACEHOLDERS_TEXT = (
    "none null true false string required optional changeme example redacted undefined "
    "your password secret token value here this that wrong incorrect invalid missing "
    "expired not the must reset a an"
)
_PLACEHOLDERS = frozenset(_PLACEHOLDERS_TEXT.split())


def find(view: View) -> Iterator[Span]:
    """Keys, tokens and passwords of a view."""
    text = view.text
    if "PRIVATE KEY" in text:
        for match in _PRIVATE_KEY.finditer(text):
            yield _span(match.span(), "PRIVATE_KEY", 0.99)
    for match in _KEY.finditer(text):
        start, end = match.span()
        if alone(text, start, start) or not text[start - 1 : start].isalnum():
            score = 0.95 if _mixed(match.group()) else 0.4
            yield Span(start, end, "API_KEY", score, GUARD)
    for match in _JWT.finditer(text):
        yield _span(match.span(), "TOKEN", 0.95)
    for match in _WEBHOOK.finditer(text):
        yield _span(match.span(), "SECRET", 0.95)
    if "://" in text:
        for match in _IN_URL.finditer(text):
            yield _span(match.span(1), "PASSWORD", 0.9)
    for match in _BEARER.finditer(text):
        if _entropy(match.group(1)) > 3.0 and has_both(match.group(1)):
            yield _span(match.span(1), "TOKEN", 0.8)
    yield from _assigned(text)
    yield from _named(view)
    for match in _TOKEN.finditer(text):
        value = match.group()
        if has_both(value) and _mixed_case(value) and _entropy(value) >= 4.3:
            yield _span(match.span(), "SECRET", 0.35)


def _assigned(text: str) -> Iterator[Span]:
    for match in _ASSIGNED.finditer(text):
        quoted = match.group(3) is None
        group = next(index for index in (1, 2, 3) if match.group(index) is not None)
        value = match.group(group).rstrip(".") or match.group(group)
        start, _ = match.span(group)
        if value.lower().strip("*<>${}%().!?:") in _PLACEHOLDERS or not value.strip("*xX.•_-"):
            continue
        strong = has_both(value) or any(not char.isalnum() for char in value)
        score = 0.75 if quoted or strong else 0.4
        yield Span(start, start + len(value), "SECRET", score, GUARD)


def _named(view: View) -> Iterator[Span]:
    """A JSON member called `password` holds one, whatever it looks like."""
    text = view.text
    if not view.whole or not view.hint or not _SECRET_NAME.search(view.hint):
        return
    bare = text.strip()
    if 4 <= len(bare) <= 512 and len(bare.split()) <= 2 and bare.lower() not in _PLACEHOLDERS:
        start = text.index(bare)
        yield Span(start, start + len(bare), "SECRET", 0.75, GUARD)


def has_both(value: str) -> bool:
    """Whether a value has letters and digits."""
    return any(char.isdigit() for char in value) and any(char.isalpha() for char in value)


def _mixed(key: str) -> bool:
    """Random keys have digits or both cases; `sk-learn-compatible-estimator` has neither."""
    return any(char.isdigit() for char in key) or _mixed_case(key.rsplit("-", maxsplit=1)[-1])


def _mixed_case(value: str) -> bool:
    return any(char.isupper() for char in value) and any(char.islower() for char in value)


def _entropy(value: str) -> float:
    """Bits per character of a short string."""
    size = len(value)
    return -sum((n / size) * log2(n / size) for n in map(value.count, set(value)))


def _span(where: tuple[int, int], kind: str, score: float) -> Span:
    return Span(where[0], where[1], kind, score, GUARD)
