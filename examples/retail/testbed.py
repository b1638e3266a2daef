"""The servers of one run and the folder that everything of the run lies in."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from project import TOOLS, Failure

STOP_DEADLINE_S = 60


class Testbed:
    """A folder for files, and what `tools/servers.py` says of each server, by its name."""

    def __init__(self, folder: Path, described: dict[str, dict]):
        self.folder = folder
        self.described = described


@contextlib.contextmanager
def started(servers: Sequence[str], options: Sequence[str] = (), keep: bool = False) -> Iterator[Testbed]:
    """Starts servers, if any, in a new temporary folder and ends them whatever happens. The folder goes with them
    unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-retail-"))
    try:
        # PostgreSQL runs as another user when we are root.
        folder.chmod(0o711)
        command = [sys.executable, str(TOOLS / "servers.py"), "run", *servers, *options]
        # Without a folder of its own, the data of the servers are thrown away without a clean stop.
        command += ["--data", str(folder / "servers")] if keep else []
        with _described(command) if servers else contextlib.nullcontext({}) as described:
            yield Testbed(folder, described)
    finally:
        if keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _described(command: list[str]) -> Iterator[dict[str, dict]]:
    servers = subprocess.Popen(
        command,
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
        yield json.loads(line)
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
