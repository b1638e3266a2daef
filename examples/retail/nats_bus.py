"""PostgreSQL and NATS JetStream, which is asked by a client of our own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import postgres
from bus import GROUP, IN_TOPICS, OUT_TOPICS, Bus, Positions
from nats_client import NatsClient, key_of
from postgres import Postgres
from testbed import Testbed
from worker import Holdfast

OUT_STREAM = "holdfast-out"


class NatsBus(Bus):
    """One server, and the durable consumers that the workers share."""

    name = "nats"
    store = "postgres"
    servers = ("postgres", "nats")
    # Workers share a consumer message by message, and what a killed one held comes again later.
    keeps_order = False

    def __init__(self, bed: Testbed):
        self._postgres = bed.described["postgres"]
        self._address = bed.described["nats"]["address"]
        self._database_log = bed.folder / "psql.log"
        self._url = postgres.create(self._postgres, self._database_log)
        self._client = NatsClient(self._address)

    def settings(self) -> dict[str, str]:
        return {
            "store.url": self._url,
            "source.url": f"nats://{self._address}",
            # How long what a killed worker held waits for another one; the default is 15 s.
            "source.nats.ack.wait.ms": "6000",
        }

    def database(self) -> Postgres:
        return Postgres(self._postgres, self._database_log)

    def positions(self) -> Positions:
        stored = consumed = 0
        for topic in IN_TOPICS:
            stored += self._client.request(f"STREAM.INFO.{topic}")["state"]["last_seq"]
            consumed += self._client.request(f"CONSUMER.INFO.{topic}.{GROUP}-{topic}")["ack_floor"]["stream_seq"]
        return Positions(stored, consumed)

    def rewind(self, holdfast: Holdfast) -> None:
        """Makes each consumer anew, because the start of one cannot be edited."""
        for topic in IN_TOPICS:
            name = f"{GROUP}-{topic}"
            config = self._client.request(f"CONSUMER.INFO.{topic}.{name}")["config"]
            self._client.request(f"CONSUMER.DELETE.{topic}.{name}")
            made = {"stream_name": topic, "config": {**config, "deliver_policy": "all"}}
            made["config"].pop("opt_start_seq", None)
            self._client.request(f"CONSUMER.DURABLE.CREATE.{topic}.{name}", made)

    @contextlib.contextmanager
    def announcements(self) -> Iterator[Iterator[str]]:
        # Reading stops where the caller does: this connection is for nothing else.
        client = NatsClient(self._address)
        try:
            yield self._records(client)
        finally:
            client.close()

    def close(self) -> None:
        self._client.close()

    @staticmethod
    def _records(client: NatsClient) -> Iterator[str]:
        for subject, payload in client.messages(OUT_STREAM):
            topic, _, _ = subject.partition(".")
            # Beside announcements, the stream holds marks of how far publishing has come.
            if topic in OUT_TOPICS:
                yield f"{key_of(topic, subject)}\t{payload.decode()}"
