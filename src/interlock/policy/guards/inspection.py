"""One walk of the guards over one value: what is found, what is replaced, what stays open."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.policy.guards import files, pii, topics, toxicity, urls
from interlock.policy.guards.fold import fold, looks_like_json
from interlock.policy.guards.model import Action, Denial, GuardHit, TagScore, Undecided
from interlock.policy.guards.spans import Span, View, encodable, replace_literals, rewrite

__all__ = ["TAGS", "TOPIC_GUARDS", "TOXIC_MARKER", "Inspection"]

TAGS = {
    "pii_redaction": "pii",
    "toxicity_filter": "toxicity",
    "healthcare_topic_guardrail": "healthcare",
    "finance_topic_guardrail": "finance",
}
TOPIC_GUARDS = ("healthcare_topic_guardrail", "finance_topic_guardrail")
TOXIC_MARKER = "[BLOCKED: toxicity_filter]"

_GIVES_ADVICE = 0.5
_MAYBE_ADVICE = 0.25
_GREY = 0.5
"""Scores from this share of a threshold up to it are evidence, but not enough."""
_MAX_UNDECIDED = 16
_MAX_UNDECIDED_TEXT = 8_000


@dataclass(slots=True, kw_only=True)
class Inspection:
    """Visits texts (`visit` fits `walk`) and collects findings; one per check."""

    thresholds: Mapping[str, float]
    blockers: frozenset[str]
    answers: Mapping[tuple[str, str], TagScore]
    """What the tagging model said, by guard and path."""
    on_result: bool
    replace_toxic: bool = True
    tags: set[str] = field(default_factory=set)
    denied: Denial | None = None
    _hits: dict[tuple[str, str, str, Action], GuardHit] = field(default_factory=dict)
    _open: list[Undecided] = field(default_factory=list)

    def visit(self, text: str, path: str, name: str, is_key: bool) -> str:
        """The text as it may go on; `is_key` for a member name."""
        if not text:
            return text
        original, text = text, encodable(text)
        toxic = self._judge(text, path)
        if toxic and self.on_result and self.replace_toxic:
            return TOXIC_MARKER
        hint = encodable(name).replace("_", " ").replace("-", " ").lower()
        rewritten = self._rewrite(text, path, hint, is_key)
        return original if rewritten == text else rewritten

    def deny(self, level: str, guard: str, reason: str) -> None:
        """The first denial stands, but a hard one displaces a soft one."""
        if level == "hard" and (self.denied is None or self.denied.level == "soft"):
            self.denied = Denial(level="hard", guard=guard, reason=reason)
        elif self.denied is None:
            self.denied = Denial(level="soft", guard=guard, reason=reason)

    def hits(self) -> tuple[GuardHit, ...]:
        """Findings in the order they were made, one per place, type and action."""
        return tuple(self._hits.values())

    def undecided(self) -> tuple[Undecided, ...]:
        """The most doubtful texts, no more than one request can afford to ask about."""
        return tuple(sorted(self._open, key=lambda one: -one.score)[:_MAX_UNDECIDED])

    # Spans: personal data, URLs, paths

    def _rewrite(self, text: str, path: str, hint: str, is_key: bool) -> str:
        limit = self._pii_limit(path)
        weak: list[float] = []

        def detect(view: View) -> list[Span]:
            found: list[Span] = []
            if "url_blocker" in self.blockers:
                found.extend(urls.find(view))
            if "file_blocker" in self.blockers:
                found.extend(files.find(view))
            doubtful: list[float] = []
            if limit is not None:
                for span in pii.find(view):
                    if span.score >= limit:
                        found.append(span)
                    else:
                        doubtful.append(span.score)
            # Only the round that replaces nothing counts: by then the rest stands alone.
            if found:
                weak.clear()
            else:
                weak.extend(doubtful)
            return found

        if not self.blockers and limit is None:
            return text
        rewritten, spans = rewrite(text, hint, detect)
        self._ask(rewritten, path, max(weak, default=0.0))
        for span in spans:
            blocker = span.guard.endswith("_blocker")
            self._hit(span.guard, path, span.type, span.score, "block" if blocker else "redact")
            if not blocker:
                self.tags.add(TAGS[span.guard])
            elif span.whole and not (is_key or self.on_result):
                what = "a URL" if span.type == "URL" else "a file path"
                self.deny("hard", span.guard, f"argument `{path}` is nothing but {what}")
        answer = self.answers.get(("pii_redaction", path))
        if answer is not None and limit is not None:
            rewritten = self._located(rewritten, path, answer)
        return rewritten

    def _pii_limit(self, path: str) -> float | None:
        """The score from which personal data is redacted here; lower where the model saw some."""
        threshold = self.thresholds.get("pii_redaction")
        answer = self.answers.get(("pii_redaction", path))
        if threshold is None or answer is None or answer.score < threshold:
            return threshold
        return threshold * _GREY

    def _located(self, text: str, path: str, answer: TagScore) -> str:
        """Redacts what the tagging model pointed at."""
        if answer.score < self.thresholds["pii_redaction"]:
            return text
        self.tags.add("pii")
        rewritten = replace_literals(text, answer.spans)
        for _, kind in answer.spans if rewritten != text else ():
            self._hit("pii_redaction", path, kind, answer.score, "redact")
        if not answer.spans:
            self._hit("pii_redaction", path, "PERSONAL", answer.score, "tag")
        return rewritten

    # Whole texts: abuse and topics

    def _judge(self, text: str, path: str) -> bool:
        """Scores the text for every enabled whole-text guard; whether it is abusive."""
        if not any(guard in self.thresholds for guard in (*TOPIC_GUARDS, "toxicity_filter")):
            return False
        view = fold(text, json_escapes=looks_like_json(text)).text
        toxic = self._abusive(view, text, path)
        for guard in TOPIC_GUARDS:
            if guard in self.thresholds:
                self._topic(guard, view, text, path)
        return toxic

    def _abusive(self, view: str, text: str, path: str) -> bool:
        guard = "toxicity_filter"
        threshold = self.thresholds.get(guard)
        if threshold is None:
            return False
        score = toxicity.score(view)
        answer = self.answers.get((guard, path))
        if answer is not None:
            score = max(score, answer.score)
        if score >= threshold and score > 0:
            self.tags.add(TAGS[guard])
            action: Action = "deny"
            if self.on_result:
                action = "replace" if self.replace_toxic else "tag"
            else:
                self.deny("soft", guard, f"argument `{path}` is abusive")
            self._hit(guard, path, "toxicity", score, action)
            return True
        if 0 < score >= threshold * _GREY:
            self._leave(guard, path, text, score)
        return False

    def _topic(self, guard: str, view: str, text: str, path: str) -> None:
        topic = TAGS[guard]
        threshold = self.thresholds[guard]
        found = topics.score(topic, view)
        about, advice = found.topic, found.advice
        answer = self.answers.get((guard, path))
        if answer is not None:
            about, advice = max(about, answer.score), max(advice, answer.advice)
        if about < threshold or about == 0:
            if 0 < about >= threshold * _GREY:
                self._leave(guard, path, text, about)
            return
        self.tags.add(topic)
        self._hit(guard, path, topic, about, "tag")
        if self.on_result:
            return
        if advice >= _GIVES_ADVICE:
            self.deny("soft", guard, f"argument `{path}` gives {topic} advice")
            self._hit(guard, path, f"{topic}_advice", advice, "deny")
        elif advice >= _MAYBE_ADVICE:
            self._leave(guard, path, text, advice)

    def _ask(self, rewritten: str, path: str, weak: float) -> None:
        """Personal data that only a reader would find: names, or numbers below the threshold."""
        threshold = self.thresholds.get("pii_redaction")
        if threshold is None:
            return
        score = max(pii.hints_at_a_person(rewritten), weak)
        if score >= threshold * _GREY and score > 0:
            self._leave("pii_redaction", path, rewritten, score)

    def _hit(self, guard: str, path: str, kind: str, score: float, action: Action) -> None:
        key = (guard, path, kind, action)
        known = self._hits.get(key)
        if known is None or known.score < score:
            self._hits[key] = GuardHit(
                guard=guard, path=path, type=kind, score=round(score, 3), action=action
            )

    def _leave(self, guard: str, path: str, text: str, score: float) -> None:
        """Leaves a text to the tagging model, unless it has already spoken."""
        if (guard, path) not in self.answers:
            self._open.append(
                Undecided(
                    guard=guard, path=path, text=text[:_MAX_UNDECIDED_TEXT], score=round(score, 3)
                )
            )
