"""PostgreSQL asked through its own client, `psql`, apart from Holdfast."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from project import Failure

END = "-- end of answer --"
USER = "holdfast"
NAME = "holdfast"

STOCK = "select sku, on_hand, cart_held, order_reserved, safety_stock, version, level from stock order by sku"
INBOX = "select event_key, outcome from inbox"
OUTCOMES = {1: "applied", 2: "refused", 3: "ignored"}


@dataclass(slots=True, frozen=True)
class StockRow:
    """One row of the stock table, in units."""

    on_hand: int
    cart_held: int
    order_reserved: int
    safety_stock: int
    version: int
    level: str


@dataclass(slots=True, frozen=True)
class Progress:
    """How far the worker has come: distinct events taken in, announcements committed, and whether every committed
    announcement is published."""

    events: int
    announcements: int
    all_published: bool


class Database:
    """A session of `psql` with the database of the worker. Use from one thread; close it at the end."""

    def __init__(self, postgres: dict, name: str, log: Path):
        self._log = log
        command = [f"{postgres['programs']}/psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", postgres["socket_directory"], "-p", str(postgres["port"]), "-U", "postgres", "-d", name]
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
        """The rows of a query as text."""
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

    def number(self, query: str) -> int:
        """The one number of a query."""
        return int(self.rows(query)[0][0])

    def progress(self) -> Progress:
        """One look at all of it."""
        query = (
            "select (select count(*) from inbox), last_seq, last_number = published_number "
            "from outbox_counter cross join relay"
        )
        events, announcements, published = self.rows(query)[0]
        return Progress(int(events), int(announcements), published == "t")

    def stock(self) -> dict[str, StockRow]:
        """The stock table by SKU."""
        return {
            sku: StockRow(*map(int, numbers), level) for sku, *numbers, level in self.rows(STOCK)
        }

    def inbox(self) -> dict[str, str]:
        """Outcome by the id of the event, which is its key because the ids of the plan are UUIDs."""
        return {key: OUTCOMES[int(outcome)] for key, outcome in self.rows(INBOX)}

    def close(self) -> None:
        self._psql.stdin.close()
        self._psql.wait(10)


def create(postgres: dict, log: Path) -> str:
    """Makes the worker's user, who owns its database and nothing else; returns the address for the worker."""
    server = Database(postgres, "postgres", log)
    try:
        server.rows(f"create role {USER} login")
        server.rows(f"create database {NAME} owner {USER}")
    finally:
        server.close()
    return f"postgres://{USER}@127.0.0.1:{postgres['port']}/{NAME}"
