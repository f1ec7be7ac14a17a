"""Kills a server at random moments while agents answer, and counts what was lost or doubled.

    python -m benchmarks.kill_replies --kills 200 --replies 50

One reader follows all conversations over every restart with the id of its last event.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

import httpx
from tests.scenarios.test_replies import Person, Server

_TARGET = Path(__file__).parent / "KILLS.md"


class Reader:
    """Appends deltas blindly, like the published clients."""

    def __init__(self):
        self.texts, self.done, self.cursor = {}, {}, ""

    async def follow(self, http):
        headers = {"last-event-id": self.cursor} if self.cursor else {}
        try:
            async with http.stream("GET", "/api/chat/stream?extended=0", headers=headers) as got:
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
                    self.cursor = event_id
        except httpx.TransportError:
            return  # killed


async def ask_more(person, asked, finished, replies):
    """Keeps so many replies open; what was acknowledged is in `asked`."""
    while True:
        if len(asked) - len(finished.done) >= replies:
            await asyncio.sleep(0.02)
            continue
        text = f"TOKENS {random.randrange(500, 6000)}"
        try:
            answer = await person.http.post(
                "/api/chat", json={"message": text}, headers=person.csrf
            )
        except httpx.TransportError:
            return
        if answer.status_code == 202:
            found = answer.json()
            asked[found["assistant_message_id"]] = (found["message_id"], text)
        else:
            await asyncio.sleep(0.1)


async def run(kills, replies, data):
    """Counts of what happened."""
    asked, reader, cookies, csrf = {}, Reader(), None, {}
    for number in range(kills + 1):
        server = await asyncio.to_thread(Server, data)
        async with httpx.AsyncClient(base_url=server.url, timeout=30, cookies=cookies) as http:
            person = Person(http)
            person.csrf = csrf
            if cookies is None:
                await person.sign_in()
            following = asyncio.create_task(reader.follow(http))
            if number < kills:
                asking = asyncio.create_task(ask_more(person, asked, reader, replies))
                await asyncio.sleep(random.uniform(0.3, 3))
                server.kill()
                asking.cancel()  # it may wait for replies that nobody makes now
                await asyncio.gather(following, asking, return_exceptions=True)
                cookies, csrf = http.cookies, person.csrf
                print(f"kill {number + 1}: {len(asked)} asked, {len(reader.done)} done", flush=True)
                continue
            until = time.monotonic() + 300
            while time.monotonic() < until and set(asked) - set(reader.done):
                await asyncio.sleep(0.2)
            found = await judged(person, asked, reader)
            following.cancel()
        await asyncio.to_thread(server.stop)
    return found


async def judged(person, asked, reader):
    """What the store says against what was acknowledged and what was read."""
    found = dict.fromkeys(
        ("replies", "complete", "interrupted", "other", "questions lost", "text differs",
         "chunks differ", "done not once"), 0
    )  # fmt: skip
    for reply_id, (question_id, text) in asked.items():
        question, reply = await person.message(question_id), await person.message(reply_id)
        chunks = (await person.http.get(f"/api/messages/{reply_id}/chunks?limit=5000")).json()
        found["replies"] += 1
        code = (reply.get("error") or {}).get("code")
        kind = "complete" if reply["status"] == "complete" else "other"
        found["interrupted" if code == "assistant_interrupted" else kind] += 1
        found["questions lost"] += question.get("content") != text
        found["text differs"] += reader.texts.get(reply_id, "") != reply["content"]
        whole = "".join(one["content"] for one in chunks) == reply["content"]
        ordered = [one["idx"] for one in chunks] == list(range(len(chunks)))
        found["chunks differ"] += not (whole and ordered)
        found["done not once"] += reader.done.get(reply_id, 0) != 1
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--replies", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        found = asyncio.run(run(given.kills, given.replies, Path(data) / "data"))
    lines = [
        "# Killed in the middle of replies",
        "",
        f"`make kill-replies`: {given.kills} times `kill -9` at random moments with up to "
        f"{given.replies} replies open, SQLite. Expected: nothing lost, different or doubled.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in found.items()),
        "",
    ]
    _TARGET.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
