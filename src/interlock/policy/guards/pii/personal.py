"""Passports, licences, birth dates, addresses, device numbers, and hints of names."""

from collections.abc import Iterator

import re2

from interlock.policy.guards.pii.context import GUARD
from interlock.policy.guards.spans import Span, View

__all__ = ["find", "hints_at_a_person"]

_DATE = (
    r"(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ]\d{2,4}"
    r"|\d{1,2}(?:st|nd|rd|th)?\.? (?:of )?[a-zé]{3,9}\.?,? \d{4}|"
    r"[a-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_NUMBER_WORD = r"(?: ?(?:number|no\.?|num|nr\.?|id|#))?(?:\"|')?(?: is|[\s:=#\"']){1,5}"
# (what, how sure, pattern whose group 1 is the value)
_NAMED = tuple(
    (kind, score, re2.compile(rf"(?i){pattern}"))
    for kind, score, pattern in (
        (
            "PASSPORT",
            0.75,
            (
                rf"\b(?:passport|reisepass|passeport|"
                rf"pasaporte){_NUMBER_WORD}([a-z]{{0,2}}\d{{6,9}}[a-z]?|"
                rf"[cfghjk][0-9cfghjklmnprtvwxyz]{{8}})\b"
            ),
        ),
        (
            "DRIVER_LICENSE",
            0.7,
            (
                rf"\b(?:driver'?s?|"
                rf"driving) licen[cs]e{_NUMBER_WORD}([a-z]{{0,5}}[0-9][a-z0-9-]{{4,18}})\b"
            ),
        ),
        (
            "DATE_OF_BIRTH",
            0.7,
            rf"\b(?:born|dob|d\.o\.b\.?|date[ _]of[ _]birth|birth[ _]?date|birthday|geburtsdatum|"
            rf"geboren|né le|née le)"
            rf"(?:\"|')?(?: on| am| is|[\s:=\"']){{1,5}}({_DATE})",
        ),
        (
            "MEDICAL_RECORD",
            0.7,
            (
                rf"\b(?:mrn|medical record|patient id|"
                rf"patient){_NUMBER_WORD}([a-z]{{0,3}}-?\d{{5,12}})\b"
            ),
        ),
        (
            "VEHICLE_ID",
            0.55,
            r"\b(?:vin|vehicle identification(?: number)?)[\s:=#\"']{1,4}([a-hj-npr-z0-9]{17})\b",
        ),
        (
            "DEVICE_ID",
            0.6,
            r"\b(?:imei|meid)(?: number)?[\s:=#\"']{1,4}(\d{2}-?\d{6}-?\d{6}-?\d{1,2})\b",
        ),
        (
            "INSURANCE_ID",
            0.6,
            (
                rf"\b(?:insurance|policy holder|member) (?:id|number|"
                rf"no\.?){_NUMBER_WORD}([a-z]{{0,4}}\d[a-z0-9-]{{5,14}})\b"
            ),
        ),
    )
)
_MRZ = re2.compile(r"\b[PIACV][A-Z<][A-Z<]{3}[A-Z0-9<]{25,39}(?:\s{1,3}[A-Z0-9<]{28,44}){0,2}")
_STREET = re2.compile(
    r"\b\d{1,5}[A-Za-z]? (?:[NSEW]\.? )?(?:[A-Z][A-Za-z'.\x{c0}-\x{24f}-]+ )+"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|"
    r"Terrace|Place|Pl|Way|Parkway|Pkwy|Highway|Hwy|Close|Crescent)\b\.?"
    r"(?:,? (?:Apt|Suite|Unit|Floor|#)\.? ?[A-Za-z0-9-]{1,6})?"
)
_STREET_EUROPE = re2.compile(
    r"[A-ZÄÖÜ][A-Za-z\x{c0}-\x{24f}-]+(?:straße|strasse|str\.|weg|platz|allee|gasse|straat|laan)"
    r" \d{1,4} ?[a-z]?\b(?:, \d{4,5} [A-ZÄÖÜ][A-Za-z\x{c0}-\x{24f}-]+)?"
)
_FULL_NAME_CUE = re2.compile(
    r"(?:(?i:\b(?:my name is|name is called|full name|patient name|customer name|first name|"
    r"last name|surname|mr\.?|mrs\.?|ms\.?|dr\.?|herr|frau|signed,?|regards,?|sincerely,?))"
    r"[\s:=\"']{1,4}\p{Lu}\p{Ll}+)"
)
_LIVES = re2.compile(
    r"(?i)\b(?:lives? (?:at|in)|home address|resides? (?:at|in)|years? old|nationality|"
    r"religion|ethnicity|sexual orientation|diagnosed with|next of kin|maiden name)\b"
)


def find(view: View) -> Iterator[Span]:
    """Personal data that words around it identify."""
    text = view.text
    for kind, score, pattern in _NAMED:
        for match in pattern.finditer(text):
            start, end = match.span(1)
            if any(char.isdigit() for char in text[start:end]):
                yield Span(start, end, kind, score, GUARD)
    if "<<" in text:
        for match in _MRZ.finditer(text):
            start, end = match.span()
            if "<<" in match.group():
                yield Span(start, end, "PASSPORT", 0.9, GUARD)
    for pattern in (_STREET, _STREET_EUROPE):
        for match in pattern.finditer(text):
            start, end = match.span()
            yield Span(start, end, "ADDRESS", 0.6, GUARD)


def hints_at_a_person(text: str) -> float:
    """Evidence (0, or 0.25 to 0.4) of personal data that no rule can locate, such as names."""
    names = _FULL_NAME_CUE.search(text) is not None
    facts = _LIVES.search(text) is not None
    return 0.4 if names and facts else 0.3 if names else 0.25 if facts else 0.0
