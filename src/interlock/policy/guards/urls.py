r"""URLs in text, also those that avoid looking like one.

Any `scheme://`, web schemes with sloppy slashes (`https:/\\host`), `hxxp`,
protocol-relative references, `www.` names, bare domains and IP addresses with a
path, query or port, and `data:`, `javascript:` and `mailto:` URIs. A bare domain alone
(`example.com`) is not a URL: prose is full of names that look like one.
"""

from collections.abc import Iterator

import re2

from interlock.policy.guards.spans import Span, View

__all__ = ["GUARD", "find"]

GUARD = "url_blocker"

_BODY = r"[^\s<>\"'`{}|^]"
_LETTER = r"A-Za-z0-9\x{80}-\x{10FFFF}"
_HOST = rf"[_{_LETTER}](?:[_.\-{_LETTER}]*[{_LETTER}])?"
_SCHEME = re2.compile(rf"(?i)[a-z][a-z0-9+.\-]{{1,31}}://+{_BODY}+")
_SLOPPY = re2.compile(
    rf"(?i)\b(?:h[tx]{{2}}ps?|ftps?|wss?):[\\/]{{0,8}}(?:\[[0-9a-f:.]+\]|{_BODY}*@)?"
    rf"(?:\[[0-9a-f:.]+\]|{_HOST})?{_BODY}*"
)
_RELATIVE = re2.compile(rf"(?:^|[\s\"'(=,>\[]|url\()([\\/]{{2}}{_HOST}(?::\d{{1,5}})?{_BODY}*)")
_WWW = re2.compile(rf"(?i)\bwww\d?\.{_HOST}{_BODY}*")
_NAMED = re2.compile(
    r"(?i)((?:[a-z0-9_\x{80}-\x{10FFFF}](?:[a-z0-9_\-\x{80}-\x{10FFFF}]*[a-z0-9\x{80}-\x{1"
    r"0FFFF}])?\.)+"
    r"([a-z]{2,24}|xn--[a-z0-9\-]{2,59}))(:\d{1,5})?"
    rf"([/\\?#]{_BODY}*)?"
)
_ADDRESS = re2.compile(
    rf"\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?::\d{{1,5}}(?:[/?#]{_BODY}*)?|[/?#]{_BODY}*)"
)
_LOCAL = re2.compile(rf"(?i)\blocalhost(?::\d{{1,5}}|/){_BODY}*")
_URI = re2.compile(
    rf"(?i)\b(?:data:[a-z0-9.+\-]+/[a-z0-9.+\-]+[;,]{_BODY}*|(?:javascript|vbscript|blob):[^\s]+"
    rf"|mailto:{_BODY}+@{_BODY}+|magnet:\?{_BODY}+)"
)
_NETWORK = re2.compile(r"^\d{1,3}(?:\.\d{1,3}){3}/\d{1,2}$")

_GENERIC_TEXT = (
    "com org net edu gov mil int info biz name pro mobi arpa app dev page web site online "
    "shop store cloud xyz top club tech blog wiki link click live news media email work "
    "works zone world today space website host hosting digital agency studio design "
    "systems software solutions network company group team tools center icu vip fun bar "
    "art bio care cash chat city codes download finance fund games global guru help house "
    "land law life loan market marketing money one photos pics plus press red review run "
    "school science security services social support taxi tips trade video watch win wtf "
    "zip mov onion local internal corp lan home test example localhost invalid google "
    "amazon"
)
_GENERIC = frozenset(_GENERIC_TEXT.split())
_COUNTRIES_TEXT = (
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn "
    "bo br bs bt bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de "
    "dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm "
    "gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo "
    "jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg "
    "mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu "
    "nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg "
    "sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr "
    "tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw"
)
_COUNTRIES = frozenset(_COUNTRIES_TEXT.split())
_CODE_ENDINGS_TEXT = "py rs sh md pl so cc ps"
_CODE_ENDINGS = frozenset(_CODE_ENDINGS_TEXT.split())
"""Country codes that are also endings of source files: `main.py#L3` is no URL."""


def find(view: View) -> Iterator[Span]:
    """The URLs of a view."""
    text = view.text
    if ":" in text:
        for pattern in (_SCHEME, _URI):
            for match in pattern.finditer(text):
                yield _span(text, *match.span())
        for match in _SLOPPY.finditer(text):
            start, end = match.span()
            if _reaches_a_host(match.group()):
                yield _span(text, start, end)
    if "//" in text or "\\\\" in text:
        for match in _RELATIVE.finditer(text):
            start, end = match.span(1)
            if _known_domain(text[start:end].lstrip("/\\")) and text[start : start + 2] != "\\\\":
                yield _span(text, start, end)
    if "." in text:
        yield from _bare(text)
    for match in _LOCAL.finditer(text):
        yield _span(text, *match.span())


def _bare(text: str) -> Iterator[Span]:
    for match in _WWW.finditer(text):
        yield _span(text, *match.span())
    for match in _NAMED.finditer(text):
        start, end = match.span()
        before = text[start - 1] if start else " "
        path, port = match.group(4), match.group(3)
        ending = match.group(2).lower()
        if not (path or port) or not _known_ending(ending):
            continue
        # `a/b.de/c`: the middle of something else.
        if (
            before.isalnum()
            or before in "_-.$\\"
            or (before == "/" and text[start - 2 : start] != "//")
        ):
            continue
        if path is not None and len(path) == 1 and path != "/":
            continue
        if ending in _CODE_ENDINGS and (path is None or path[0] in "#\\" or port is not None):
            continue
        if path is not None and path[0] == "\\" and port is None:
            continue
        yield _span(text, start, end)
    for match in _ADDRESS.finditer(text):
        start, end = match.span()
        before = text[start - 1] if start else " "
        if before.isalnum() or before in "._" or _NETWORK.search(match.group().rstrip(".,;)]")):
            continue
        yield _span(text, start, end)


def _reaches_a_host(found: str) -> bool:
    """`https:example.com` and `hxxp:/x` do; `http: the protocol` and `ws:` do not."""
    scheme, _, rest = found.partition(":")
    slashes = len(rest) - len(rest.lstrip("/\\"))
    host = rest[slashes:]
    if not host or not (host[0].isalnum() or host[0] in "[_"):
        return False
    return slashes >= 1 or _known_domain(host) or "x" in scheme.lower()


def _known_domain(rest: str) -> bool:
    host = rest
    for stop in "/\\?#:":
        host = host.partition(stop)[0]
    host = host.rpartition("@")[2].rstrip(".").lower()
    if host == "localhost" or host.replace(".", "").isdigit():
        return "." in host or host == "localhost"
    return "." in host and _known_ending(host.rpartition(".")[2])


def _known_ending(ending: str) -> bool:
    return (
        ending in _GENERIC
        or ending in _COUNTRIES
        or ending.startswith("xn--")
        or not ending.isascii()
    )


def _span(text: str, start: int, end: int) -> Span:
    """The span without the punctuation of the sentence around it."""
    while end > start + 1 and text[end - 1] in ".,;:!?":
        end -= 1
    for opening, closing in ("()", "[]"):
        if text[end - 1] == closing and text.count(closing, start, end) > text.count(
            opening, start, end
        ):
            end -= 1
    return Span(start, end, "URL", 1.0, GUARD)
