import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.gateway.history import DecisionFilter, History
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio

PROGRAM = """
import asyncio, sys
from pathlib import Path
from interlock.gateway.recorder import BatchRecorder
from interlock.storage.engine import Database
from tests.support.records import make_decision

async def main():
    recorder = BatchRecorder(Database(sys.argv[1]), spool_dir=Path(sys.argv[2]))
    recorder.start()
    number = 0
    while True:
        recorder.decision(make_decision(id=f"dec_{number:06}"))
        if not await recorder.flush(wait_s=10):
            return
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


async def test_a_process_killed_at_any_moment_loses_no_flushed_decision(
    database: Database, tmp_path: Path
) -> None:
    url = database.url.render_as_string(hide_password=False)
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
        [sys.executable, "-c", PROGRAM, url, str(tmp_path / "spool")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    confirmed = [int(process.stdout.readline()) for _ in range(30)]
    process.send_signal(signal.SIGKILL)
    confirmed += [int(line) for line in process.stdout.read().split()]
    process.wait()
    process.stdout.close()

    page = await History(database).decisions(DecisionFilter(), limit=10_000)
    stored = {record.id for record in page.decisions}
    assert {f"dec_{number:06}" for number in confirmed} <= stored
