"""The program under test: its commands, and workers as processes that are started, watched and killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from project import Failure, launcher

START_DEADLINE_S = 60
STOP_DEADLINE_S = 60
REQUEST_DEADLINE_S = 10
LOG_TAIL_LINES = 30
METRIC = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')


class Holdfast:
    """The binary with the settings of a run."""

    def __init__(self, binary: Path, folder: Path, settings: dict[str, str]):
        self.binary = binary
        self.folder = folder
        # Settings of the caller's own would make this another run.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST__")}
        named = {"HOLDFAST__" + key.upper().replace(".", "__"): value for key, value in settings.items()}
        self.environment = {**environment, **named}

    def command(self, *arguments: str) -> str:
        """Runs a command to its end and returns what it prints; fails when it does."""
        result = self.attempt(*arguments)
        if result.returncode != 0:
            shown = "\n".join((result.stdout + result.stderr).splitlines()[-LOG_TAIL_LINES:])
            raise Failure(f"holdfast {' '.join(arguments)} ended with {result.returncode}:\n{shown}")
        return result.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess:
        """Runs a command to its end."""
        return subprocess.run(
            [str(self.binary), *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def piped(self, *arguments: str, log: Path, **pipes) -> subprocess.Popen:
        """Starts a command that goes on, apart from our terminal and ended by the kernel when we are killed."""
        with open(log, "ab") as errors:
            return subprocess.Popen(
                [*launcher(None, "KILL"), str(self.binary), *arguments],
                cwd=self.folder,
                env=self.environment,
                stderr=errors,
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL, "stdout": errors, **pipes},
            )


class Worker:
    """One `holdfast run`. Must be started in the main thread: the kernel ends it with the thread that did."""

    def __init__(self, holdfast: Holdfast, name: str, port: int):
        environment = {**holdfast.environment, "HOLDFAST__HTTP__LISTEN": f"127.0.0.1:{port}"}
        self._holdfast = Holdfast(holdfast.binary, holdfast.folder, {})
        self._holdfast.environment = environment
        self.name = name
        self.address = f"http://127.0.0.1:{port}"
        self.log = holdfast.folder / f"{name}.log"
        self._process: subprocess.Popen | None = None
        # A second signal would end it at once.
        self._asked = False

    def start(self) -> None:
        self._asked = False
        self._process = self._holdfast.piped("run", log=self.log)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def demand_running(self) -> None:
        """Fails, with the end of its log, when the worker ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise Failure(f"{self.name} ended by itself with {self._process.returncode}:\n{self.log_tail()}")

    def wait_until_ready(self) -> None:
        """Returns when the worker says that it is ready."""
        deadline = time.monotonic() + START_DEADLINE_S
        while self.get("/readyz") is None:
            self.demand_running()
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} is not ready after {START_DEADLINE_S} s:\n{self.log_tail()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self._process.kill()
        self._process.wait()
        self._process = None

    def ask_to_stop(self) -> None:
        """Lets it begin to end; `stop` waits for it."""
        if self.is_running() and not self._asked:
            self._asked = True
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ends it in the clean way; fails when it does not end so."""
        self.ask_to_stop()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            code = process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failure(f"{self.name} did not stop within {STOP_DEADLINE_S} s:\n{self.log_tail()}") from None
        if code != 0:
            raise Failure(f"{self.name} stopped with {code}:\n{self.log_tail()}")

    def end(self) -> None:
        """Ends it whatever state it is in, cleanly if it can."""
        try:
            self.stop()
        except Failure as failure:
            print(failure, file=sys.stderr)

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def get(self, path: str) -> str | None:
        """The body of a successful answer of the sidecar; nothing otherwise."""
        # Proxies of the environment are for other hosts.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.address + path, timeout=REQUEST_DEADLINE_S) as response:
                return response.read().decode()
        except OSError:
            return None

    def metrics(self) -> "Metrics":
        """What it counts now; nothing where it does not answer."""
        return Metrics(self.get("/metrics") or "")

    def listed_stock(self) -> Iterator[dict]:
        """Every stock row that the sidecar lists."""
        path = "/api/v1/stock?limit=500"
        cursor = ""
        while True:
            page = self.get(path + cursor)
            if page is None:
                raise Failure(f"{self.name} does not answer {path}{cursor}")
            page = json.loads(page)
            yield from page["items"]
            if page.get("next") is None:
                return
            cursor = "&cursor=" + urllib.parse.quote(page["next"], safe="")


class Metrics:
    """Numbers in the text format of Prometheus."""

    def __init__(self, text: str):
        self._samples: list[tuple[str, dict[str, str], float]] = []
        for line in text.splitlines():
            match = METRIC.match(line)
            if match:
                self._samples.append((match[1], dict(LABEL.findall(match[2] or "")), float(match[3])))

    def total(self, name: str, **labels: str) -> int | None:
        """The sum over all samples of this name and these labels; nothing when there is none of this name."""
        samples = [(found, value) for sample, found, value in self._samples if sample == name]
        if not samples:
            return None
        return int(sum(value for found, value in samples if labels.items() <= found.items()))
