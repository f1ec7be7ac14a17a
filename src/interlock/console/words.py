"""Words the pages use for the things of the product: one place, so that they stay the same.

A verdict, a state or an outcome has an icon, a word and a tone here; templates only draw it.
"""

from dataclasses import dataclass

__all__ = ["OUTCOMES", "PROVIDER_STATES", "REASONS", "STATES", "VERDICTS", "Mark", "plural"]


@dataclass(frozen=True, slots=True)
class Mark:
    """How a status is drawn: icon, word, tone (`allow`, `deny`, `ask`, `info`, `quiet`)."""

    icon: str
    word: str
    tone: str


VERDICTS = {
    "hard_denied": Mark("cross-filled", "Hard denied", "deny"),
    "soft_denied": Mark("cross", "Soft denied", "deny"),
    "soft_allowed": Mark("check", "Allowed", "allow"),
    "hard_allowed": Mark("check", "Allowed", "allow"),
}
STATES = {
    "pending": Mark("half", "Waiting for approval", "ask"),
    "allowed": Mark("check", "Allowed", "allow"),
    "denied": Mark("cross-filled", "Denied", "deny"),
    "expired": Mark("slash", "Expired", "quiet"),
    "active": Mark("check", "Active", "allow"),
    "draft": Mark("ring", "Draft", "quiet"),
    "shadow": Mark("dashed", "Shadow", "info"),
    "retired": Mark("slash", "Retired", "quiet"),
    "revoked": Mark("slash", "Revoked", "quiet"),
    "limited": Mark("cross-filled", "Limited", "deny"),
    "free": Mark("check", "Free again", "quiet"),
    "enabled": Mark("check", "Enabled", "allow"),
    "disabled": Mark("slash", "Disabled", "quiet"),
    "invited": Mark("ring", "Invited", "info"),
    "ok": Mark("check", "Up", "allow"),
    "broken": Mark("cross-filled", "Down", "deny"),
    "passed": Mark("check", "Passed", "allow"),
    "failed": Mark("cross-filled", "Failed", "deny"),
    "fired": Mark("dot", "Fired", "deny"),
    "not_fired": Mark("ring", "Did not fire", "quiet"),
    "not_reached": Mark("slash", "Not reached", "quiet"),
}
PROVIDER_STATES = {
    "ready": Mark("check", "Ready", "allow"),
    "callers_key": Mark("key", "With the caller's key", "info"),
    "unset": Mark("ring", "Not set up", "quiet"),
    "disabled": Mark("slash", "Switched off", "quiet"),
}
OUTCOMES = {
    "newly_allowed": Mark("check", "Newly allowed", "ask"),
    "newly_denied": Mark("cross-filled", "Newly denied", "deny"),
    "other_rule": Mark("dot", "Other rule", "info"),
    "same": Mark("check", "Same", "quiet"),
    "unknown": Mark("ring", "Unknown", "quiet"),
}
REASONS = {
    "rule": "a rule decided",
    "allow_list": "the tool has allow rules and none of them holds",
    "default": "no rule matched, the default decided",
    "error": "the call could not be decided, so it was denied",
    "arguments": "the arguments were not a JSON object",
    "guard": "a guard stopped it",
    "pinning": "the definition of the tool has changed",
    "approval": "a person decided",
}


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 call`, `2 calls`, with thousands separators."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
