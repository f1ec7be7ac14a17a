"""Payment cards, bank accounts and wallets."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import re2

from interlock.policy.guards.pii.context import GUARD, alone, cue, has_digit, words
from interlock.policy.guards.spans import Span, View

__all__ = ["find"]

_DIGITS = re2.compile(r"\d+")
_CARD_CUE = words(
    "card|credit|debit|visa|mastercard|amex|american express|discover|pan|cc|ccn|"
    "card number|karte|kreditkarte|carte|tarjeta"
)
_CVV = re2.compile(r"(?i)\b(?:cvv2?|cvc2?|csc|security code)\W{1,4}(\d{3,4})\b")
_IBAN = re2.compile(r"(?i)\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{1,4}){3,9}")
_ACCOUNT = re2.compile(
    r"(?i)\b(?:account|acct|a/c|routing|aba|sort code|bank account)"
    r"(?: (?:number|no\.?|num))?(?: is|\W){1,4}(\d[\d -]{4,20}\d)"
)
_WALLET = re2.compile(r"\b(?:bc1[a-z0-9]{25,62}|[13][1-9A-HJ-NP-Za-km-z]{25,34}|0x[0-9a-fA-F]{40})")
_LONG_RUN = re2.compile(r"\d(?:[ .-]{0,3}\d){12,18}")
_MAX_GROUPS = 10_000
_SEPARATORS = frozenset({" ", "-", ".", "\u00a0", "  ", " - "})


def find(view: View) -> Iterator[Span]:
    """Card numbers, security codes, IBANs, account numbers, wallets of a view."""
    text = view.text
    if not has_digit(text):
        return
    yield from _cards(view)
    for match in _IBAN.finditer(text):
        yield from _iban(text, *match.span())
    for pattern, kind, score in ((_CVV, "CARD_CODE", 0.8), (_ACCOUNT, "BANK_ACCOUNT", 0.7)):
        for match in pattern.finditer(text):
            start, end = match.span(1)
            yield Span(start, end, kind, score, GUARD)
    for match in _WALLET.finditer(text):
        start, end = match.span()
        if alone(text, start, end) and _wallet(match.group()):
            yield Span(start, end, "CRYPTO_WALLET", 0.75, GUARD)


def _cards(view: View) -> Iterator[Span]:
    """Runs of 13 to 19 digits in groups, whichever groups of a longer run pass the checksum."""
    text = view.text
    groups = [match.span() for match in islice(_DIGITS.finditer(text), _MAX_GROUPS)]
    if len(groups) == _MAX_GROUPS:
        # More numbers than a text has: what follows is judged by its shape alone.
        for match in _LONG_RUN.finditer(text[groups[-1][1] :]):
            start, end = match.span()
            offset = groups[-1][1]
            yield Span(start + offset, end + offset, "CREDIT_CARD", 0.6, GUARD)
    first = 0
    while first < len(groups):
        found = _card_from(text, groups, first)
        if found is None:
            first += 1
            continue
        last, brand = found
        start, end = groups[first][0], groups[last][1]
        first = last + 1
        if not alone(text, start, end, "_"):
            continue
        named = cue(view, start, end, _CARD_CUE)
        yield Span(
            start,
            end,
            "CREDIT_CARD",
            (0.98 if named else 0.92) if brand else (0.6 if named else 0.3),
            GUARD,
        )


def _card_from(text: str, groups: list[tuple[int, int]], first: int) -> tuple[int, bool] | None:
    """The last group of a card number that begins with group `first`, and whether a brand fits."""
    digits = ""
    best: tuple[int, bool] | None = None
    for last in range(first, min(first + 19, len(groups))):
        start, end = groups[last]
        if last > first and text[groups[last - 1][1] : start] not in _SEPARATORS:
            break
        digits += text[start:end]
        if len(digits) > 19:
            break
        if len(digits) >= 13 and _luhn(digits):
            if _branded(digits):
                return last, True
            best = best or (last, False)
    return best


def _luhn(digits: str) -> bool:
    total = 0
    for index, char in enumerate(reversed(digits)):
        value = int(char) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0 and total > 0


def _branded(digits: str) -> bool:
    length, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if digits[0] == "4":
        return length in {13, 16, 19}
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16
    if two in {34, 37}:
        return length == 15
    if two in {36, 38, 39} or 3000 <= four <= 3059:
        return 14 <= length <= 19
    if four == 6011 or two in {64, 65, 62} or 3528 <= four <= 3589:
        return 16 <= length <= 19
    return two in {50, 56, 57, 58, 67, 68, 63} and 16 <= length <= 19


def _iban(text: str, start: int, end: int) -> Iterator[Span]:
    """The longest prefix, cut at a blank or the known length of the country, that checks out."""
    cuts = [index for index in range(start + 15, end) if text[index] in " -"]
    for cut in (end, *reversed(cuts)):
        if alone(text, start, cut) and _iban_valid(text[start:cut]):
            yield Span(start, cut, "IBAN", 0.95, GUARD)
            return


@lru_cache(maxsize=1024)
def _iban_valid(text: str) -> bool:
    # Imported here: a server without this guard does not pay for it.
    from stdnum import iban  # noqa: PLC0415

    return bool(iban.is_valid(text))


@lru_cache(maxsize=1024)
def _wallet(text: str) -> bool:
    if text.startswith("0x"):
        return True
    # Imported here: a server without this guard does not pay for it.
    from stdnum import bitcoin  # noqa: PLC0415

    return bool(bitcoin.is_valid(text))
