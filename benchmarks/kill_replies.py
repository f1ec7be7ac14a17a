"""Kills servers at random moments while agents answer, and counts what was lost or doubled.

    python -m benchmarks.kill_replies --kills 200 --replies 50
    python -m benchmarks.kill_replies --store postgresql

On SQLite there is one server; on PostgreSQL and Redis there are two behind a balancer, and one
of them is killed at a time. One reader follows all conversations over every restart with the id
of its last event. The counts go into `KILLS.md`, a section for each store.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import httpx
import psycopg
import redis
from psycopg import sql
from tests.support.balancer import balancer
from tests.support.scratch_redis import REDIS_URL
from tests.support.served import served

_TARGET = Path(__file__).parent / "KILLS.md"
_ADMIN = {"email": "root@example.com", "password": "correct horse battery"}
_POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432")
_STORES = {
    "sqlite": ("SQLite, one server", 2.0),
    "postgresql": ("PostgreSQL and Redis, two servers", 10.0),
}
"""What a store is called, and how long servers live at most between two kills, in seconds."""
_END_S = 300
_BEGIN_S = 20
_ASKERS = 4


class Reader:
    """Appends deltas blindly, like the published clients."""

    def __init__(self):
        self.texts, self.done, self.cursor, self.resets = {}, {}, "", 0

    async def follow(self, url, cookies):
        """Reads until it is cancelled; connects again whenever a stream ends."""
        while True:
            async with httpx.AsyncClient(base_url=url, timeout=60, cookies=cookies) as http:
                with contextlib.suppress(httpx.TransportError):
                    await self._read(http)
            await asyncio.sleep(0.1)

    async def _read(self, http):
        headers = {"last-event-id": self.cursor} if self.cursor else {}
        async with http.stream("GET", "/api/chat/stream?extended=1", headers=headers) as got:
            event_id = ""
            async for line in got.aiter_lines():
                if line.startswith("id: "):
                    event_id = line[4:]
                if not line.startswith("data: "):
                    continue
                event = json.loads(line[6:])
                said = event["payload"]
                if event["type"] == "message.delta":
                    one = said["message_id"]
                    text = said["choices"][0]["delta"]["content"]
                    self.texts[one] = self.texts.get(one, "") + text
                if event["type"] == "message.done":
                    one = said["message_id"]
                    self.done[one] = self.done.get(one, 0) + 1
                self.resets += event["type"] == "stream.reset"
                self.cursor = event_id or self.cursor


async def ask_more(url, person, asked, finished, replies):
    """Keeps so many replies open; what was acknowledged is in `asked`."""
    while True:
        async with httpx.AsyncClient(base_url=url, timeout=30, **person) as http:
            with contextlib.suppress(httpx.TransportError):  # what was cut off was not acknowledged
                await _ask(http, asked, finished, replies)
        await asyncio.sleep(0.05)


async def _ask(http, asked, finished, replies):
    while True:
        if len(asked) - len(finished.done) >= replies:
            await asyncio.sleep(0.02)
            continue
        text = f"TOKENS {random.randrange(100, 3000)}"
        answer = await http.post("/api/chat", json={"message": text})
        if answer.status_code == 202:
            found = answer.json()
            asked[found["assistant_message_id"]] = (found["message_id"], text)
        else:
            await asyncio.sleep(0.1)


async def run(kills, replies, data, environs, most_s, minutes):
    """Counts of what happened."""
    asked, reader = {}, Reader()
    async with (
        served(data, *environs) as servers,
        balancer([one.base_url for one in servers]) as front,
    ):
        async with httpx.AsyncClient(base_url=front.base_url, timeout=30) as http:
            login = (await http.post("/api/auth/login", json=_ADMIN)).raise_for_status()
            person = {
                "cookies": dict(http.cookies),
                "headers": {"x-csrf-token": login.json()["csrf_token"]},
            }
        following = asyncio.create_task(reader.follow(front.base_url, person["cookies"]))
        asking = asyncio.gather(
            *(ask_more(front.base_url, person, asked, reader, replies) for _ in range(_ASKERS))
        )
        open_at_kill = []
        until = time.monotonic() + 60 * minutes
        for number in range(kills):
            if time.monotonic() > until:
                break
            await goes_on(reader, asked)
            await asyncio.sleep(random.uniform(0, most_s))
            which = random.randrange(len(servers))
            await servers[which].kill()
            open_at_kill.append(len(asked) - len(reader.done))
            await servers[which].start()
            front.servers[which] = servers[which].base_url
            for task in (following, asking):
                if task.done():
                    task.result()
            told = f"kill {number + 1}: {len(asked)} asked, {len(reader.done)} done"
            print(told, flush=True)
        asking.cancel()
        begun = time.monotonic()
        while time.monotonic() < begun + _END_S and set(asked) - set(reader.done):
            await asyncio.sleep(0.2)
        took = time.monotonic() - begun
        await asyncio.sleep(1)  # for what would come twice
        async with httpx.AsyncClient(base_url=front.base_url, timeout=60, **person) as http:
            found = await judged(http, asked, reader)
        following.cancel()
        await asyncio.gather(following, asking, return_exceptions=True)
        for one in servers:
            await one.stop()
    return {
        "kills": len(open_at_kill),
        "replies open at a kill, on average": round(sum(open_at_kill) / len(open_at_kill), 1),
        **found,
        "resumes that could not replay": reader.resets,
        "seconds until the last reply had ended, after the last kill": round(took, 1),
    }


async def goes_on(reader, asked):
    """Waits until the servers have begun to work again, or have had time enough for it."""
    cursor, count, until = reader.cursor, len(asked), time.monotonic() + _BEGIN_S
    while time.monotonic() < until and (reader.cursor, len(asked)) == (cursor, count):
        await asyncio.sleep(0.02)


async def judged(http, asked, reader):
    """What the store says against what was acknowledged and what was read."""
    found = dict.fromkeys(
        ("replies acknowledged", "complete", "interrupted, and told so", "other ends",
         "without an end", "questions lost", "text read differs from text stored",
         "text other than asked for", "chunks differ", "end told not exactly once"), 0
    )  # fmt: skip
    for reply_id, (question_id, text) in asked.items():
        question, reply = await got(http, question_id), await got(http, reply_id)
        chunks = await got(http, f"{reply_id}/chunks?limit=5000")
        found["replies acknowledged"] += 1
        code = (reply.get("error") or {}).get("code")
        kind = {"complete": "complete", "queued": "without an end", "streaming": "without an end"}
        ended = kind.get(reply.get("status"), "other ends")
        found["interrupted, and told so" if code == "assistant_interrupted" else ended] += 1
        found["questions lost"] += question.get("content") != text
        stored = reply.get("content", "")
        differs = reader.texts.get(reply_id, "") != stored
        found["text read differs from text stored"] += differs
        wanted = int(text.split()[1])
        wrong = reply.get("status") == "complete" and len(stored.split()) != wanted
        found["text other than asked for"] += wrong
        whole = "".join(one["content"] for one in chunks) == stored
        ordered = [one["idx"] for one in chunks] == list(range(len(chunks)))
        found["chunks differ"] += not (whole and ordered)
        told = reader.done.get(reply_id, 0)
        found["end told not exactly once"] += told != 1
        if ended not in {"complete"} or differs or wrong or told != 1 or not (whole and ordered):
            print(f"look at {reply_id}: {reply.get('status')} {code} told {told} times, {text}")
    return found


async def got(http, place):
    """A document about a message; patient with limits of requests."""
    while True:
        answer = await http.get(f"/api/messages/{place}")
        if answer.status_code != 429:
            return answer.json()
        await asyncio.sleep(float(answer.headers.get("retry-after", 1)))


@contextlib.contextmanager
def environments(store, replies):
    """Settings of each server of a store that is gone afterwards."""
    environ = {
        "INTERLOCK_ADMIN_EMAIL": _ADMIN["email"],
        "INTERLOCK_ADMIN_PASSWORD": _ADMIN["password"],
        "INTERLOCK_SECRET_KEY": "a master key of this benchmark",
        "INTERLOCK_LOG_LEVEL": "warning",
        "INTERLOCK_CHAT_MAX_CONCURRENT_REPLIES": str(replies),
        # Fifty replies at once write more in a second than a resume replays by default; beyond
        # it the present state is told instead, and one could not count what came twice.
        "INTERLOCK_SSE_MAX_BACKFILL_EVENTS": "1000000",
    }
    if store == "sqlite":
        yield [environ]
        return
    name, prefix = f"interlock_kills_{uuid.uuid4().hex[:12]}", f"kills:{uuid.uuid4()}"
    with psycopg.connect(f"{_POSTGRESQL}/postgres", autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    environ |= {
        "INTERLOCK_DATABASE_URL": f"{_POSTGRESQL}/{name}",
        "INTERLOCK_REDIS_URL": REDIS_URL,
        "INTERLOCK_STORE_REDIS_PREFIX": prefix,
    }
    try:
        yield [environ, environ]
    finally:
        with psycopg.connect(f"{_POSTGRESQL}/postgres", autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        with redis.from_url(REDIS_URL) as client:
            for key in client.scan_iter(f"{prefix}*"):
                client.delete(key)


def written(store, found):
    """Puts the section of a store into the page, and leaves the others."""
    name, most_s = _STORES[store]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    section = [
        f"## {name}",
        "",
        f"Measured on {time.strftime('%Y-%m-%d', time.gmtime())} at {commit}; killed up to "
        f"{most_s:g} s after work went on.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {what} | {count} |" for what, count in found.items()),
        "",
    ]
    head = [
        "# Killed in the middle of replies",
        "",
        "`make kill-replies`: servers are killed (`kill -9`) at random moments while agents write",
        "up to 50 replies at once, and started again. One reader follows over every restart and",
        "appends blindly. Expected: every acknowledged question and reply is there once, what was",
        "read is what is stored, and every reply ends once, complete or with a stated error.",
        "",
    ]
    kept = {}
    if _TARGET.exists():
        for part in _TARGET.read_text().split("\n## ")[1:]:
            kept[part.partition("\n")[0]] = ["## " + part.rstrip("\n"), ""]
    kept[name] = section
    order = [title for title, _ in _STORES.values() if title in kept]
    return "\n".join([*head, *(line for title in order for line in kept[title])])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--replies", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=1e9, help="no more kills after it")
    parser.add_argument("--store", choices=_STORES, default="sqlite")
    parser.add_argument("--keep", type=Path, help="directory of the servers' data and logs")
    given = parser.parse_args()
    most_s = _STORES[given.store][1]
    with (
        tempfile.TemporaryDirectory() as data,
        environments(given.store, given.replies) as environs,
    ):
        place = given.keep or Path(data)
        place.mkdir(parents=True, exist_ok=True)
        found = asyncio.run(run(given.kills, given.replies, place, environs, most_s, given.minutes))
    text = written(given.store, found)
    _TARGET.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
