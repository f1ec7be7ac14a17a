"""The checks of `interlock doctor`, put together from the settings of a server."""

import asyncio
from collections.abc import Mapping
from functools import partial

from pydantic import SecretStr

from interlock.app_settings import AppSettings
from interlock.app_store import check_store, open_blobs, open_database, open_store
from interlock.gateway.rules import FilePolicies
from interlock.kernel.clock import SystemClock
from interlock.ops.checks import (
    Check,
    State,
    check_clock,
    check_database,
    check_directory,
    check_disk,
    check_port,
    check_python,
    check_schema_state,
)
from interlock.providers.build import build_upstreams
from interlock.providers.catalog import BUILT_IN
from interlock.providers.demo import DemoUpstream
from interlock.providers.probe import probe
from interlock.providers.settings import ProviderSettings
from interlock.storage.object_blobs import ObjectBlobs
from interlock.storage.secrets import KEY_FILE, SecretBox

__all__ = ["checks_of"]

_ASKED_S = 15.0
_Looked = tuple[State, str, str]


def checks_of(settings: AppSettings, *, providers: bool = False) -> list[Check]:
    """What there is to look at; `providers` asks each configured one for its models."""
    database = open_database(settings)
    there = database.dialect != "sqlite" or database.path.exists()
    checks = [
        Check("python", check_python),
        Check("clock", check_clock),
        check_directory(settings.data),
        check_disk(settings.data),
        check_port(settings.server.host, settings.server.port),
        Check("secret key", lambda: _secret_key(settings)),
        Check("policy files", lambda: _policy_files(settings)),
        Check("providers", lambda: _providers(settings.upstreams.providers)),
    ]
    if settings.store.blobs_url is not None:
        checks.append(Check("files", lambda: _files(settings)))
    if there:
        checks += [
            check_database(database),
            check_schema_state(lambda: check_store(settings)),
            Check("stored policies", lambda: _stored(settings)),
        ]
    if providers:
        enabled = settings.upstreams.providers.items()
        checks += [
            Check(name, partial(_asked, settings, name)) for name, one in enabled if one.enabled
        ]
    return checks


async def _secret_key(settings: AppSettings) -> _Looked:
    given = settings.bootstrap.secret_key
    if given is not None:
        SecretBox(_clear(given))
        return "ok", "from the settings", ""
    if not (settings.data / KEY_FILE).exists():
        return "warning", "there is none yet", "the first start makes it; keep it with your backups"
    SecretBox.load(settings.data, None)
    return "ok", f"`{settings.data / KEY_FILE}`: keep it with your backups", ""


async def _policy_files(settings: AppSettings) -> _Looked:
    files = settings.gateway.policy_files
    await asyncio.to_thread(FilePolicies, files)
    return "ok", f"{len(files)} compile" if files else "none", ""


async def _providers(given: Mapping[str, ProviderSettings]) -> _Looked:
    usable = sorted(name for name, one in given.items() if one.enabled)
    if not usable:
        return (
            "warning",
            "only the scripted model `demo`",
            "set e.g. INTERLOCK_PROVIDERS_OPENAI_API_KEY; `interlock providers list` shows all "
            f"{len(BUILT_IN)}",
        )
    return "ok", ", ".join(usable), ""


async def _files(settings: AppSettings) -> _Looked:
    blobs = open_blobs(settings)
    if isinstance(blobs, ObjectBlobs):
        await blobs.check()
    return "ok", "the object store answers", ""


async def _stored(settings: AppSettings) -> _Looked:
    store = open_store(settings)
    try:
        found = await store.policies.summaries()
        return "ok", f"{len(found)} in the store", ""
    finally:
        await store.close()


async def _asked(settings: AppSettings, name: str) -> _Looked:
    upstreams = build_upstreams(settings.upstreams, demo=DemoUpstream())
    try:
        asked = await probe(
            upstreams, settings.upstreams, name, clock=SystemClock(), within_s=_ASKED_S
        )
    finally:
        upstreams.close()
    if asked.ok:
        return "ok", f"`{asked.model}` answered in {asked.seconds:.1f} s", ""
    return "failed", asked.error or "no answer", f"`interlock providers test {name}` says more"


def _clear(secret: SecretStr) -> str:
    return secret.get_secret_value()
