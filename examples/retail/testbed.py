"""The servers of one run and the folder that everything of the run lies in."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from project import TOOLS, Failure

STOP_DEADLINE_S = 60
# Nothing here kills the broker, but a busy machine keeps it from reporting in time: then it loses its partitions.
KAFKA_OPTIONS = ("broker.session.timeout.ms=18000", "broker.heartbeat.interval.ms=2000")


class Testbed:
    """PostgreSQL and Kafka with what `tools/servers.py` says of them, and a folder for files."""

    def __init__(self, folder: Path, described: dict):
        self.folder = folder
        self.postgres = described["postgres"]
        self.kafka = described["kafka"]


@contextlib.contextmanager
def started(keep: bool = False) -> Iterator[Testbed]:
    """Starts the servers in a new temporary folder and ends them whatever happens. The folder goes with them unless
    it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-retail-"))
    try:
        # PostgreSQL runs as another user when we are root.
        folder.chmod(0o711)
        command = [sys.executable, str(TOOLS / "servers.py"), "run", "postgres", "kafka"]
        for option in KAFKA_OPTIONS:
            command += ["--kafka-option", option]
        servers = subprocess.Popen(
            # Without a folder of its own, the data of the servers are thrown away without a clean stop.
            [*command, "--data", str(folder / "servers")] if keep else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C in a terminal reaches us alone: workers stop before their servers do.
            start_new_session=True,
        )
        try:
            line = servers.stdout.readline()
            if not line:
                raise Failure("the servers did not start; the reason stands above")
            yield Testbed(folder, json.loads(line))
        finally:
            # It hears a signal while it still starts servers; the end of its standard input only later.
            servers.terminate()
            servers.stdin.close()
            try:
                servers.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                # The kernel ends the servers with the process that watches them.
                servers.kill()
                servers.wait()
    finally:
        if keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
