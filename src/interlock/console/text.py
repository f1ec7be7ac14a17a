"""Text from outside, made harmless and readable. The only maker of HTML besides templates.

`finalize` runs on every expression of every template: characters that hide or reorder text
are replaced by their code points. `shown` draws them as chips, `ansi` keeps colours of a
terminal, `markdown` renders what models write: raw HTML off, images never loaded, links
through a page that shows the whole address.

Source: console.md section 10.4.
"""

import html
import re
from collections.abc import MutableMapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

__all__ = [
    "DETAIL_CHARS",
    "LIST_CHARS",
    "Kept",
    "Rendered",
    "ansi",
    "cut",
    "finalize",
    "host_problem",
    "kept",
    "markdown",
    "shown",
    "tinted",
]

LIST_CHARS = 200
DETAIL_CHARS = 64 * 1024
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e0fff\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_UNFIT = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(0x10000 * plane + 0xFFFE)}{chr(0x10000 * plane + 0xFFFF)}" for plane in range(17)
    )
    + "]"
)
"""Characters no HTML document may contain."""
_ANSI = re.compile(r"\x1b\[([0-9;]{0,32})m")
_ANSI_OTHER = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_TAGS = {
    "p",
    "br",
    "hr",
    "em",
    "strong",
    "s",
    "code",
    "pre",
    "blockquote",
    "ul",
    "ol",
    "li",
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
_ATTRIBUTES = {
    "a": {"href", "class"},
    "span": {"class"},
    "div": {"class"},
    "code": {"class"},
    "ol": {"start"},
}
_LEAVING = "/console/leaving?to="


class Rendered:
    """HTML that may stand in a page as it is. Made here alone."""

    __slots__ = ("_html",)

    def __init__(self, made: str) -> None:
        self._html = made

    def __html__(self) -> str:
        """What the template engine takes as it is."""
        return self._html

    def __str__(self) -> str:
        return self._html


class Kept(str):
    """Text that must reach the browser unchanged: the value of a form field."""

    __slots__ = ()


def kept(value: object) -> Kept:
    """For values of form fields: escaped; only what HTML cannot carry at all is replaced."""
    return Kept(_UNFIT.sub("\ufffd", "" if value is None else str(value)))


def finalize(value: object) -> object:
    """Makes hidden characters of any text visible, as `[U+202E]`."""
    if type(value) is not str:
        return "" if value is None else value
    return _HIDDEN.sub(_named, value) if _HIDDEN.search(value) else value


def shown(value: object, limit: int = DETAIL_CHARS) -> Rendered:
    """Text with chips for hidden characters, cut at `limit` characters."""
    text = "" if value is None else str(value)
    rest = len(text) - limit
    text = text[:limit] if rest > 0 else text
    made = _chips(text)
    if rest > 0:
        made += f'<span class="cut">… {rest:,} more characters</span>'
    return Rendered(made)


def cut(value: object, limit: int = LIST_CHARS) -> str:
    """One line of at most `limit` characters."""
    text = " ".join(("" if value is None else str(value)).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def ansi(value: object, limit: int = DETAIL_CHARS) -> Rendered:
    """Text of a terminal: colours stay, every other control is dropped or drawn."""
    text = str(value)[:limit]
    parts: list[str] = []
    style = ""
    last = 0
    for match in _ANSI.finditer(text):
        parts.append(_styled(text[last : match.start()], style))
        last = match.end()
        style = _style(match[1], style)
    parts.append(_styled(text[last:], style))
    return Rendered("".join(parts))


def markdown(value: object, limit: int = DETAIL_CHARS) -> Rendered:
    """Markdown of a model or a document."""
    text = _HIDDEN.sub(_named, str(value)[:limit])
    made = nh3.clean(
        _MARKDOWN.render(text),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        link_rel="noopener noreferrer nofollow",
        url_schemes=set(),
        clean_content_tags={"script", "style"},
    )
    # Character references (`&#x202e;`) are hidden characters only now.
    return Rendered(_HIDDEN.sub(_named, made))


def tinted(code: str, language: str) -> Rendered:
    """Source text with the classes of a colour theme; unknown languages stay plain."""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return Rendered(_chips(code))
    clean = _HIDDEN.sub(_named, code)
    return Rendered(highlight(clean, lexer, HtmlFormatter(nowrap=True, classprefix="tok-")))


def host_problem(url: str) -> str | None:
    """Why a host name may not be what it looks like; None: nothing found."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return "the address cannot be read"
    if host.startswith("xn--") or ".xn--" in host:
        return "the host name is written in another alphabet"
    if not host.isascii():
        return "the host name mixes letters that look alike"
    return "user names stand before the host" if "@" in urlsplit(url).netloc else None


def _named(match: re.Match[str]) -> str:
    return f"[U+{ord(match[0]):04X}]"


def _chips(text: str) -> str:
    parts: list[str] = []
    last = 0
    for match in _HIDDEN.finditer(text):
        parts.append(html.escape(text[last : match.start()]))
        parts.append(f'<span class="hidden-char">U+{ord(match[0]):04X}</span>')
        last = match.end()
    parts.append(html.escape(text[last:]))
    return "".join(parts)


def _style(codes: str, before: str) -> str:
    numbers = [int(code) for code in codes.split(";") if code] or [0]
    style = before
    for number in numbers:
        if number in {0, 39}:
            style = ""
        elif 30 <= number <= 37:
            style = f"ansi-{_COLOURS[number - 30]}"
        elif 90 <= number <= 97:
            style = f"ansi-{_COLOURS[number - 90]}"
    return style


def _styled(text: str, style: str) -> str:
    made = _chips(_ANSI_OTHER.sub("", text))
    return f'<span class="{style}">{made}</span>' if style and made else made


def _image(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    del self, options, env
    source = str(tokens[index].attrs.get("src", ""))
    try:
        host = urlsplit(source).hostname or "an address without a host"
    except ValueError:
        host = "an address that cannot be read"
    return f'<span class="not-loaded">image from {html.escape(host)} - not loaded</span>'


def _link_open(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    del self, options
    target = str(tokens[index].attrs.get("href", ""))
    if not target.startswith(("https://", "http://", "mailto:")):
        env.setdefault("closing", []).append(f" ({html.escape(target[:200])})")
        return '<span class="no-link">'
    try:
        host = urlsplit(target).hostname or target
    except ValueError:
        host = target[:100]
    env.setdefault("closing", []).append(f' <span class="host">{html.escape(host)}</span>')
    return f'<a class="outside" href="{_LEAVING}{quote(target, safe="")}">'


def _link_close(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    del self, tokens, index, options
    note = env.setdefault("closing", [""]).pop()
    return f"{note}</span>" if note.startswith(" (") else f"</a>{note}"


def _fence(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    del self, options, env
    token = tokens[index]
    words = (token.info or "").split()
    return f"<pre><code>{tinted(token.content, words[0] if words else '')}</code></pre>"


def _made() -> MarkdownIt:
    found = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
    found.add_render_rule("image", _image)
    found.add_render_rule("link_open", _link_open)
    found.add_render_rule("link_close", _link_close)
    found.add_render_rule("fence", _fence)
    return found


_MARKDOWN = _made()
