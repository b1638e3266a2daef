"""PostgreSQL and Kafka, which is asked through its own tools."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import postgres
from bus import GROUP, OUT_TOPICS, STALL_S, Bus, Positions
from postgres import Postgres
from project import TOOLS, Failure
from testbed import Testbed
from worker import Holdfast, Worker

GROUP_COMMAND = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
# Reading ends when nothing came for so long; the first record takes longer.
FIRST_RECORD_S = 60
QUIET_S = 4
READ_BYTES = 1 << 20
LAG = "holdfast_source_lag_records"
# The worker measures its lag once a second; two looks so far apart cannot see the same measurement.
LAG_LOOK_S = 1.5


class KafkaBus(Bus):
    """One broker and the consumer group of the workers."""

    name = "kafka"
    store = "postgres"
    servers = ("postgres", "kafka")
    # Nothing here kills the broker, but a busy machine keeps it from reporting in time: then it loses its partitions.
    server_options = (
        "--kafka-option",
        "broker.session.timeout.ms=18000",
        "--kafka-option",
        "broker.heartbeat.interval.ms=2000",
    )

    def __init__(self, bed: Testbed):
        self._postgres = bed.described["postgres"]
        self._address = bed.described["kafka"]["bootstrap"]
        self._database_log = bed.folder / "psql.log"
        self._log = bed.folder / "kafka-tools.log"
        self._url = postgres.create(self._postgres, self._database_log)

    def settings(self) -> dict[str, str]:
        return {
            "store.url": self._url,
            "source.url": f"kafka://{self._address}",
            # How long the partitions of a killed worker wait for another one; the default is 15 s.
            "source.kafka.session.timeout.ms": "6000",
        }

    def database(self) -> Postgres:
        return Postgres(self._postgres, self._database_log)

    def wait_until_consumed(self, workers: Sequence[Worker]) -> None:
        """As the workers say, because Kafka's tool takes seconds for every look. What it says is judged later."""
        deadline = time.monotonic() + STALL_S
        clear = 0
        while clear < 2:
            if time.monotonic() > deadline:
                raise Failure(f"records still wait after {STALL_S} s:\n{workers[0].log_tail()}")
            lags = [worker.metrics().total(LAG) for worker in workers if worker.is_running()]
            clear = clear + 1 if not any(lag is None or lag > 0 for lag in lags) else 0
            time.sleep(LAG_LOOK_S)

    def positions(self) -> Positions:
        rows = self._group("--describe").splitlines()
        header = next((row.split() for row in rows if row.startswith("GROUP")), None)
        if header is None:
            raise Failure(f"Kafka's tool does not describe the group {GROUP}: {rows}")
        stored = consumed = 0
        for row in rows:
            fields = dict(zip(header, row.split()))
            if fields.get("GROUP") == GROUP:
                stored += int(fields["LOG-END-OFFSET"])
                # A partition without a record has no committed offset.
                consumed += int(fields["CURRENT-OFFSET"].replace("-", "0"))
        return Positions(stored, consumed)

    def rewind(self, holdfast: Holdfast) -> None:
        self._group("--reset-offsets", "--to-earliest", "--all-topics", "--execute")

    @contextlib.contextmanager
    def announcements(self) -> Iterator[Iterator[str]]:
        arguments = ["--bootstrap-server", self._address, "--include", "|".join(OUT_TOPICS), "--from-beginning"]
        arguments += ["--isolation-level", "read_committed", "--property", "print.key=true"]
        with open(self._log, "ab") as errors:
            consumer = subprocess.Popen(
                _tool(CONSOLE_CONSUMER, arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        try:
            yield lines_until_quiet(consumer.stdout.fileno(), FIRST_RECORD_S, QUIET_S)
        finally:
            consumer.stdout.close()
            consumer.terminate()
            consumer.wait()

    def _group(self, *action: str) -> str:
        arguments = ["--bootstrap-server", self._address, "--group", GROUP, *action]
        command = _tool(GROUP_COMMAND, arguments)
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        # The tool reports some failures on standard output and exits with 0.
        if result.returncode != 0 or "Error:" in result.stdout:
            raise Failure(f"Kafka's group tool failed at {' '.join(action)}: {result.stdout}{result.stderr}")
        return result.stdout


def lines_until_quiet(file: int, first_s: float, quiet_s: float) -> Iterator[str]:
    """The lines that come from a pipe until it is at its end, or nothing came for a while."""
    wait_s, begun = first_s, b""
    while select.select([file], [], [], wait_s)[0]:
        read = os.read(file, READ_BYTES)
        if not read:
            return
        wait_s = quiet_s
        *lines, begun = (begun + read).split(b"\n")
        for line in lines:
            yield line.decode()


def _tool(name: str, arguments: list[str]) -> list[str]:
    return [sys.executable, str(TOOLS / "servers.py"), "kafka-tool", name, *arguments]
