"""The template engine and the few filters templates use. Autoescape is always on."""

import json
from datetime import UTC, datetime, tzinfo
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from interlock.console import words
from interlock.console.assets import ASSETS
from interlock.console.look import Look
from interlock.console.text import ansi, cut, finalize, kept, markdown, shown

__all__ = ["ENVIRONMENT", "address", "ago", "duration", "instant", "money", "pretty"]


def instant(at: float | None, zone: tzinfo = UTC) -> str:
    """To the second, with the zone, or `-`."""
    return "-" if at is None else f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S %Z}"


def iso(at: float | None) -> str:
    """As machines read it."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def clock(at: float, zone: tzinfo = UTC) -> str:
    """Hours, minutes and seconds."""
    return f"{datetime.fromtimestamp(at, zone):%H:%M:%S}"


def ago(at: float | None, now: float, zone: tzinfo = UTC) -> str:
    """`4 min ago` up to a day, then the date; `in 3 h` ahead."""
    if at is None:
        return "never"
    seconds = now - at
    if abs(seconds) >= 86_400:
        return f"{datetime.fromtimestamp(at, zone):%d %b %Y}"
    size = duration(abs(seconds), coarse=True)
    return f"{size} ago" if seconds >= 0 else f"in {size}"


def duration(seconds: float | None, *, coarse: bool = False) -> str:
    """`9 µs`, `8.4 s`, `12 min`."""
    if seconds is None:
        return "-"
    if coarse:
        seconds = float(int(seconds))
    if seconds >= 3600:
        return f"{seconds / 3600:.0f} h"
    if seconds >= 60:
        return f"{seconds / 60:.0f} min"
    if seconds >= 1 or coarse:
        return f"{seconds:.0f} s" if coarse else f"{seconds:.1f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} µs"


def money(value: float | None) -> str:
    """US dollars; small amounts with more digits."""
    if value is None:
        return "-"
    return f"{value:,.2f} USD" if value >= 1 or value == 0 else f"{value:.4f} USD"


def pretty(value: object) -> str:
    """Indented JSON; text stays text."""
    return (
        value
        if isinstance(value, str)
        else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    )


def compact(value: object) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def address(path: str, **params: object) -> str:
    """A path with query members; empty ones are left out."""
    found = [(name, str(value)) for name, value in params.items() if value not in (None, "", ())]
    return f"{path}?{urlencode(found)}" if found else path


def _zone(context: Context) -> tzinfo:
    look = context.get("look")
    return look.clock if isinstance(look, Look) else UTC


@pass_context
def _instant_here(context: Context, at: float | None) -> str:
    return instant(at, _zone(context))


@pass_context
def _clock_here(context: Context, at: float) -> str:
    return clock(at, _zone(context))


@pass_context
def _ago_here(context: Context, at: float | None, now: float) -> str:
    return ago(at, now, _zone(context))


def _made() -> Environment:
    found = Environment(
        loader=PackageLoader("interlock.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters.update(
        ago=_ago_here,
        ansi=ansi,
        clock=_clock_here,
        compact=compact,
        cut=cut,
        duration=duration,
        instant=_instant_here,
        iso=iso,
        kept=kept,
        markdown=markdown,
        money=money,
        pretty=pretty,
        shown=shown,
        segment=lambda value: quote(str(value), safe=""),
    )
    found.globals.update(
        address=address,
        asset=ASSETS.url,
        plural=words.plural,
        zip=zip,
        VERDICTS=words.VERDICTS,
        STATES=words.STATES,
        OUTCOMES=words.OUTCOMES,
        PROVIDER_STATES=words.PROVIDER_STATES,
        REASONS=words.REASONS,
    )
    return found


ENVIRONMENT = _made()
