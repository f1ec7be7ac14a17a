"""From a session config to what decides: the compiled policy and the guards, cached.

Compiling happens once per (config, caller, version of the bound policies); a request
with nothing new finds its rules by two dictionary look-ups.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from interlock.gateway.config import SessionConfig
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.policy.compiled import CompiledPolicy, compile_layers, compile_policy
from interlock.policy.guards import Guards
from interlock.policy.model import Caller, PolicySource, Presets

__all__ = ["BoundPolicies", "FilePolicies", "PolicyFileError", "Rules", "RulesCache"]

_CACHED = 4096
HEADER_SOURCE = "X-Policy"


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


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that decides about the tool traffic of one session config."""

    policy: CompiledPolicy
    guards: Guards | None
    config: SessionConfig


class RulesCache:
    """Compiled rules by config and caller; bounded."""

    def __init__(self, bound: BoundPolicies) -> None:
        self._bound = bound
        self._cache: OrderedDict[tuple[int, KeyInfo | str, int], Rules] = OrderedDict()

    def of(self, config: SessionConfig, key: KeyInfo) -> Rules:
        """The rules of a config for a caller.

        `config` must be the cached instance: identity is the cache key (the entry keeps
        it alive, so the identity cannot be reused). Raises PolicyError.
        """
        slot = (id(config), key.id, self._bound.version())
        rules = self._cache.get(slot)
        if rules is None:
            rules = self._compile(config, key)
            self._cache[slot] = rules
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return rules

    def _compile(self, config: SessionConfig, key: KeyInfo) -> Rules:
        policy = config.policy
        header = [PolicySource(name=HEADER_SOURCE, text=policy.code, language=policy.language)]
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
        compiled = compile_layers(
            tuple(self._bound.of(key, "control")),
            header or None,
            allow_override=key.policy_override,
            presets=policy.presets,
            caller=Caller(
                user=key.user_email,
                key=key.label or key.id,
                account=key.account_id,
                groups=key.groups,
                roles=key.roles,
                surface="control",
            ),
            mode=policy.mode,
        )
        guards = None
        if config.classifiers or config.blockers:
            guards = Guards(config.classifiers, config.blockers)
        return Rules(policy=compiled, guards=guards, config=config)


def _read(path: Path) -> PolicySource:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise PolicyFileError(f"policy file `{path}` cannot be read: {exc}") from None
    language: Literal["sqrt", "cedar"] = "cedar" if path.suffix == ".cedar" else "sqrt"
    return PolicySource(name=path.name, text=text, language=language)
