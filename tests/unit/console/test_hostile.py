"""The hostile corpus in every field that holds text of others, on every page that shows it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.console_site import Site, console_site
from tests.support.console_traffic import decision_of
from tests.support.hostile import HOSTILE
from tests.unit.console.test_pages import check

from interlock.identity.errors import InvalidIdentityError
from interlock.identity.model import KeySpec
from interlock.kernel.errors import InterlockError
from interlock.limits.routes import Asker

pytestmark = pytest.mark.anyio

_BAD = ("<script", "<img", "<svg onload", "<iframe", "<style", "<base", "<meta http", "<object")


@pytest.fixture
async def site(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Site]:
    async with console_site(tmp_path) as found:
        yield found


def storable(text: str, most: int = 70_000) -> str:
    return text.replace("\0", "").encode("utf-8", "ignore").decode()[:most]


def harmless(page: str) -> None:
    """Nothing of the corpus became an element; what we write ourselves is taken out first."""
    body = page.split("<body", 1)[-1]
    for bad in _BAD:
        assert bad not in body.lower(), body[body.lower().index(bad) - 200 :][:400]
    assert "planted()" not in body.replace("&#39;", "'") or "<script" not in body


def test_the_corpus_is_large_enough() -> None:
    assert len(set(HOSTILE)) >= 80


async def test_names_of_keys_policies_profiles_and_people(site: Site) -> None:
    app, actor = site.app, site.people["admin"].actor
    taken = dict.fromkeys(("keys", "people", "profiles", "assignments", "notes"), 0)
    await app.store.policies.save("base", 'tool "x" { must deny always; }', actor)
    for number, text in enumerate(HOSTILE):
        safe = storable(text)
        try:
            await app.store.admin.create_key(KeySpec(label=safe[:200] or "x"), actor)
            taken["keys"] += 1
        except InterlockError:
            pass
        try:
            await app.store.people.create_user(
                f"h{number}@corp.example", actor, display_name=safe[:200]
            )
            taken["people"] += 1
        except InvalidIdentityError:
            pass
        try:
            made = await app.limits.profiles.create(
                actor,
                name=safe[:200],
                params={"requests_per_second": 0.001, "burst": 1},
                description=safe[:2000],
            )
            taken["profiles"] += 1
            await app.limits.profiles.assign(
                actor, profile_id=made.id, method="GET", path=f"/api/h{number}/{safe[:100]}"
            )
            taken["assignments"] += 1
        except InterlockError:
            pass
        for _ in range(2):
            await app.limits.routes.check(
                "GET",
                f"/api/h{number}/{safe[:100]}",
                Asker(address=safe[:60], user_id=safe[:60] if number % 2 else None),
            )
        try:
            await app.store.policies.save(
                "base", f'// {number}\ntool "x" {{ must deny always; }}', actor, note=safe[:2000]
            )
            taken["notes"] += 1
        except InterlockError:
            pass
    assert min(taken.values()) >= 20, taken
    paths = [
        "/console/keys",
        "/console/users",
        "/console/users?role=member",
        "/console/limits",
        "/console/limits?method=GET&path=/api/h1/x&who=nobody",
        "/console/settings/audit",
        "/console/settings/audit?action=limit.create",
        "/console/policies/base/versions",
        "/console/policies/base/used",
        "/console/keys/new",
        *(f"/console/keys/{key.id}" for key in (await app.store.admin.keys())[:90]),
        *(f"/console/users/{one.id}" for one in await app.store.people.find(limit=90)),
        *(
            f"/console/limits/profiles/{one.id}"
            for one in (await app.limits.profiles.profiles())[:90]
        ),
    ]
    async with site.client("admin") as browser:
        for path in paths:
            answer = await browser.get(path)
            assert answer.status_code == 200, path
            check(answer)
            harmless(answer.text)


async def test_every_field_of_a_decision(site: Site) -> None:
    store = site.app.store
    for number, text in enumerate(HOSTILE):
        safe = storable(text)
        short = safe[:200] or "x"
        lineage = {
            "nodes": [{"id": short, "kind": short, "ref": short, "tool": short, "preview": safe}],
            "edges": [{"from": short, "to": short, "gained": {"tags": [short]}, "by": short}],
            "path": [short],
        }
        store.recorder.decision(
            decision_of(
                site,
                0,
                id=f"dec_h{number:03}",
                tool=short,
                args={short: safe, "nested": {short: [safe[:1000]]}},
                rule=short,
                rule_text=short,
                policy=short,
                caller={"user": short, "key": short, "agent": short},
                labels={"args": {short: {"tags": [short]}}, "session": {"tags": [short]}},
                lineage=lineage,
                guards=[{"name": short, "note": short}],
                shadow=[{"policy": short, "verdict": "x", "rule": short}],
            )
        )
    assert await store.recorder.flush(wait_s=20)
    async with site.client("admin") as browser:
        paths = ["/console", "/console/decisions", "/console/decisions?group=rule"]
        paths += ["/console/decisions?group=tool", "/console/policies/new"]
        for number in range(len(HOSTILE)):
            one = f"/console/decisions/dec_h{number:03}"
            paths += [one, f"{one}/what-if", f"/console/policies/new?decision=dec_h{number:03}"]
        for path in paths:
            answer = await browser.get(path)
            assert answer.status_code == 200, path
            check(answer)
            harmless(answer.text)


async def test_what_is_typed_into_addresses_and_forms(site: Site) -> None:
    async with site.client("admin") as browser:
        for text in HOSTILE:
            short = text.encode("utf-8", "ignore").decode()[:300]
            for path, name in (
                ("/console/decisions", "tool"),
                ("/console/decisions", "label"),
                ("/console/users", "q"),
                ("/console/settings/audit", "actor"),
                ("/console/settings/server", "find"),
                ("/console/go", "q"),
                ("/console/leaving", "to"),
            ):
                answer = await browser.get(path, params={name: short})
                assert answer.status_code in {200, 303, 404}, (path, name, short)
                check(answer)
            tried = await browser.get(
                "/console/limits", params={"method": short, "path": short or "x", "who": short}
            )
            assert tried.status_code == 200, short
            check(tried)
            for path, form in (
                ("/console/users/new", {"email": short, "username": short}),
                ("/console/limits/new", {"name": short, "burst": short}),
                ("/console/keys", {"label": "x", "expires": short, "owner": short}),
                ("/console/policies/check", {"text": short}),
                ("/console/policies/try", {"text": "", "tool": short, "args": short}),
                ("/console/settings/profile", {"display_name": short}),
            ):
                answer = await browser.post(path, data={**form, "csrf": "csrf-admin"})
                assert answer.status_code in {200, 303, 400, 404}, (path, short, answer.text[-300:])
                check(answer)
