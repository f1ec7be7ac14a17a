"""Builds attack rehearsals: the part of the composition root that `interlock rehearse` uses.

A rehearsal runs the gateway's own execution, but nothing around it is real: one provider,
the demo model in this process, whatever the settings say; a recorder that keeps nothing;
no approvals, no pins, no limits.
"""

from collections.abc import Mapping
from typing import Any, Final

from interlock.app_store import Store
from interlock.gateway.config import Architecture, Endpoint, SessionConfig
from interlock.gateway.deciding import Decider
from interlock.gateway.dual.service import DualLlm
from interlock.gateway.execution import Execution
from interlock.gateway.guarding import GuardPool
from interlock.gateway.ids import SessionIds
from interlock.gateway.ledger import Ledger
from interlock.gateway.parts import Parts
from interlock.gateway.policies.bound import StoredPolicies
from interlock.gateway.rehearsal.memory import FixedPolicies, MemoryRecorder, NoCounter, NoPins
from interlock.gateway.rehearsal.playing import Stage
from interlock.gateway.rehearsal.service import Rehearsals
from interlock.gateway.rehearsal.terms import Terms, TermsReader
from interlock.gateway.responses import ResponseStore
from interlock.gateway.roles import Roles
from interlock.gateway.rules import FilePolicies, RulesCache
from interlock.gateway.session import Sessions
from interlock.gateway.settings import GatewaySettings
from interlock.gateway.single import SingleLlm
from interlock.kernel.clock import Clock, SystemClock
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import random_bytes
from interlock.providers.build import build_upstreams
from interlock.providers.demo import DemoUpstream
from interlock.providers.settings import UpstreamSettings
from interlock.surfaces.control.headers import build_config, parse

__all__ = ["build_rehearsals"]

_LIFETIME_S: Final = 3600.0
_FAILED: Final = 500


def build_rehearsals(store: Store, *, clock: Clock | None = None) -> Rehearsals:
    """Rehearsals of the sessions of a store, which is only read. Inside an event loop.

    Raises:
        PolicyFileError: a policy file of the settings cannot be read.
        PolicyError: one does not compile.
    """
    clock = clock or SystemClock()
    files = FilePolicies(store.settings.gateway.policy_files)
    terms = TermsReader(
        policies=store.policies,
        bound=StoredPolicies(store.database, files),
        admin=store.admin,
        config_of=_config_of,
    )

    def stage(given: Terms) -> Stage:
        return _stage(given, clock, store.settings.gateway)

    return Rehearsals(history=store.history, terms=terms, stage=stage, clock=clock)


def _config_of(
    endpoint: Endpoint, arch: Architecture, base: Mapping[str, Any] | None
) -> SessionConfig:
    features = parse("X-Features", f'{{"agent_arch": "{arch}"}}')
    return build_config(endpoint, base, features, None, None)


def _stage(terms: Terms, clock: Clock, settings: GatewaySettings) -> Stage:
    """One gateway, with a store in memory that is its own. Raises PolicyError."""
    rules = RulesCache(FixedPolicies(terms.bound))
    evidence = rules.of(terms.config, terms.key).policy.needs_evidence
    recorder = MemoryRecorder()
    upstreams = build_upstreams(UpstreamSettings(), clock=clock, demo=DemoUpstream())
    ledger = Ledger(recorder=recorder, clock=clock, counters=())
    roles = Roles(upstreams=upstreams, ledger=ledger)
    guards = GuardPool(threads=settings.guard_threads, wait_s=settings.guard_wait_s)
    ids = SessionIds(random_bytes(32))
    sessions = Sessions(ids=ids, recorder=recorder, clock=clock, lifetime_s=_LIFETIME_S)
    decider = Decider(
        recorder=recorder, clock=clock, roles=roles, counter=NoCounter(), guards=guards
    )
    pins = NoPins()
    responses = ResponseStore(recorder=recorder, clock=clock, lifetime_s=_LIFETIME_S)
    parts = Parts(
        sessions=sessions,
        rules=rules,
        decider=decider,
        upstreams=upstreams,
        ledger=ledger,
        pins=pins,
        responses=responses,
        roles=roles,
        clock=clock,
        status_of=_status_of,
    )
    dual = DualLlm(parts, turn_s=settings.turn_s, turn_bytes=settings.turn_bytes)

    def close() -> None:
        upstreams.close()
        guards.close()
        dual.close()

    now = clock.now().timestamp()
    return Stage(
        execution=Execution(SingleLlm(parts), dual),
        recorder=recorder,
        close=close,
        key=terms.key,
        config=terms.config,
        session_id=ids.new(Sessions.owner_of(terms.key), now),
        now=now,
        evidence=evidence,
    )


def _status_of(error: InterlockError) -> int:
    """Only the ledger would see it, and there is none."""
    del error
    return _FAILED
