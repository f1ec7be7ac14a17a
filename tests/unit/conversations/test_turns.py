"""Replies are made fairly, and in order within one thread and agent."""

import asyncio
from collections.abc import Sequence

import pytest

from interlock.conversations.replies.turns import Turns

pytestmark = pytest.mark.anyio


class Work:
    """Replies that wait for a turn, and go on when they are told."""

    def __init__(self, most: int) -> None:
        self.turns = Turns(most)
        self.begun: list[str] = []
        self.over: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, person: str, lane: str, order: str) -> None:
        self.over[order] = asyncio.Event()

        async def make() -> None:
            async with self.turns.turn(person, lane, order):
                self.begun.append(order)
                await self.over[order].wait()

        self.tasks[order] = asyncio.create_task(make())
        await settled()

    async def finish(self, *orders: str) -> None:
        for one in orders:
            self.over[one].set()
            await self.tasks[one]
            await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def _asked(work: Work, given: Sequence[tuple[str, str, str]]) -> None:
    for person, lane, order in given:
        await work.ask(person, lane, order)


async def test_no_more_than_so_many_at_a_time() -> None:
    work = Work(2)
    await _asked(work, [("ann", f"t{n}", f"{n}") for n in range(4)])
    before = list(work.begun)
    await work.finish("0")
    after = list(work.begun)
    await work.finish("1", "2", "3")

    assert (before, after) == (["0", "1"], ["0", "1", "2"])


async def test_one_person_with_many_questions_keeps_nobody_waiting() -> None:
    work = Work(1)
    await _asked(work, [("ann", f"t{n}", f"a{n}") for n in range(4)])
    await _asked(work, [("bob", "u", "b0"), ("cleo", "v", "c0")])
    await work.finish("a0", "b0", "c0", "a1", "a2", "a3")

    assert work.begun == ["a0", "b0", "c0", "a1", "a2", "a3"]


async def test_one_agent_answers_a_thread_in_order_and_other_threads_beside_it() -> None:
    work = Work(8)
    await _asked(work, [("ann", "t", "1"), ("bob", "t", "3"), ("bob", "t", "2"), ("ann", "u", "4")])
    before = list(work.begun)
    await work.finish("1", "2", "3", "4")

    assert before == ["1", "4"]
    assert work.begun == ["1", "4", "2", "3"]


async def test_a_turn_that_is_given_up_goes_to_the_next() -> None:
    work = Work(1)
    await _asked(work, [("ann", "t", "1"), ("ann", "t", "2"), ("ann", "t", "3")])
    work.tasks["2"].cancel()
    work.tasks["1"].cancel()
    await settled()

    assert work.begun == ["1", "3"]
    await work.finish("3")


async def test_a_turn_given_up_in_the_moment_it_was_granted_is_not_lost() -> None:
    work = Work(1)
    await _asked(work, [("ann", "t", "1"), ("ann", "u", "2"), ("ann", "v", "3")])
    work.over["1"].set()
    await work.tasks["1"]  # the turn is granted to 2, which has not run yet
    work.tasks["2"].cancel()
    await settled()

    assert work.begun[-1] == "3"
    await work.finish("3")
