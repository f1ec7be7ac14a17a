"""A process with durable work, to be killed. Arguments: URL DATA COMMAND.

`work ID N STOP` enqueues a workflow of N steps. Each writes a line `ID K` to DATA/effects
when it has happened. At STOP (`K.before` a step, or `K.inside` it) the process that runs it
writes its number to DATA/ID.stopped and waits to be killed; the first time only. A process
runs one workflow at a time. `go` enqueues nothing: it goes on with what is there. Prints
`ready` when started; ends when its input does.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvloop

from interlock.durable.model import Queue, Workflow
from interlock.durable.service import Durable, step
from interlock.storage.engine import Database


async def main(url: str, data: Path, command: list[str]) -> None:
    """Runs until killed, or its input ends."""
    effects = data / "effects"

    async def here(work: str, stop: str, place: str) -> None:
        marker = data / f"{work}.stopped"
        if stop == place and not marker.exists():
            written = marker.with_suffix(".new")
            written.write_text(str(os.getpid()))
            written.rename(marker)
            await asyncio.Event().wait()

    async def effect(work: str, number: int, stop: str) -> None:
        await here(work, stop, f"{number}.inside")
        with effects.open("a") as file:
            file.write(f"{work} {number}\n")
            file.flush()
            os.fsync(file.fileno())

    async def run(work: str, count: int, stop: str) -> None:
        for number in range(count):
            await here(work, stop, f"{number}.before")
            await step(f"effect {number}", effect, work, number, stop)

    durable = Durable(
        Database(url),
        data,
        workflows=[Workflow(name="effects", run=run)],
        queues=[Queue(name="work", concurrency=1, poll_s=0.05)],
        takeover_s=0.2,
    )
    await durable.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if command[0] == "work":
        _, work, count, stop = command
        await durable.enqueue("work", "effects", work, int(count), stop, id=work)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()
    loop.remove_reader(sys.stdin)
    await durable.stop()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
