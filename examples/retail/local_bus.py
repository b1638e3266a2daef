"""SQLite with the embedded log in the same file, which is read with Python's own module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bus import GROUP, IN_TOPICS, OUT_TOPICS, Bus, Positions
from sqlite import SqliteFile
from testbed import Testbed
from worker import Holdfast

POSITIONS = f"""
select coalesce(sum(topic.next_offset), 0), coalesce(sum(place.next_offset), 0)
from log_topic topic
left join log_group reader on reader.name = '{GROUP}'
left join log_offset place on place.group_id = reader.id and place.topic = topic.id
where topic.name in {IN_TOPICS}
"""
RECORDS = f"""
select record.key, record.payload
from log_record record join log_topic topic on topic.id = record.topic
where topic.name in {OUT_TOPICS}
order by record.id
"""


class LocalBus(Bus):
    """A log of topics in the file of the database, without any server."""

    name = "local"
    store = "sqlite"

    def __init__(self, bed: Testbed):
        self._file = bed.folder / "holdfast.db"
        self._log = SqliteFile(self._file)

    def settings(self) -> dict[str, str]:
        return {"store.url": f"sqlite://{self._file}", "source.url": "local:"}

    def database(self) -> SqliteFile:
        return SqliteFile(self._file)

    def positions(self) -> Positions:
        return Positions(*self._log.rows(POSITIONS)[0])

    def rewind(self, holdfast: Holdfast) -> None:
        """With the command for it: nobody else writes into this file."""
        holdfast.command("replay", "--from", "start")

    @contextlib.contextmanager
    def announcements(self) -> Iterator[Iterator[str]]:
        yield (f"{key.decode()}\t{payload.decode()}" for key, payload in self._log.each(RECORDS))

    def close(self) -> None:
        self._log.close()
