"""PostgreSQL asked through its own client, `psql`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from database import Database
from project import Failure

END = "-- end of answer --"
USER = "holdfast"
NAME = "holdfast"


class Postgres(Database):
    """A session of `psql` with a database of the server that is described."""

    def __init__(self, described: dict, log: Path, name: str = NAME):
        self._log = log
        command = [f"{described['programs']}/psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", described["socket_directory"], "-p", str(described["port"]), "-U", "postgres", "-d", name]
        with open(log, "ab") as errors:
            self._psql = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    def rows(self, query: str) -> list[list[str]]:
        rows = []
        try:
            self._psql.stdin.write(f"{query};\n\\echo {END}\n")
            self._psql.stdin.flush()
        except BrokenPipeError:
            pass  # The reason comes with the end of the answer.
        for line in self._psql.stdout:
            line = line.rstrip("\n")
            if line == END:
                return rows
            rows.append(line.split("\t"))
        raise Failure(f"psql ended at {query!r}: {self._log.read_text(errors='replace').strip()}")

    def event_id(self, key: str) -> str:
        return key

    def close(self) -> None:
        self._psql.stdin.close()
        self._psql.wait(10)


def create(described: dict, log: Path) -> str:
    """Makes the worker's user, who owns its database and nothing else; returns the address for the worker."""
    server = Postgres(described, log, "postgres")
    try:
        server.rows(f"create role {USER} login")
        server.rows(f"create database {NAME} owner {USER}")
    finally:
        server.close()
    return f"postgres://{USER}@127.0.0.1:{described['port']}/{NAME}"
