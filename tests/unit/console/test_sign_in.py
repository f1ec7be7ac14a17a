"""Signing in to the console with the sessions of the server."""

from pathlib import Path

import pytest
from tests.support.gateway import running_gateway

from interlock.identity.model import Actor

pytestmark = pytest.mark.anyio
PASSWORD = "correct horse battery"


async def test_a_person_signs_in_changes_something_and_signs_out(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gateway:
        admin = gateway.app.store.admin
        email = (await admin.keys())[0].user_email
        await admin.set_password(email, PASSWORD, Actor(name="test", surface="server"))
        http = gateway.http
        form = {"identifier": email, "password": PASSWORD, "next": "/console/keys"}

        wrong = await http.post("/console/login", data={**form, "password": "not it"})
        foreign = await http.post(
            "/console/login", data=form, headers={"origin": "https://evil.example"}
        )
        assert (wrong.status_code, foreign.status_code) == (401, 403)
        assert not http.cookies

        right = await http.post("/console/login", data=form)
        assert right.headers["location"] == "/console/keys"
        session, csrf = sorted(right.headers.get_list("set-cookie"), reverse=True)
        assert session.startswith("SESSION_ID=")
        assert "HttpOnly" in session
        assert "SameSite=Lax" in session
        assert csrf.startswith("CSRF-TOKEN=")
        assert "SameSite=Strict" in csrf
        assert "HttpOnly" not in csrf
        token = http.cookies["CSRF-TOKEN"]

        key = {"label": "made here", "expires": "30", "retention": "full", "tool_pinning": "off"}
        forged = await http.post("/console/keys", data=key)
        null = await http.post(
            "/console/keys", data={**key, "csrf": token}, headers={"origin": "null"}
        )
        made = await http.post("/console/keys", data={**key, "csrf": token})
        assert (forged.status_code, null.status_code, made.status_code) == (403, 403, 200)
        assert "Shown only this once" in made.text

        kept = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        out = await http.post("/console/logout", data={"csrf": token})
        assert out.status_code == 303
        again = await http.get("/console", headers={"cookie": kept})
        assert again.headers["location"].startswith("/console/login")
