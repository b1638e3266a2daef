"""One server process: started, watched, frozen, killed. Linux only, because processes are found through /proc."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

START_DEADLINE_S = 120
STOP_DEADLINE_S = 60
POLL_S = 0.05
LOG_TAIL_LINES = 30


class Failed(Exception):
    """A server did not do what was asked; the text says which server and what."""


class Ports:
    """Hands out free ports of loopback, each once.

    They lie below the range from which the system takes the ports of outgoing connections, so that a server that
    is down for a while finds its port still free.
    """

    FIRST, LAST = 20_000, 31_999

    def __init__(self):
        self._order = iter(random.sample(range(self.FIRST, self.LAST + 1), 1_000))

    def take(self) -> int:
        for port in self._order:
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
        raise Failed(f"found no free port of 127.0.0.1 between {self.FIRST} and {self.LAST}")


class Server:
    """One server with its data, its log and a port that stays the same over restarts, in a session of its own.

    `prepare` may run in any thread. `launch` must run in the main thread: the kernel ends a server with the
    thread that started it.
    """

    name = ""
    # The clean way to end it.
    stop_signal = signal.SIGTERM
    # The quick way to end it when its data are thrown away.
    discard_signal = signal.SIGKILL
    # Sent by the kernel when the process that watches this server is killed itself.
    orphan_signal = "KILL"

    def __init__(self, folder: Path, ports: Ports):
        self.folder = folder / self.name
        self.log = self.folder / "server.log"
        self.port = ports.take()
        self.process: subprocess.Popen | None = None
        self._log_start = 0

    def prepare(self) -> None:
        """Makes the data folder when it does not exist."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether the server serves requests now."""
        raise NotImplementedError

    def user(self) -> str | None:
        """The system user that the server must run as, when it is not ours."""
        return None

    def describe(self) -> dict:
        """What a client needs to know, as JSON."""
        return {"port": self.port, "pid": self.process.pid, "log": str(self.log)}

    def run_once(self, command: list[str]) -> bool:
        """Runs a command that prepares the data, with its output in the server's log; says whether it succeeded."""
        with open(self.log, "ab") as log:
            result = subprocess.run(
                launcher(self.user(), self.orphan_signal) + command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return result.returncode == 0

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Starts the process without waiting for it."""
        if self.is_running():
            raise Failed(f"{self.name} is already running")
        with open(self.log, "ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                launcher(self.user(), self.orphan_signal) + self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Returns when the server answers; fails when it ended or its deadline passed."""
        deadline = time.monotonic() + START_DEADLINE_S
        while not self.answers():
            if not self.is_running():
                raise Failed(f"{self.name} ended while it started, status {self.process.returncode}")
            if time.monotonic() > deadline:
                raise Failed(f"{self.name} did not answer within {START_DEADLINE_S} s")
            time.sleep(POLL_S)

    def start(self) -> None:
        """Starts a server that was stopped or killed, on its old port and data."""
        self.launch()
        self.wait_until_ready()

    def stop(self) -> None:
        """Ends the server in the clean way."""
        self._demand_running()
        self._end_by(self.stop_signal)

    def restart(self) -> None:
        """A clean stop and a start."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Ends every process of the server at once, as a crash would."""
        self._demand_running()
        members = self._signal_all(signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + STOP_DEADLINE_S
        while any(_is_alive(member) for member in members):
            if time.monotonic() > deadline:
                raise Failed(f"{self.name} is still there after a kill")
            time.sleep(POLL_S)

    def pause(self) -> None:
        """Freezes every process of the server; its connections stay open and nothing answers.

        The signal is taken by one thread, and the others go on until that one has its turn: only when all of them
        stand still is the server frozen.
        """
        self._demand_running()
        members = self._signal_all(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_DEADLINE_S
        while not all(_is_frozen(member) for member in members):
            if time.monotonic() > deadline:
                raise Failed(f"{self.name} does not stand still")
            time.sleep(POLL_S)

    def resume(self) -> None:
        """Ends a pause."""
        self._demand_running()
        self._signal_all(signal.SIGCONT)

    def end(self, keep_data: bool) -> None:
        """Ends the server, whatever state it is in."""
        if self.is_running():
            self._end_by(self.stop_signal if keep_data else self.discard_signal)

    def log_tail(self) -> str:
        """The last lines of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def logged(self, text: str) -> bool:
        """Whether the log holds `text` since the last launch."""
        with open(self.log, "rb") as log:
            log.seek(self._log_start)
            return text.encode() in log.read()

    def _end_by(self, number: int) -> None:
        self._signal_all(signal.SIGCONT)
        os.kill(self.process.pid, number)
        try:
            self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} did not stop within {STOP_DEADLINE_S} s and was killed") from None

    def _demand_running(self) -> None:
        if not self.is_running():
            raise Failed(f"{self.name} is not running")

    def _signal_all(self, number: int) -> list[int]:
        """Signals the process and its children; the first is frozen before, so that it starts no more of them."""
        first = self.process.pid
        os.kill(first, signal.SIGSTOP)
        members = [*_children(first), first]
        for member in members:
            try:
                os.kill(member, number)
            except ProcessLookupError:
                continue
        return members


def launcher(user: str | None, orphan_signal: str) -> list[str]:
    """What stands before a command so that it runs as `user` and is signalled by the kernel when we are killed."""
    if shutil.which("setpriv") is None:
        if user is not None:
            raise Failed(f"running as {user} needs the program setpriv of util-linux")
        return []
    identity = [] if user is None else [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return ["setpriv", *identity, "--pdeathsig", orphan_signal, "--"]


def accepts_connections(port: int) -> bool:
    """Whether something listens on a port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _children(parent: int) -> list[int]:
    """The direct children of a process."""
    children = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            status = _status(int(entry.name))
            if status is not None and status[1] == parent:
                children.append(int(entry.name))
    return children


def _is_frozen(pid: int) -> bool:
    """Whether every thread of a process was stopped by a signal, or is gone."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return True
    statuses = [_status(f"{pid}/task/{thread.name}") for thread in threads]
    return all(status is None or status[0] in "TZX" for status in statuses)


def _is_alive(pid: int) -> bool:
    status = _status(pid)
    return status is not None and status[0] not in "ZX"


def _status(place: int | str) -> tuple[str, int] | None:
    """State letter and parent of a process, or of a thread as "PID/task/TID"; nothing when it is gone."""
    try:
        fields = Path(f"/proc/{place}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1])
