"""A SQLite file read with Python's own module, while workers go on."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

from database import Database
from project import Failure

# A reader waits only where the file is being recovered after a kill.
BUSY_S = 30


class SqliteFile(Database):
    """A connection that cannot write. Opened at the first question, because the file is made by the worker."""

    def __init__(self, file: Path):
        self._file = file
        self._opened: sqlite3.Connection | None = None

    def rows(self, query: str) -> list[tuple]:
        return self._ask(query).fetchall()

    def each(self, query: str) -> Iterator[tuple]:
        """The rows of a query that may be long, one by one."""
        return iter(self._ask(query))

    def event_id(self, key: bytes) -> str:
        return str(uuid.UUID(bytes=key))

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def _ask(self, query: str) -> sqlite3.Cursor:
        try:
            if self._opened is None:
                # Without transactions of its own, so that every question sees what is committed then.
                address = f"{self._file.as_uri()}?mode=ro"
                self._opened = sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_S)
            return self._opened.execute(query)
        except sqlite3.Error as error:
            raise Failure(f"{self._file} does not answer {query!r}: {error}") from None
