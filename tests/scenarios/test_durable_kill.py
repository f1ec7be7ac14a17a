"""`kill -9` of a real process in the middle of durable work."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest

T = TypeVar("T")
_ROOT = Path(__file__).parents[2]


class Process:
    """A process of `tests.support.durable_process`."""

    living: ClassVar[list["Process"]] = []

    def __init__(self, url: str, data: Path, *command: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.durable_process", url, str(data), *command],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.living.append(self)

        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == b"ready"

    @property
    def number(self) -> int:
        """As the operating system knows it."""
        return self._process.pid

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._end()

    def stop(self) -> None:
        """Asks it to stop."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._end()

    def _end(self) -> None:
        self.living.remove(self)
        self._process.wait(timeout=30)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture(autouse=True)
def _nobody_left() -> Iterator[None]:
    yield
    for process in list(Process.living):
        process.kill()


def effects(data: Path, count: int) -> Counter[str]:
    """What has happened, once that many things have."""
    file = data / "effects"
    return eventually(lambda: Counter(lines) if len(lines := _lines(file)) >= count else None)


def stopped(data: Path, work: str) -> int:
    """The process that has stopped in the middle of some work."""
    file = data / f"{work}.stopped"
    return eventually(lambda: int(file.read_text()) if file.exists() else None)


def eventually(look: Callable[[], T | None]) -> T:
    """What there is to be seen soon."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize("stop", ["1.before", "1.inside"])
def test_after_a_restart_every_step_has_happened_exactly_once(
    database_url: str, tmp_path: Path, stop: str
) -> None:
    killed = Process(database_url, tmp_path, "work", "a", "3", stop)
    assert stopped(tmp_path, "a") == killed.number
    killed.kill()

    second = Process(database_url, tmp_path, "go")
    found = effects(tmp_path, 3)
    second.stop()

    assert found == Counter({"a 0": 1, "a 1": 1, "a 2": 1})


def test_a_living_process_takes_over_from_a_dead_one_and_never_from_a_living_one(
    postgresql_url: str, tmp_path: Path
) -> None:
    one = Process(postgresql_url, tmp_path, "work", "a", "3", "1.inside")
    other = Process(postgresql_url, tmp_path, "work", "held", "2", "1.before")
    at = {stopped(tmp_path, work): work for work in ("a", "held")}
    assert set(at) == {one.number, other.number}
    # They share the queue: either may have taken either.
    dying, other = (one, other) if at[one.number] == "a" else (other, one)
    third = Process(postgresql_url, tmp_path, "go")
    dying.kill()

    found = effects(tmp_path, 4)
    third.stop()
    other.kill()

    assert found == Counter({"held 0": 1, "a 0": 1, "a 1": 1, "a 2": 1})
