"""One limit on one kind of request, whose requests it counts together, and what it says.

Pure values. Source: conversations.md section 15.4.
"""

from dataclasses import dataclass

from interlock.limits.algorithms import Limit, Verdict
from interlock.limits.model import Scope

__all__ = ["Asker", "Peeked", "RouteSettings", "Rule", "terms", "who_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """What holds where nothing is assigned."""

    enabled: bool = True
    login_per_minute: int = 10
    """Attempts per address."""
    default_rps: float = 50.0
    burst: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who makes a request, as far as it is known."""

    address: str
    user_id: str | None = None
    session_id: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peeked:
    """What a request would be told, and by which limit."""

    place: str
    """Id of the assignment, or `default`, `auth_login`, `conversation.post`."""
    profile: str
    limit: Limit
    scope: Scope
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The limit of a request and the bucket it is counted in."""

    place: str
    profile: str
    limit: Limit
    scope: Scope

    def bucket(self, asker: Asker) -> str:
        """Name of the counter of this asker."""
        return f"{self.place}\0{terms(self.limit)}\0{who_of(self.scope, asker)}"


def terms(limit: Limit) -> str:
    """Part of a bucket's name: under a changed limit everybody begins anew."""
    return f"{limit.algorithm} {limit.amount!r} {limit.period_s!r}"


def who_of(scope: Scope, asker: Asker) -> str:
    """Names whose use is counted; who is not known falls back to the address."""
    address = f"ip:{asker.address}"
    match scope:
        case "global":
            return "all"
        case "ip":
            return address
        case "session":
            return f"session:{asker.session_id}" if asker.session_id else address
        case "conversation" if asker.conversation_id:
            return f"conversation:{asker.conversation_id}"
        case _:
            return f"user:{asker.user_id}" if asker.user_id else address
