"""Kafka asked through its own tools, apart from Holdfast."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from project import TOOLS, Failure

GROUP_COMMAND = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
OUT_TOPICS = ("stock-changed", "low-stock", "reservation-result", "stock-shortage", "stock-drift")
# The consumer ends when nothing came for so long. Only its first record takes seconds.
QUIET_MS = 8_000


class Broker:
    """One broker and the consumer group of the workers."""

    def __init__(self, kafka: dict, group: str, log: Path):
        self.address = kafka["bootstrap"]
        self.group = group
        self.log = log

    def offsets(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Committed offset and end of every partition that the group knows, by topic and partition."""
        rows = self._group("--describe").splitlines()
        header = next((row.split() for row in rows if row.startswith("GROUP")), None)
        if header is None:
            raise Failure(f"Kafka's tool does not describe the group {self.group}: {rows}")
        found = {}
        for row in rows:
            fields = dict(zip(header, row.split()))
            if fields.get("GROUP") == self.group:
                # A partition without a record has no committed offset.
                committed = fields["CURRENT-OFFSET"].replace("-", "0")
                place = (fields["TOPIC"], int(fields["PARTITION"]))
                found[place] = (int(committed), int(fields["LOG-END-OFFSET"]))
        return found

    def reset_to_start(self) -> None:
        """Sets the group back to the first record of every topic. The group must have no member."""
        self._group("--reset-offsets", "--to-earliest", "--all-topics", "--execute")

    @contextlib.contextmanager
    def announcements(self) -> Iterator[Iterator[str]]:
        """Every committed record of all out topics, in the order of each partition: key, a tab, and the body."""
        arguments = ["--bootstrap-server", self.address, "--include", "|".join(OUT_TOPICS), "--from-beginning"]
        arguments += ["--isolation-level", "read_committed", "--timeout-ms", str(QUIET_MS)]
        arguments += ["--property", "print.key=true"]
        with open(self.log, "ab") as errors:
            consumer = subprocess.Popen(
                _tool(CONSOLE_CONSUMER, arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        try:
            yield consumer.stdout
        finally:
            consumer.stdout.close()
            consumer.terminate()
            consumer.wait()

    def _group(self, *action: str) -> str:
        arguments = ["--bootstrap-server", self.address, "--group", self.group, *action]
        command = _tool(GROUP_COMMAND, arguments)
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        # The tool reports some failures on standard output and exits with 0.
        if result.returncode != 0 or "Error:" in result.stdout:
            raise Failure(f"Kafka's group tool failed at {' '.join(action)}: {result.stdout}{result.stderr}")
        return result.stdout


def _tool(name: str, arguments: list[str]) -> list[str]:
    return [sys.executable, str(TOOLS / "servers.py"), "kafka-tool", name, *arguments]
