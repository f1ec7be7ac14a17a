"""Sessions of two processes on one database: nothing that one stored is overwritten."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from interlock.gateway.ids import SessionIds
from interlock.gateway.recorder import BatchRecorder
from interlock.gateway.session import SessionBusyError, Sessions
from interlock.gateway.session_state import CallState
from interlock.identity.model import KeyInfo
from interlock.kernel.clock import SystemClock
from interlock.policy.model import Labels, Session
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pair(database: Database, tmp_path: Path) -> AsyncIterator[tuple[Sessions, Sessions]]:
    """The sessions of two processes on one database."""
    recorders = [BatchRecorder(database, spool_dir=tmp_path / name) for name in ("a", "b")]
    one, other = (
        Sessions(ids=SessionIds(b"secret"), recorder=recorder, clock=SystemClock(), shared=True)
        for recorder in recorders
    )
    for recorder in recorders:
        recorder.start()
    yield one, other
    for recorder in recorders:
        await recorder.stop()


def _key() -> KeyInfo:
    return KeyInfo(
        id="key_1", account_id="acc", user_id="usr", user_email="a@example.com", label="test"
    )


def _call(tool: str) -> CallState:
    return CallState(upstream_id=f"up_{tool}", tool=tool, arguments="{}")


async def test_who_stores_second_keeps_what_the_first_one_stored(
    pair: tuple[Sessions, Sessions],
) -> None:
    one, other = pair
    here = await one.of_client("conversation", _key(), "code")
    there = await other.of_client("conversation", _key(), "code")

    async with one.locked(here):
        async with other.locked(there):
            there.policy = Session(labels=Labels.of(tags=["private"], consumers=["hr"]))
            there.add_call("tc-there", _call("there"))
        here.policy = Session(labels=Labels.of(tags=["web"]))
        here.add_call("tc-here", _call("here"))
    async with other.locked(there):
        pass

    for live in (here, there):
        assert live.policy.labels == Labels.of(tags=["private", "web"], consumers=["hr"])
        assert set(live.state.calls) == {"tc-here", "tc-there"}


async def test_one_id_given_to_two_calls_is_refused_to_the_second(
    pair: tuple[Sessions, Sessions],
) -> None:
    one, other = pair
    here = await one.of_client("conversation", _key(), "code")
    there = await other.of_client("conversation", _key(), "code")

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(one.locked(here))
        async with other.locked(there):
            there.add_call("tc0000000000000001", _call("there"))
        here.add_call("tc0000000000000001", _call("here"))
        with pytest.raises(SessionBusyError):
            await stack.aclose()


async def test_processes_draw_compact_ids_that_no_call_has(
    pair: tuple[Sessions, Sessions],
) -> None:
    live = await pair[0].of_client("conversation", _key(), "code")
    taken = f"tc{live.id[-12:]}"
    live.state.calls = {f"{taken}{n:04x}": _call("read") for n in range(65_536) if n != 4711}
    live.fresh = True

    async with pair[0].locked(live):
        assert live.state.counter == 4711


async def test_a_session_that_did_not_change_is_not_written_again(
    pair: tuple[Sessions, Sessions],
) -> None:
    live = await pair[0].of_client("conversation", _key(), "code")
    async with pair[0].locked(live):
        live.add_call("tc-1", _call("read"))
    version = live.version
    async with pair[0].locked(live):
        pass

    assert (version, live.version) == (1, 1)
