"""National identification numbers: shape, checksum (python-stdnum), and words that name them."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from interlock.policy.guards.pii.context import GUARD, Pattern, alone, cue, has_digit, words
from interlock.policy.guards.spans import Span, View

__all__ = ["find"]


@dataclass(frozen=True, slots=True)
class _Scheme:
    """A number scheme. `score` holds where only shape and checksum speak, `named` with a cue."""

    type: str
    pattern: Any
    validator: str | None
    score: float
    named: float
    cue: Pattern


def _scheme(
    kind: str, pattern: str, validator: str | None, scores: tuple[float, float], cues: str
) -> _Scheme:
    return _Scheme(kind, re2.compile(f"(?i){pattern}"), validator, *scores, words(cues))


_ID = "id|id number|national id|identity|identification|tax id|tin|personal number"
_SCHEMES = (
    _scheme("SSN", r"\d{3}-\d{2}-\d{4}", "us.ssn", (0.85, 0.95), "ssn|social security|social"),
    _scheme(
        "SSN",
        r"\d{3} ?\d{2} ?\d{4}",
        "us.ssn",
        (0.15, 0.85),
        "ssn|ss#|social security|social security number",
    ),
    _scheme("TAX_ID", r"9\d{2}-[5-9]\d-\d{4}", "us.itin", (0.8, 0.95), "itin|tax|" + _ID),
    _scheme("TAX_ID", r"\d{2}-\d{7}", "us.ein", (0.3, 0.8), "ein|employer|tax|fein|" + _ID),
    _scheme(
        "NATIONAL_ID",
        r"[abceghj-prstw-z][abceghj-nprstw-z] ?\d{2} ?\d{2} ?\d{2} ?[a-d]",
        None,
        (0.7, 0.9),
        "nino|ni number|national insurance|insurance",
    ),
    _scheme("NATIONAL_ID", r"\d{3}[ -]\d{3}[ -]\d{4}", "gb.nhs", (0.3, 0.85), "nhs|patient"),
    _scheme("NATIONAL_ID", r"\d{10}", "gb.nhs", (0.1, 0.85), "nhs|nhs number"),
    _scheme(
        "NATIONAL_ID",
        r"[a-z]{6}\d{2}[a-ehlmprst]\d{2}[a-z]\d{3}[a-z]",
        "it.codicefiscale",
        (0.9, 0.95),
        "codice fiscale|cf|" + _ID,
    ),
    _scheme("NATIONAL_ID", r"\d{8}-?[a-z]", "es.dni", (0.7, 0.95), "dni|nif|" + _ID),
    _scheme("NATIONAL_ID", r"[xyz]-?\d{7}-?[a-z]", "es.nie", (0.75, 0.95), "nie|" + _ID),
    _scheme(
        "NATIONAL_ID",
        r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[ab]) ?\d{3} ?\d{3} ?\d{2}",
        "fr.nir",
        (0.8, 0.95),
        "nir|insee|sécurité sociale|securite sociale|" + _ID,
    ),
    _scheme("TAX_ID", r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf", (0.9, 0.95), "cpf|" + _ID),
    _scheme("TAX_ID", r"\d{11}", "br.cpf", (0.3, 0.85), "cpf"),
    _scheme(
        "TAX_ID",
        r"\d{2} ?\d{3} ?\d{3} ?\d{3}",
        "de.idnr",
        (0.4, 0.85),
        "steuer|steuer id|steueridentifikationsnummer|idnr|" + _ID,
    ),
    _scheme("NATIONAL_ID", r"\d{11}", "pl.pesel", (0.45, 0.9), "pesel|" + _ID),
    _scheme("NATIONAL_ID", r"\d{9}", "nl.bsn", (0.2, 0.85), "bsn|burgerservicenummer|sofi|" + _ID),
    _scheme(
        "NATIONAL_ID",
        r"(?:\d{2})?\d{6}[-+]\d{4}",
        "se.personnummer",
        (0.75, 0.95),
        "personnummer|pnr|" + _ID,
    ),
    _scheme(
        "NATIONAL_ID",
        r"\d{6}[-+a]\d{3}[0-9a-y]",
        "fi.hetu",
        (0.85, 0.95),
        "hetu|henkilötunnus|" + _ID,
    ),
    _scheme("NATIONAL_ID", r"\d{6}-\d{4}", "dk.cpr", (0.6, 0.9), "cpr|" + _ID),
    _scheme(
        "NATIONAL_ID",
        r"\d{6} ?\d{5}",
        "no.fodselsnummer",
        (0.55, 0.9),
        "fødselsnummer|fodselsnummer|" + _ID,
    ),
    _scheme(
        "NATIONAL_ID",
        r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}",
        "be.nn",
        (0.9, 0.95),
        "rijksregister|registre national|" + _ID,
    ),
    _scheme("NATIONAL_ID", r"756\.?\d{4}\.?\d{4}\.?\d{2}", "ch.ssn", (0.9, 0.95), "ahv|avs|" + _ID),
    _scheme(
        "NATIONAL_ID",
        r"[2-9]\d{3}[ -]\d{4}[ -]\d{4}",
        "in_.aadhaar",
        (0.75, 0.95),
        "aadhaar|aadhar|uid|" + _ID,
    ),
    _scheme("NATIONAL_ID", r"[2-9]\d{11}", "in_.aadhaar", (0.3, 0.9), "aadhaar|aadhar|uidai"),
    _scheme(
        "TAX_ID",
        r"[a-z]{3}[abcfghljpt][a-z]\d{4}[a-z]",
        "in_.pan",
        (0.65, 0.95),
        "pan|pan card|income tax|" + _ID,
    ),
    _scheme(
        "NATIONAL_ID",
        r"\d{3}[ -]\d{3}[ -]\d{3}",
        "ca.sin",
        (0.55, 0.9),
        "sin|social insurance|" + _ID,
    ),
    _scheme(
        "TAX_ID", r"\d{3} ?\d{3} ?\d{3}", "au.tfn", (0.15, 0.85), "tfn|tax file|tax file number"
    ),
    _scheme("NATIONAL_ID", r"\d{17}[\dx]", "cn.ric", (0.9, 0.95), "身份证|" + _ID),
    _scheme("NATIONAL_ID", r"\d{6}-[1-8]\d{6}", "kr.rrn", (0.85, 0.95), "rrn|주민등록번호|" + _ID),
    _scheme("NATIONAL_ID", r"\d{6} ?\d{4} ?\d{3}", "za.idnr", (0.6, 0.9), "id|sa id|" + _ID),
    _scheme(
        "NATIONAL_ID", r"[a-z]{4}\d{6}[hm][a-z]{5}[0-9a-z]\d", "mx.curp", (0.9, 0.95), "curp|" + _ID
    ),
    _scheme(
        "NATIONAL_ID", r"\d{1,2}\.\d{3}\.\d{3}-[\dk]", "cl.rut", (0.85, 0.95), "rut|run|" + _ID
    ),
    _scheme(
        "NATIONAL_ID", r"[1-9]\d{10}", "tr.tckimlik", (0.45, 0.9), "tc kimlik|kimlik|tckn|" + _ID
    ),
    _scheme("NATIONAL_ID", r"\d{9}", "il.idnr", (0.15, 0.8), "teudat zehut|israeli id"),
    _scheme("NATIONAL_ID", r"[1-9]\d{12}", "ro.cnp", (0.6, 0.9), "cnp|" + _ID),
    _scheme("NATIONAL_ID", r"\d{6}/\d{3,4}", "cz.rc", (0.65, 0.9), "rodné číslo|rc|" + _ID),
    _scheme("NATIONAL_ID", r"\d{10}", "bg.egn", (0.2, 0.85), "egn|егн"),
    _scheme("NATIONAL_ID", r"[1-6]\d{10}", "ee.ik", (0.4, 0.9), "isikukood|asmens kodas|" + _ID),
    _scheme("TAX_ID", r"\d{11}", "hr.oib", (0.3, 0.85), "oib"),
    _scheme("TAX_ID", r"[125689]\d{8}", "pt.nif", (0.15, 0.8), "nif|contribuinte"),
    _scheme("NATIONAL_ID", r"\d{7}[a-w][a-iw]?", "ie.pps", (0.65, 0.9), "pps|ppsn|" + _ID),
)


def find(view: View) -> Iterator[Span]:
    """National and tax numbers of a view whose checksum is right."""
    text = view.text
    if not has_digit(text):
        return
    for scheme in _SCHEMES:
        for match in scheme.pattern.finditer(text):
            start, end = match.span()
            if not alone(text, start, end, "-_."):
                # A sentence may end behind a number.
                if text[end : end + 1] != "." or text[end + 1 : end + 2].strip():
                    continue
                if not alone(text[:end], start, end, "-_."):
                    continue
            if scheme.validator is not None and not _valid(scheme.validator, match.group()):
                continue
            named = cue(view, start, end, scheme.cue)
            yield Span(start, end, scheme.type, scheme.named if named else scheme.score, GUARD)


@lru_cache(maxsize=4096)
def _valid(scheme: str, number: str) -> bool:
    # Imported by name and late: there are forty modules, and most servers need few.
    module = importlib.import_module(f"stdnum.{scheme}")
    return bool(module.is_valid(number))
