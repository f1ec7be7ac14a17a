"""One measured server process: started pinned, read from /proc, frozen while others run."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["TICKS_PER_SECOND", "Server", "pinned"]

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """`command` bound to one core, or as it is when the machine cannot bind."""
    if core is None or shutil.which("taskset") is None:
        return list(command)
    return ["taskset", "-c", str(core), *command]


class Server:
    """A child process with everything it forked.

    Only processes started here are ever signalled, by their id.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        core: int | None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        with log.open("wb") as sink:
            self._child = subprocess.Popen(
                pinned(command, core),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def tree(self) -> list[int]:
        """Ids of the process and all its descendants that still live."""
        found, queue = [], [self._child.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    queue.extend(int(child) for child in children.read_text().split())
                except OSError:
                    continue
        return found

    def cpu_ticks(self) -> int:
        """User and system time of the tree, in clock ticks; monotonic while no child ends."""
        total = 0
        for pid in self.tree():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            total += int(fields[11]) + int(fields[12])
        return total

    def cpu_s(self) -> float:
        """The same in seconds and finer than a tick: of the threads that live, from the scheduler.

        A thread that ends takes its time with it, so read it around work of lasting threads.
        """
        total = 0
        for pid in self.tree():
            for times in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    total += int(times.read_text().split()[0])
                except OSError:
                    continue
        return total / 1e9

    def rss_kib(self) -> int:
        """Resident memory of the tree (pages shared between its members count twice)."""
        total = 0
        for pid in self.tree():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        return total

    def freeze(self) -> None:
        """Stop the tree where it is: it costs nothing while another is measured."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen tree go on."""
        self._signal(signal.SIGCONT)

    def stop(self, *, grace_s: float = 5.0) -> None:
        """End the tree, politely first. Safe to call twice."""
        members = self.tree() if self.alive else []
        self.thaw()
        if self.alive:
            self._child.terminate()
            try:
                self._child.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait(grace_s)
        for pid in members[1:]:
            _end_orphan(pid)

    def last_words(self, *, limit: int = 200) -> str:
        """The last line of the log that says something; what a failed start is reported with."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:limit] if said else ""

    def _signal(self, number: signal.Signals) -> None:
        if not self.alive:
            return
        for pid in self.tree():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def _end_orphan(pid: int) -> None:
    deadline = time.monotonic() + 2.0
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
