"""What a session was decided under, found again: policies, mode, presets, caller.

The decision records name the bound texts and the digest of the text that came with the
request; the store has the texts. What it does not have any more is an error, not a guess.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import msgspec

from interlock.gateway.config import (
    Architecture,
    Endpoint,
    PolicyConfig,
    SessionConfig,
    config_hash,
    decode_config,
)
from interlock.gateway.policies.bound import StoredPolicies
from interlock.gateway.policies.errors import PolicyNotFoundError, VersionNotFoundError
from interlock.gateway.policies.model import source_of
from interlock.gateway.policies.service import PolicyStore
from interlock.gateway.records import DecisionRecord
from interlock.gateway.rehearsal.errors import PolicyNotKeptError
from interlock.gateway.rehearsal.model import Wanted
from interlock.gateway.rehearsal.recorded import Recorded
from interlock.gateway.rules import HEADER_SOURCE, digest_of_source
from interlock.identity.admin import IdentityAdmin
from interlock.identity.errors import KeyNotFoundError
from interlock.identity.model import KeyInfo, KeyView
from interlock.policy.model import PolicySource, Presets

__all__ = ["ConfigOf", "Terms", "TermsReader"]

ConfigOf = Callable[[Endpoint, Architecture, Mapping[str, Any] | None], SessionConfig]
"""The config of a request without headers, for a key with this stored config."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What decides in a rehearsal."""

    config: SessionConfig
    bound: Sequence[PolicySource]
    key: KeyInfo
    names: Sequence[str]
    """Of the texts, as people know them."""
    notes: Sequence[str] = field(default_factory=list)


class TermsReader:
    """Finds the terms of recorded sessions; reads only."""

    def __init__(
        self,
        *,
        policies: PolicyStore,
        bound: StoredPolicies,
        admin: IdentityAdmin,
        config_of: ConfigOf,
    ) -> None:
        """`bound` need not be loaded yet."""
        self._policies = policies
        self._bound = bound
        self._admin = admin
        self._config_of = config_of

    async def of(self, recorded: Recorded, wanted: Wanted) -> Terms:
        """The terms of a session, with what `wanted` puts in their place.

        Raises:
            PolicyNotKeptError: a text is not in the store any more.
            PolicyError: the texts do not compile together.
        """
        newest, state = recorded.newest, recorded.state
        try:
            view = await self._admin.key(state.key_id)
        except KeyNotFoundError:
            view = None
        basis: Mapping[str, Any] = {} if newest is None else newest.basis
        key = _caller(recorded, view, basis)
        notes = _notes(recorded, view)
        config, found = self._config(recorded, view)
        notes += found
        if wanted.policies is not None:
            bound, header = list(wanted.policies), None
        else:
            bound, changed = await self._texts(key, newest)
            notes += changed
            header = await self._header(basis.get("header"), config.policy)
            if newest is None:
                header = PolicySource(
                    name=HEADER_SOURCE, text=config.policy.code, language=config.policy.language
                )
        policy = replace(
            config.policy,
            mode=wanted.mode or basis.get("mode", config.policy.mode),
            code="" if header is None else header.text,
            language="sqrt" if header is None else header.language,
            presets=Presets(**basis["presets"]) if "presets" in basis else config.policy.presets,
            auto_gen=False,
        )
        names = [one.name for one in bound]
        if header is not None and header.text.strip():
            names.append(header.name)
        return Terms(config=_played(config, policy), bound=bound, key=key, names=names, notes=notes)

    async def _texts(
        self, key: KeyInfo, newest: DecisionRecord | None
    ) -> tuple[list[PolicySource], list[str]]:
        """The bound texts by the names the record has; without one, those bound now."""
        await self._bound.load()
        now = [one for one in self._bound.of(key, "control") if one.enforcement == "enforce"]
        if newest is None:
            return now, [
                "no decision of the session says what it was made under: what is bound now"
            ]
        known = {one.name: one for one in now}
        names = [str(name) for name in newest.basis.get("bound", ())]
        found = [known.get(name) or await self._version(name, key.account_id) for name in names]
        notes = []
        if names != [one.name for one in now]:
            today = ", ".join(one.name for one in now) or "none"
            notes.append(f"other policies are bound today ({today}): `--policy` rehearses others")
        return found, notes

    async def _version(self, name: str, account_id: str) -> PolicySource:
        title, at, number = name.rpartition("@")
        if at and number.isdigit():
            for owner in ("", account_id):
                try:
                    found = await self._policies.version(title, int(number), account_id=owner)
                except (PolicyNotFoundError, VersionNotFoundError):
                    continue
                return source_of(*found)
        raise PolicyNotKeptError(f"the policy `{name}`, which bound the session,")

    async def _header(self, digest: str | None, own: PolicyConfig) -> PolicySource | None:
        """The text that came with the requests: the key's default, or one the store kept."""
        if digest is None:
            return None
        source = PolicySource(name=HEADER_SOURCE, text=own.code, language=own.language)
        if digest_of_source(source) == digest:
            return source
        kept = await self._policies.request_policy(digest)
        if kept is None:
            raise PolicyNotKeptError("the policy that came with the session's requests")
        return kept

    def _config(self, recorded: Recorded, view: KeyView | None) -> tuple[SessionConfig, list[str]]:
        state = recorded.state
        base = None if view is None else view.base_config
        plain = self._config_of(
            cast(Endpoint, state.endpoint), cast(Architecture, state.arch), base
        )
        conversation = recorded.conversation
        if conversation is None:
            return plain, [
                "guards and settings that came with requests are not kept: the key's own hold"
            ]
        try:
            kept = decode_config(conversation.config)
        except msgspec.MsgspecError:
            return plain, ["the settings of the session are not readable: the key's own hold"]
        return replace(
            kept,
            policy=replace(kept.policy, code=plain.policy.code, language=plain.policy.language),
        ), []


def _played(config: SessionConfig, policy: PolicyConfig) -> SessionConfig:
    """The config of a rehearsal: no limit of turns, no model but the demo model."""
    fsm = replace(
        config.fsm,
        min_num_tools_for_filtering=None,
        clear_session_meta="never",
        max_n_turns=None,
        history_mismatch_policy="continue",
        dual={**config.fsm.dual, "pllm_candidate_models": None},
    )
    played = replace(config, policy=policy, shadow=None, fsm=fsm, llm={}, digest="")
    return replace(played, digest=config_hash(played))


def _caller(recorded: Recorded, view: KeyView | None, basis: Mapping[str, Any]) -> KeyInfo:
    """The key as it asked then, with nothing that would reach beyond the rehearsal."""
    state = recorded.state
    newest = recorded.newest
    caller: Mapping[str, Any] = {} if newest is None else newest.caller
    label = caller.get("key") or ("" if view is None else view.label)
    return KeyInfo(
        id=state.key_id,
        account_id=state.account_id,
        user_id="" if view is None else view.user_id,
        user_email=caller.get("user") or ("" if view is None else view.user_email),
        label="" if label == state.key_id else label,
        groups=frozenset(caller.get("groups", ())),
        roles=frozenset(caller.get("roles", ())),
        policy_override=bool(basis.get("override", view is not None and view.policy_override)),
    )


def _notes(recorded: Recorded, view: KeyView | None) -> list[str]:
    notes = []
    bases = {_terms_of(one) for one in recorded.decisions if one.basis}
    if len(bases) > 1:
        notes.append(
            f"the session was decided under {len(bases)} different terms; the newest are rehearsed"
        )
    if view is not None and view.approval == "ask":
        notes.append("a person is asked about soft denials of this key; here they are denials")
    return notes


def _terms_of(record: DecisionRecord) -> bytes:
    told = {name: record.basis.get(name) for name in ("bound", "header", "mode", "presets")}
    return msgspec.json.encode(told, order="deterministic")
