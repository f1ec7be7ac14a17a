"""What the policy store keeps, and which texts bind a caller. Frozen values, no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from interlock.policy.model import PolicySource

__all__ = [
    "SERVER",
    "Binding",
    "Language",
    "Policy",
    "PolicySet",
    "PolicySummary",
    "State",
    "StoredTest",
    "TargetKind",
    "Version",
    "source_of",
]

Language = Literal["sqrt", "cedar"]
State = Literal["draft", "shadow", "active", "retired"]
TargetKind = Literal["server", "surface", "account", "key"]
SERVER = ""
"""The account of policies that belong to the server itself."""
_BREADTH: Mapping[str, int] = {"server": 0, "surface": 1, "account": 2, "key": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A named policy; its texts are its versions."""

    id: str
    account_id: str
    name: str
    language: Language
    created_at: float
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One text of a policy; only its state ever changes."""

    policy_id: str
    n: int
    text: str
    author: str
    note: str
    created_at: float
    state: State
    previous: int | None = None
    """The version that was active before this one took over."""
    changed_at: float | None = None
    """When its state last changed."""
    changed_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where a policy holds."""

    id: str
    policy_id: str
    kind: TargetKind
    target: str
    """Account id, key id or surface; empty for the server."""
    account_id: str
    """Account of the target; empty for server and surfaces."""
    position: int
    created_at: float
    created_by: str

    @property
    def where(self) -> str:
        """In words, for messages and lists."""
        return "the server" if self.kind == "server" else f"{self.kind} {self.target}"

    def covers(self, account_id: str, key_id: str, surface: str) -> bool:
        """Whether it holds for this caller."""
        match self.kind:
            case "server":
                return True
            case "surface":
                return self.target == surface
            case "account":
                return self.target == account_id
            case "key":
                return self.target == key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTest:
    """One test of a policy: a test file with one test in it."""

    policy_id: str
    name: str
    document: Mapping[str, object]
    author: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySummary:
    """A policy as lists show it."""

    policy: Policy
    newest: int
    active: int | None
    shadow: int | None
    bindings: int
    tests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """Every binding, and every version that is in effect or watched."""

    policies: Mapping[str, Policy]
    active: Mapping[str, Version]
    """By policy id."""
    shadow: Mapping[str, Version]
    bindings: Sequence[Binding]
    """In the order they apply."""

    @classmethod
    def of(
        cls, policies: Sequence[Policy], versions: Sequence[Version], bindings: Sequence[Binding]
    ) -> "PolicySet":
        """Orders the bindings: by position, then from the server down to the key, then by age."""
        return cls(
            policies={policy.id: policy for policy in policies},
            active={item.policy_id: item for item in versions if item.state == "active"},
            shadow={item.policy_id: item for item in versions if item.state == "shadow"},
            bindings=sorted(
                bindings,
                key=lambda item: (item.position, _BREADTH[item.kind], item.created_at, item.id),
            ),
        )

    def sources(self, account_id: str, key_id: str, surface: str) -> tuple[PolicySource, ...]:
        """The texts that bind a caller, in order; a policy bound twice holds once."""
        found: list[PolicySource] = []
        for policy_id in dict.fromkeys(
            item.policy_id for item in self.bindings if item.covers(account_id, key_id, surface)
        ):
            policy = self.policies[policy_id]
            active, shadow = self.active.get(policy_id), self.shadow.get(policy_id)
            if active is not None:
                found.append(source_of(policy, active))
            if shadow is not None:
                instead = None if active is None else source_of(policy, active).name
                found.append(
                    replace(source_of(policy, shadow), enforcement="watch", replaces=instead)
                )
        return tuple(found)

    def callers(self) -> Iterator[tuple[str, str, str]]:
        """Account, key and surface of every kind of caller the bindings tell apart."""
        surfaces = {"control", *(item.target for item in self.bindings if item.kind == "surface")}
        owners = {("", "")}
        for item in self.bindings:
            if item.kind in {"account", "key"}:
                owners.add((item.account_id, ""))
            if item.kind == "key":
                owners.add((item.account_id, item.target))
        for account_id, key_id in sorted(owners):
            for surface in sorted(surfaces):
                yield account_id, key_id, surface

    def binds(self, policy_id: str, account_id: str, key_id: str, surface: str) -> bool:
        """Whether a policy is bound for this caller."""
        return any(
            item.policy_id == policy_id and item.covers(account_id, key_id, surface)
            for item in self.bindings
        )

    def is_bound(self, policy_id: str) -> bool:
        """Whether a policy is bound anywhere."""
        return any(item.policy_id == policy_id for item in self.bindings)

    def with_version(self, policy: Policy, version: Version, state: State) -> "PolicySet":
        """As it would be with this version in that state."""
        version = replace(version, state=state)
        active = {**self.active}
        shadow = {**self.shadow}
        if shadow.get(policy.id, version).n == version.n:
            shadow.pop(policy.id, None)
        if state == "active":
            active[policy.id] = version
        elif state == "shadow":
            shadow[policy.id] = version
        policies = {**self.policies, policy.id: policy}
        return replace(self, policies=policies, active=active, shadow=shadow)


def source_of(policy: Policy, version: Version) -> PolicySource:
    """A version as the engine takes it; its name says which one it is."""
    return PolicySource(
        name=f"{policy.name}@{version.n}", text=version.text, language=policy.language
    )
