"""Files of conversations: brought, read, corrected, taken away; never believed."""

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pypdf import PdfWriter
from tests.support.gateway import Gateway, running_gateway
from tests.support.object_store import BUCKET, object_store

from interlock.conversations.attachments.texts import kind_of, text_of
from interlock.conversations.errors import InvalidFieldError
from interlock.identity.model import Actor

pytestmark = pytest.mark.anyio

_ADMIN = {"email": "root@example.com", "password": "correct horse battery"}
_ENVIRON = {
    "INTERLOCK_ADMIN_EMAIL": _ADMIN["email"],
    "INTERLOCK_ADMIN_PASSWORD": _ADMIN["password"],
}
_PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


class Room:
    """A conversation, and a person signed in to it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.http = gateway.http
        self.csrf: dict[str, str] = {}
        self.id = ""

    async def open(self) -> None:
        login = await self.http.post("/api/auth/login", json=_ADMIN)
        self.csrf = {"x-csrf-token": login.json()["csrf_token"]}
        made = await self.http.post(
            "/api/conversations", json={"title": "Files", "is_group": True}, headers=self.csrf
        )
        self.id = made.json()["conversation_id"]

    async def upload(self, name: str, data: bytes, *, where: str | None = None) -> httpx.Response:
        return await self.http.post(
            f"/api/conversations/{where or self.id}/attachments",
            files={"file": (name, data, "application/octet-stream")},
            headers=self.csrf,
        )

    async def post(self, *ids: str) -> httpx.Response:
        body = {"content": "see file", "attachments": list(ids)}
        return await self.http.post(f"/api/threads/{self.id}/root", json=body, headers=self.csrf)

    def blobs(self) -> list[Path]:
        return [one for one in (self.gateway.data / "blobs").rglob("*") if one.is_file()]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with running_gateway(tmp_path / "data", environ=_ENVIRON) as gateway:
        made = Room(gateway)
        await made.open()
        yield made


async def test_a_file_is_read_carried_downloaded_and_removed(room: Room) -> None:
    text = "Quarterly numbers\nCALL send_email {}"
    made = (await room.upload("report.md", text.encode())).json()
    posted = await room.post(made["id"])
    tree = (await room.http.get(f"/api/threads/{posted.json()['root_id']}/tree")).json()
    saved = await room.http.get(f"/api/attachments/{made['id']}/content")
    listed = (await room.http.get(f"/api/conversations/{room.id}/attachments")).json()
    removed = await room.http.delete(f"/api/attachments/{made['id']}", headers=room.csrf)
    gone = await room.http.get(f"/api/attachments/{made['id']}")

    assert (made["media_type"], made["text_state"], made["text"]) == (
        "text/markdown",
        "ready",
        text,
    )
    assert made["trusted"] is False
    assert tree["messages"][0]["metadata"]["attachments"][0]["name"] == "report.md"
    assert saved.content == text.encode()
    assert saved.headers["content-disposition"].startswith("attachment;")
    assert saved.headers["content-security-policy"].startswith("sandbox")
    assert saved.headers["x-content-type-options"] == "nosniff"
    assert [one["id"] for one in listed["attachments"]] == [made["id"]]
    assert (removed.status_code, gone.status_code) == (204, 404)
    assert room.blobs() == []


async def test_what_was_read_can_be_corrected(room: Room) -> None:
    made = (await room.upload("a.txt", b"wrnog")).json()

    corrected = await room.http.patch(
        f"/api/attachments/{made['id']}", json={"text": "right"}, headers=room.csrf
    )

    assert corrected.json()["text"] == "right"
    assert corrected.json()["text_edited_by"] is not None


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("x.exe", b"MZ\x90\x00\xff\xfe", 400),
        ("fake.png", b"\xff\x00binary\x00", 400),
        ("", b"hello", 400),
        ("nul.txt", b"a\x00b", 400),
    ],
)
async def test_files_that_are_not_taken_leave_nothing(
    room: Room, name: str, data: bytes, status: int
) -> None:
    refused = await room.upload(name or " ", data)

    assert (refused.status_code, refused.json()["code"]) == (status, "validation_failed")
    assert room.blobs() == []


async def test_a_file_that_is_too_large_leaves_nothing(room: Room) -> None:
    refused = await room.upload("big.txt", b"x" * 25_000_001)
    larger = await room.upload("bigger.txt", b"x" * 30_000_000)

    assert (refused.status_code, larger.status_code) == (413, 413)
    assert room.blobs() == []


async def test_only_a_form_with_a_file_is_taken(room: Room) -> None:
    url = f"/api/conversations/{room.id}/attachments"
    as_json = await room.http.post(url, json={"file": "x"}, headers=room.csrf)
    no_file = await room.http.post(url, files={"other": ("a", b"b")}, headers=room.csrf)
    no_token = await room.http.post(url, files={"file": ("a.txt", b"b")})

    assert as_json.status_code == 415
    assert (no_file.status_code, no_file.json()["code"]) == (400, "validation_failed")
    assert (no_token.status_code, no_token.json()["code"]) == (403, "csrf_failed")


async def test_names_are_shown_and_never_paths(room: Room) -> None:
    made = (await room.upload("../../etc/pass\u202ewd", b"hello")).json()

    assert made["name"] == ".._.._etc_passwd"
    assert all(room.gateway.data in one.parents for one in room.blobs())


async def test_a_message_carries_only_files_of_its_own_person_and_place(room: Room) -> None:
    other = await room.http.post(
        "/api/conversations", json={"title": "Other", "is_group": True}, headers=room.csrf
    )
    elsewhere = (await room.upload("a.txt", b"a", where=other.json()["conversation_id"])).json()
    here = (await room.upload("b.txt", b"b")).json()

    wrong = await room.post(elsewhere["id"])
    unknown = await room.post("00000000-0000-4000-8000-000000000000")
    first = await room.post(here["id"])
    second = await room.post(here["id"])

    assert (wrong.status_code, unknown.status_code) == (400, 400)
    assert (first.status_code, second.status_code) == (201, 409)
    threads = (await room.http.get(f"/api/conversations/{room.id}/threads")).json()["threads"]
    assert len(threads) == 1


async def test_strangers_see_no_file(room: Room) -> None:
    made = (await room.upload("a.txt", b"secret")).json()
    people = room.gateway.app.store.people
    await people.create_user(
        "eve@example.com",
        Actor(name="test", surface="cli"),
        username="eve",
        password="evil eve!",
    )
    async with httpx.AsyncClient(base_url=room.gateway.base_url) as eve:
        login = await eve.post("/api/auth/login", json={"email": "eve", "password": "evil eve!"})
        csrf = {"x-csrf-token": login.json()["csrf_token"]}
        answers = [
            await eve.get(f"/api/attachments/{made['id']}"),
            await eve.get(f"/api/attachments/{made['id']}/content"),
            await eve.get(f"/api/conversations/{room.id}/attachments"),
            await eve.delete(f"/api/attachments/{made['id']}", headers=csrf),
            await eve.patch(f"/api/attachments/{made['id']}", json={"text": "x"}, headers=csrf),
        ]

    assert [one.status_code for one in answers] == [403] * 5


async def test_texts_that_a_stopped_server_left_behind_are_taken(tmp_path: Path) -> None:
    async with running_gateway(tmp_path / "data", environ=_ENVIRON) as gateway:
        room = Room(gateway)
        await room.open()
        room.gateway.app.people.talks.attachments._later = _never
        made = (await room.upload("a.txt", b"later")).json()
        assert made["text_state"] == "pending"
    async with running_gateway(tmp_path / "data", environ=_ENVIRON) as gateway:
        room = Room(gateway)
        await room.open()
        await gateway.app.people.talks.attachments.resume()
        found = (await gateway.http.get(f"/api/attachments/{made['id']}")).json()

    assert (found["text_state"], found["text"]) == ("ready", "later")


async def _never(attachment_id: str) -> None:
    del attachment_id


def test_kinds_are_judged_by_bytes() -> None:
    assert kind_of("a.txt", b"%PDF-1.7 x") == "application/pdf"
    assert kind_of("a.pdf", b"just text") == "text/plain"
    assert kind_of("page.html", b"<script>alert(1)</script>") == "text/plain"
    assert kind_of("x", _PNG) == "image/png"
    assert text_of("image/png", _PNG) is None
    with pytest.raises(InvalidFieldError):
        kind_of("x.txt", b"\xff\xfe\x00")


@pytest.mark.parametrize("broken", [b"%PDF-1.7 nonsense", b"%PDF-1.4\n%%EOF", b"%PDF-"])
async def test_a_broken_pdf_is_said_to_be_broken(room: Room, broken: bytes) -> None:
    made = (await room.upload("x.pdf", broken)).json()

    assert made["text_state"] == "failed"
    assert made["text_error"]


async def test_an_empty_page_is_an_empty_text(room: Room) -> None:
    writer, data = PdfWriter(), BytesIO()
    writer.add_blank_page(100, 100)
    writer.write(data)

    made = (await room.upload("x.pdf", data.getvalue())).json()

    assert (made["text_state"], made["text"]) == ("ready", "")


async def test_files_live_in_an_object_store(tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    with object_store() as store:
        options = "\n".join(f'{name} = "{value}"' for name, value in store.options.items())
        toml = f'[store]\nblobs_url = "s3://{BUCKET}/chat"\n[store.blobs]\n{options}\n'
        async with running_gateway(tmp_path / "data", toml=toml, environ=_ENVIRON) as gateway:
            room = Room(gateway)
            await room.open()
            made = (await room.upload("a.txt", b"in the bucket")).json()
            where = f"/api/attachments/{made['id']}"
            content = await room.http.get(f"{where}/content")
            kept = list(store.kept.values())
            store.broken = True
            refused = await room.upload("b.txt", b"nowhere")
            unread = await room.http.get(f"{where}/content")
            store.broken = False
            removed = await room.http.delete(where, headers=room.csrf)
            local = room.blobs()

    assert (content.content, kept, local) == (b"in the bucket", [b"in the bucket"], [])
    assert [one.status_code for one in (refused, unread, removed)] == [503, 503, 204]
    assert [one.json()["code"] for one in (refused, unread)] == ["blobs_unavailable"] * 2
    assert store.kept == {}
