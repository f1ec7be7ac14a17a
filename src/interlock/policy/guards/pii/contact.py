"""E-mail addresses and phone numbers."""

from collections.abc import Iterator
from functools import lru_cache

import re2

from interlock.policy.guards.pii.context import GUARD, cue, words
from interlock.policy.guards.spans import Span, View

__all__ = ["find"]

# Lengths are left to the check: counted repetitions of wide classes cost memory.
_EMAIL = re2.compile(
    r"[A-Za-z0-9_!#$&'*+\-/=?^~.\x{80}-\x{10FFFF}]+@"
    r"(?:[A-Za-z0-9\-\x{80}-\x{10FFFF}]+\.)+[A-Za-z\x{80}-\x{10FFFF}][A-Za-z0-9\-\x{80}-\x"
    r"{10FFFF}]+"
)
_SPOKEN_EMAIL = re2.compile(
    r"(?i)\b([a-z0-9][a-z0-9._+-]{0,63}) +at +([a-z0-9-]{1,63})(?: +dot +([a-z0-9-]{2,24})){1,4}\b"
)
_FILE_ENDINGS_TEXT = "png jpg jpeg gif svg webp ico css js ts json map woff woff2"
_FILE_ENDINGS = frozenset(_FILE_ENDINGS_TEXT.split())
_CHECKED_EMAILS = 2_000
_PHONE = re2.compile(r"(?:\+|\(|\d)[\d\s().\-/]{5,24}\d")
_PHONE_CUE = words(
    "phone|telephone|tel|mobile|cell|cellphone|fax|call|whatsapp|sms|text me|handy|telefon|"
    "téléphone|teléfono|telefono|phone number|contact number|msisdn|reach me"
)
_DATE = re2.compile(
    r"^(?:(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d\d)(?:\D|$)"
)
_CARD_LIKE = re2.compile(r"^\d{4}(?:[ -]\d{4}){2,3}$")
_REGIONS = ("US", "GB", "DE", "FR", "IT", "ES", "NL", "CH", "AT", "AU", "IN", "BR", "JP", "PL")
_CHECKED_PHONES = 500


def find(view: View) -> Iterator[Span]:
    """E-mail addresses and phone numbers of a view."""
    text = view.text
    if "@" in text:
        yield from _emails(text)
    if " at " in text.lower():
        for match in _SPOKEN_EMAIL.finditer(text):
            start, end = match.span()
            yield Span(start, end, "EMAIL", 0.6, GUARD)
    yield from _phones(view)


def _emails(text: str) -> Iterator[Span]:
    for count, match in enumerate(_EMAIL.finditer(text)):
        start, end = match.span()
        address = match.group()
        # Characters that a mailbox may contain but prose puts before one.
        lead = len(address) - len(address.lstrip(".'/=?&#*!"))
        if address[lead : lead + 1] == "@":
            lead = 0
        start += lead
        if count >= _CHECKED_EMAILS:
            yield Span(start, end, "EMAIL", 0.9, GUARD)
            continue
        yield Span(start, end, "EMAIL", _email_score(address[lead:], text[end : end + 2]), GUARD)


@lru_cache(maxsize=2048)
def _email_score(address: str, after: str) -> float:
    # Imported here because it costs memory that a server without this guard should not pay.
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415

    local, _, domain = address.rpartition("@")
    if domain.rpartition(".")[2].lower() in _FILE_ENDINGS:
        return 0.15
    if local == "git" and after[:1] == ":":
        return 0.2
    try:
        validate_email(address, check_deliverability=False)
    except EmailNotValidError as error:
        # Names reserved for tests and local networks are addresses of people all the same.
        return 0.7 if "special-use" in str(error) else 0.35
    return 0.95


def _phones(view: View) -> Iterator[Span]:
    text = view.text
    checked = 0
    for match in _PHONE.finditer(text):
        start, end = match.span()
        for first, last in _numbers(text, start, end):
            score = 0.0
            if checked < _CHECKED_PHONES:
                checked += 1
                score = _phone_score(
                    " ".join(text[first:last].split()), cue(view, first, last, _PHONE_CUE)
                )
            elif sum(char.isdigit() for char in text[first:last]) >= 9:
                # Too many to look up one by one: the shape decides.
                score = 0.5
            if score > 0:
                yield Span(first, last, "PHONE", score, GUARD)


def _numbers(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The stretch itself, cut at line breaks and wide gaps, without touching letters."""
    position = start
    for piece in _GAPS.split(text[start:end]):
        first = text.index(piece, position) if piece else position
        last = first + len(piece)
        position = last
        while last > first and not text[last - 1].isdigit():
            last -= 1
        while first < last and text[first] not in "+(0123456789":
            first += 1
        if text[first:last].startswith("(") and ")" not in text[first:last]:
            first += 1
        if last - first < 7 or (first and text[first - 1] in "+(" and text[first] != "("):
            first -= 1 if first and text[first - 1] in "+(" else 0
        before = text[first - 1] if first else " "
        after = text[last] if last < len(text) else " "
        if last - first >= 7 and not (before.isalnum() or after.isalnum() or before in "@_$€£#%"):
            yield first, last


_GAPS = re2.compile(r"[\n\r\t]+|\s{2,}| - ")


@lru_cache(maxsize=4096)
def _phone_score(number: str, named: bool) -> float:
    digits = "".join(char for char in number if char.isdigit())
    if not 7 <= len(digits) <= 15 or _DATE.search(number) or _CARD_LIKE.search(number):
        return 0.0
    if number.startswith(("+", "00")):
        score = _plan_score("+" + digits.removeprefix("00"), None)
        if score:
            return 0.95 if named else score
    separated = len(digits) < len(number)
    valid_us = len(digits) in {10, 11} and _plan_score(digits, "US") > 0
    if named:
        known = valid_us or any(_plan_score(digits, region) for region in _REGIONS[1:])
        return 0.85 if known else 0.45
    if valid_us:
        return (0.65 if _GROUPED_US.search(number) else 0.4) if separated else 0.3
    national = (
        separated
        and digits[0] == "0"
        and len(digits) >= 9
        and any(_plan_score(digits, region) for region in _REGIONS[1:])
    )
    return 0.5 if national else 0.0


_GROUPED_US = re2.compile(r"^(?:\+?1[ .-]?)?\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}$")


@lru_cache(maxsize=4096)
def _plan_score(number: str, region: str | None) -> float:
    """How well a number fits the numbering plan of its country."""
    # Imported here because its tables take memory; only this guard pays for them.
    import phonenumbers  # noqa: PLC0415

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return 0.0
    if phonenumbers.is_valid_number(parsed):
        return 0.9
    return 0.5 if region is None and phonenumbers.is_possible_number(parsed) else 0.0
