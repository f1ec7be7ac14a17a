"""From a session config to what decides: the compiled policy and the guards, cached.

Compiling happens once per (config, caller, version of the bound policies); a request
with nothing new finds its rules by two dictionary look-ups.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from interlock.gateway.config import PolicyConfig, SessionConfig
from interlock.gateway.shipped import SHIPPED, shipped_policy
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.policy.compiled import CompiledPolicy, compile_layers, compile_policy
from interlock.policy.guards import Guards
from interlock.policy.model import Caller, PolicySource, Presets

__all__ = [
    "PLANNER_SOURCE",
    "BoundPolicies",
    "FilePolicies",
    "PolicyFileError",
    "Rules",
    "RulesCache",
    "digest_of_source",
]

_CACHED = 4096
_CACHED_CHARS = 4 << 20
"""Of policy text; compiled it takes about fifty times as many bytes."""
HEADER_SOURCE = "X-Policy"
GENERATED_SOURCE = "auto_gen"
"""Policy written for the session before its first plan."""
PLANNER_SOURCE = "set_policy"
"""Policy the session's planner added."""


class PolicyFileError(InterlockError):
    """A policy file of the settings cannot be read."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "policy_file"


class BoundPolicies(Protocol):
    """Policies kept in the server and attached to server, account, key or surface."""

    def version(self) -> int:
        """Changes whenever any binding or active version changes."""
        ...

    def of(self, key: KeyInfo, surface: str) -> Sequence[PolicySource]:
        """The texts that bind this caller, in order."""
        ...


class FilePolicies:
    """Policies from files of the server's settings, read once; they bind every request."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Reads and compiles them: a server does not start with a policy that does not compile.

        Raises:
            PolicyFileError: a file cannot be read.
            UnknownShippedPolicyError: no policy is shipped under a name.
            PolicyError: a policy does not compile.
        """
        self._sources = tuple(_read(path) for path in paths)
        if self._sources:
            compile_policy(self._sources, presets=Presets(), caller=Caller())

    def version(self) -> int:
        """Never changes: the files are read at the start."""
        return 0

    def of(self, key: KeyInfo, surface: str) -> Sequence[PolicySource]:
        """The same for everybody."""
        del key, surface
        return self._sources

    @property
    def sources(self) -> Sequence[PolicySource]:
        """The texts, in order."""
        return self._sources


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that decides about the tool traffic of one session config."""

    policy: CompiledPolicy
    guards: Guards | None
    config: SessionConfig
    caller: Mapping[str, Any] = field(default_factory=dict)
    """Who asks, as conditions on the caller see him and decision records keep him."""
    basis: Mapping[str, Any] = field(default_factory=dict)
    """What decisions are made under, as their records keep it."""
    header: PolicySource | None = None
    """The enforced policy that came with the request."""
    chars: int = 0
    """Length of the texts it was compiled from."""


class RulesCache:
    """Compiled rules by config and caller; bounded by entries and by policy text."""

    def __init__(self, bound: BoundPolicies, *, max_chars: int = _CACHED_CHARS) -> None:
        self._bound = bound
        self._max_chars = max_chars
        self._chars = 0
        self._cache: OrderedDict[tuple[object, ...], Rules] = OrderedDict()

    def of(self, config: SessionConfig, key: KeyInfo) -> Rules:
        """The rules of a config for a caller.

        `config` must be the cached instance: identity is the cache key (the entry keeps
        it alive, so the identity cannot be reused). Raises PolicyError.
        """
        standing = (
            key.account_id,
            key.label,
            key.user_email,
            key.groups,
            key.roles,
            key.surface,
        )
        slot = (id(config), key.id, self._bound.version(), key.policy_override, standing)
        rules = self._cache.get(slot)
        if rules is None:
            rules = self._compile(config, key)
            self._cache[slot] = rules
            self._chars += rules.chars
            while len(self._cache) > _CACHED or self._chars > self._max_chars:
                _, oldest = self._cache.popitem(last=False)
                self._chars -= oldest.chars
        else:
            self._cache.move_to_end(slot)
        return rules

    def _compile(self, config: SessionConfig, key: KeyInfo) -> Rules:
        policy = config.policy
        header = _header(policy)
        if config.shadow is not None:
            watched = config.shadow
            header.append(
                PolicySource(
                    name=HEADER_SOURCE,
                    text=watched.code,
                    language=watched.language,
                    enforcement="watch",
                )
            )
        header = [source for source in header if source.text.strip()]
        bound = tuple(self._bound.of(key, key.surface))
        caller = Caller(
            user=key.user_email,
            key=key.label or key.id,
            account=key.account_id,
            groups=key.groups,
            roles=key.roles,
            surface=key.surface,
        )
        compiled = compile_layers(
            bound,
            header or None,
            allow_override=key.policy_override,
            presets=policy.presets,
            caller=caller,
            mode=policy.mode,
        )
        guards = None
        if config.classifiers or config.blockers:
            guards = Guards(config.classifiers, config.blockers)
        enforced = next(
            (one for one in header if (one.name, one.enforcement) == (HEADER_SOURCE, "enforce")),
            None,
        )
        return Rules(
            policy=compiled,
            guards=guards,
            config=config,
            caller=_recorded_caller(caller),
            basis=_basis(policy, bound, enforced, override=key.policy_override),
            header=enforced,
            chars=sum(len(source.text) for source in (*bound, *header)),
        )


def _header(policy: PolicyConfig) -> list[PolicySource]:
    """The request's own policy, between what its session wrote before and after it.

    Three texts, because each has its own names.
    """
    own = PolicySource(name=HEADER_SOURCE, text=policy.code, language=policy.language)
    return [
        PolicySource(name=GENERATED_SOURCE, text=policy.generated),
        own,
        PolicySource(name=PLANNER_SOURCE, text=policy.restrictions),
    ]


def digest_of_source(source: PolicySource) -> str:
    """Identifies a text in its language: SHA-256, hexadecimal."""
    return hashlib.sha256(f"{source.language}\0{source.text}".encode()).hexdigest()


def _recorded_caller(caller: Caller) -> dict[str, Any]:
    return {
        "user": caller.user,
        "key": caller.key,
        "account": caller.account,
        "groups": sorted(caller.groups),
        "roles": sorted(caller.roles),
        "surface": caller.surface,
    }


def _basis(
    policy: PolicyConfig,
    bound: Sequence[PolicySource],
    header: PolicySource | None,
    *,
    override: bool,
) -> dict[str, Any]:
    """What is not at its default, and the names of the bound texts."""
    default = Presets()
    return {
        "bound": [source.name for source in bound if source.enforcement == "enforce"],
        "header": None if header is None else digest_of_source(header),
        "override": override,
        **({"session": True} if policy.generated or policy.restrictions else {}),
        "mode": policy.mode,
        "presets": {
            item.name: getattr(policy.presets, item.name)
            for item in fields(Presets)
            if getattr(policy.presets, item.name) != getattr(default, item.name)
        },
    }


def _read(path: Path) -> PolicySource:
    if str(path).startswith(SHIPPED):
        return shipped_policy(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise PolicyFileError(f"policy file `{path}` cannot be read: {exc}") from None
    language: Literal["sqrt", "cedar"] = "cedar" if path.suffix == ".cedar" else "sqrt"
    return PolicySource(name=path.name, text=text, language=language)
