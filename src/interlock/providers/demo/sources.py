"""Where the demo model takes schema values from: a text it reads, or fixed verdicts.

`TextSource` is the quarantined model: it looks for values by type and by the name of
the member (`amount: 12`). `VerdictSource` is every judging role.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import re2

from interlock.providers.demo.schema import matches

__all__ = ["TextSource", "VerdictSource", "first_sentence", "words"]

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_URL = re.compile(r"https?://[^\s<>\"')\]]+")
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?\b")
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:,\d{3})*(?:\.\d{1,10})?(?![\w])")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_IP = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_PHONE = re.compile(r"\+?\d[\d ()/-]{6,18}\d")
_YES = re.compile(r"\b(?:yes|true|correct|approved|confirmed|agreed|ok)\b", re.IGNORECASE)
_NO = re.compile(r"\b(?:no|not|false|denied|rejected|never|wrong|incorrect)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\s|$)|\.(?=\S)[^.!?\n]*)*[.!?]?")
_WORD = re.compile(r"[^\W_]+")
_STOP_WORDS = frozenset({"the", "and", "for", "with", "from", "this", "that", "call", "please"})

_BY_FORMAT: Mapping[str, tuple[re.Pattern[str], str]] = {
    "email": (_EMAIL, "nobody@example.com"),
    "uri": (_URL, "https://example.com/"),
    "url": (_URL, "https://example.com/"),
    "date": (_DATE, "1970-01-01"),
    "date-time": (_STAMP, "1970-01-01T00:00:00Z"),
    "time": (_TIME, "00:00:00Z"),
    "uuid": (_UUID, "00000000-0000-0000-0000-000000000000"),
    "ipv4": (_IP, "192.0.2.1"),
    "phone": (_PHONE, ""),
}
_BY_NAME = (
    (("email", "mail", "recipient", "sender"), "email"),
    (("url", "uri", "link", "website", "href"), "url"),
    (("date", "day", "deadline", "due", "birthday"), "date"),
    (("timestamp", "datetime"), "date-time"),
    (("phone", "mobile", "telephone"), "phone"),
)


def words(text: str) -> set[str]:
    """Lower-case words of three letters or more that mean something."""
    split = re.sub(r"([a-z])([A-Z])", r"\1 \2", text)
    return {w for w in _WORD.findall(split.lower()) if len(w) > 2 and w not in _STOP_WORDS}


def first_sentence(text: str) -> str:
    """The first sentence that has a letter or digit, or the empty string."""
    for match in _SENTENCE.finditer(text):
        if any(char.isalnum() for char in match.group()):
            return match.group().strip()
    return ""


class TextSource:
    """Values found in a text; consecutive members take consecutive values of their type."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._taken: dict[str, int] = {}

    def string(self, key: str, schema: Mapping[str, Any]) -> str:
        """By `pattern`, by format or name, by label, else the first sentence."""
        labelled = self._labelled(key)
        where = labelled or self._text
        if "pattern" in schema:
            found = matches(schema["pattern"], where) or matches(schema["pattern"], self._text)
            if found is not None:
                return found
        kind = self._string_kind(key, schema)
        if kind is None:
            return (labelled or first_sentence(self._text)).strip()
        pattern, fallback = _BY_FORMAT[kind]
        match = pattern.search(where) if labelled else None
        found = match.group() if match else self._next(kind, pattern)
        if found is None:
            return fallback if "format" in schema else (labelled or first_sentence(self._text))
        return _normal(found, kind) if "format" in schema else found

    def number(self, key: str, schema: Mapping[str, Any]) -> float:
        """The number behind the member's name, else the next one of the text, else 0."""
        del schema
        labelled = _NUMBER.search(self._labelled(key))
        found = labelled.group() if labelled else self._next("number", _NUMBER)
        return float(found.replace(",", "")) if found else 0.0

    def boolean(self, key: str) -> bool:
        """What the label says, or the text; when neither says anything: whether there is a text."""
        where = self._labelled(key) or self._text
        if key == "have_enough_info":
            return bool(self._text.strip())
        yes, no = _YES.search(where), _NO.search(where)
        if yes and no:
            return yes.start() < no.start()
        return no is None

    def choose(self, key: str, members: Sequence[object]) -> object:
        """The member that stands first behind the label, or in the text; else the first."""
        for where in (self._labelled(key), self._text):
            places = [(_place(member, where), index) for index, member in enumerate(members)]
            known = [place for place in places if place[0] >= 0]
            if known:
                return members[min(known)[1]]
        return members[0]

    def items(self, key: str, schema: Mapping[str, Any]) -> list[Any] | None:
        """Everything of the type that the text has."""
        if isinstance(schema.get("enum"), list):
            known = words(self._text)
            return [
                member
                for member in schema["enum"]
                if _place(member, self._text) >= 0 or words(str(member)) & known
            ]
        if schema.get("type") in {"number", "integer"}:
            numbers = [float(one.replace(",", "")) for one in _NUMBER.findall(self._text)]
            whole = schema["type"] == "integer"
            return [int(one) if whole or one.is_integer() else one for one in numbers]
        if schema.get("type") == "string":
            kind = self._string_kind(key.rstrip("s"), schema)
            if kind is not None:
                return [_normal(one, kind) for one in _BY_FORMAT[kind][0].findall(self._text)]
            labelled = self._labelled(key)
            if labelled:
                return [one.strip() for one in re.split(r",| and ", labelled) if one.strip()]
            return [first_sentence(self._text)] if first_sentence(self._text) else []
        return None

    def _string_kind(self, key: str, schema: Mapping[str, Any]) -> str | None:
        declared = schema.get("format")
        if declared in _BY_FORMAT:
            return str(declared)
        named = words(key.replace("_", " ")) | {key.lower()}
        return next((kind for names, kind in _BY_NAME if named & set(names)), None)

    def _labelled(self, key: str) -> str:
        """What stands behind `key:` in the text, to the end of its line."""
        parts = [re2.escape(part) for part in re.split(r"[_\-\s]+", key) if part]
        if not parts:
            return ""
        label = r"[ _-]?".join(parts)
        found = re2.search(
            rf"(?i)(?:^|[^\w])[\"']?{label}[\"']?\s*(?:is|:|=)\s*([^\n]+)", self._text
        )
        return str(found.group(1)).split('", "')[0].strip().strip("\",'") if found else ""

    def _next(self, kind: str, pattern: re.Pattern[str]) -> str | None:
        found = [match.group() for match in pattern.finditer(self._text)]
        if not found:
            return None
        index = self._taken.get(kind, 0)
        self._taken[kind] = index + 1
        return found[min(index, len(found) - 1)]


class VerdictSource:
    """Fixed answers of a judging role: what to say, to score, to decide."""

    def __init__(self, *, text: str, truth: bool, low: bool, about: str) -> None:
        self._text = text
        self._truth = truth
        self._low = low
        self._about = words(about)

    def string(self, key: str, schema: Mapping[str, Any]) -> str:
        """The template's sentence, or a placeholder of the asked-for format."""
        del key
        if "pattern" in schema and (found := matches(schema["pattern"], self._text)) is not None:
            return found
        kind = schema.get("format")
        return _BY_FORMAT[kind][1] if isinstance(kind, str) and kind in _BY_FORMAT else self._text

    def number(self, key: str, schema: Mapping[str, Any]) -> float:
        """The best of the range, or the lowest for roles that look for something bad."""
        del key
        if self._low:
            return 0.0
        highest = schema.get("maximum", 1)
        return float(highest) if isinstance(highest, (int, float)) else 1.0

    def boolean(self, key: str) -> bool:
        """The template's decision."""
        del key
        return self._truth

    def choose(self, key: str, members: Sequence[object]) -> object:
        """The first member."""
        del key
        return members[0]

    def items(self, key: str, schema: Mapping[str, Any]) -> list[Any] | None:
        """Enumerated members that share a word with the request; otherwise nothing."""
        del key
        if isinstance(schema.get("enum"), list):
            return [one for one in schema["enum"] if words(str(one)) & self._about]
        return []


def _normal(found: str, kind: str) -> str:
    """The value as its format wants it."""
    if kind != "date-time":
        return found
    stamp = re.sub(r"T(\d{2}:\d{2})(?!:)", r"T\1:00", found.replace(" ", "T"))
    return stamp if re.search(r"(?:Z|[+-]\d{2}:?\d{2})$", stamp) else stamp + "Z"


def _place(member: object, text: str) -> int:
    """Where an enumerated value is named in a text; -1 when it is not."""
    if not isinstance(member, (str, int, float)) or member == "":
        return -1
    name = re2.escape(str(member))
    found = re2.search(rf"(?i)(?:^|[^\w]){name}(?:$|[^\w])", text)
    return int(found.start()) if found else -1
