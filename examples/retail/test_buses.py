"""What is read from outside: a pipe, a NATS server that a thread plays, and a file with the tables of the log."""

import json
import os
import socket
import sqlite3
import tempfile
import threading
import unittest
import uuid
from pathlib import Path

from bus import Positions
from kafka_bus import lines_until_quiet
from local_bus import LocalBus
from nats_client import NatsClient, key_of, status_of
from project import ROOT, Failure
from sqlite import SqliteFile
from testbed import Testbed


class Piping(unittest.TestCase):
    def test_lines_are_read_until_nothing_comes(self):
        reading, writing = os.pipe()
        try:
            os.write(writing, "one\nzwölf\nhalf".encode())
            self.assertEqual(list(lines_until_quiet(reading, 5, 0)), ["one", "zwölf"])
        finally:
            os.close(reading)
            os.close(writing)

    def test_lines_are_read_to_the_end(self):
        reading, writing = os.pipe()
        os.write(writing, b"one\n")
        os.close(writing)
        try:
            self.assertEqual(list(lines_until_quiet(reading, 5, 5)), ["one"])
        finally:
            os.close(reading)


class Server(threading.Thread):
    """Answers as a NATS server does: what it is told to say after each publication."""

    def __init__(self, answers):
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._answers = answers
        self.heard = []

    def run(self):
        connection, _ = self._listening.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"INFO {}\r\nPING\r\n")
            for line in lines:
                self.heard.append(line.decode().strip())
                if line.startswith(b"PUB"):
                    lines.readline()
                    connection.sendall(self._answers.pop(0))
        self._listening.close()


def message(subject, payload, head=b""):
    if head:
        return b"HMSG %s 1 %d %d\r\n%s%s\r\n" % (subject, len(head), len(head) + len(payload), head, payload)
    return b"MSG %s 1 %d\r\n%s\r\n" % (subject, len(payload), payload)


class Asking(unittest.TestCase):
    def served(self, *answers):
        server = Server(list(answers))
        server.start()
        client = NatsClient(server.address)
        self.addCleanup(client.close)
        return server, client

    def test_every_message_that_a_stream_holds_is_read(self):
        made = json.dumps({"name": "looker", "num_pending": 3}).encode()
        head = b"NATS/1.0\r\nHoldfast-Progress: {}\r\n\r\n"
        first = message(b"stock-changed.A%2E1", b"{}", head) + b"PING\r\n" + message(b"low-stock.B", b"a\r\nb")
        server, client = self.served(message(b"inbox", made), first + message(b"holdfast-progress", b""))
        expected = [("stock-changed.A%2E1", b"{}"), ("low-stock.B", b"a\r\nb"), ("holdfast-progress", b"")]
        self.assertEqual(list(client.messages("holdfast-out")), expected)
        self.assertIn("CONSUMER.CREATE.holdfast-out", " ".join(server.heard))

    def test_a_refusal_a_broken_stream_and_a_server_that_goes_are_failures(self):
        refused = message(b"inbox", b'{"error": {"code": 404}}')
        nobody = message(b"inbox", b"", b"NATS/1.0 503\r\n\r\n")
        _, client = self.served(refused, nobody, b"-ERR 'Stale Connection'\r\n")
        for _ in range(3):
            with self.assertRaises(Failure):
                client.request("STREAM.INFO.x")
        made = json.dumps({"name": "looker", "num_pending": 3}).encode()
        _, client = self.served(message(b"inbox", made), message(b"inbox", b"", b"NATS/1.0 409 Consumer Deleted\r\n\r\n"))
        with self.assertRaisesRegex(Failure, "409 Consumer Deleted"):
            list(client.messages("holdfast-out"))

    def test_a_key_and_a_status_are_read_as_they_were_written(self):
        self.assertEqual(key_of("stock-changed", "stock-changed.A%2E1%20b"), "A.1 b")
        self.assertEqual(status_of(b"NATS/1.0 404 No Messages\r\n\r\n"), "404 No Messages")
        self.assertEqual(status_of(b"NATS/1.0\r\nname: value\r\n\r\n"), "")


class Reading(unittest.TestCase):
    def test_the_log_is_read_in_its_order_and_says_how_far_the_group_has_come(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "holdfast.db"
            log = sqlite3.connect(file)
            log.executescript((ROOT / "migrations" / "sqlite" / "0004_log.sql").read_text())
            topics = [("order-created", 7), ("cart-updated", 2), ("stock-changed", 2), ("inventory-dead-letters", 1)]
            log.executemany("insert into log_topic (name, retention_ms, next_offset) values (?, -1, ?)", topics)
            records = [(1, 3, 0, b"A", b"one"), (2, 4, 0, b"x", b"two"), (3, 3, 1, b"B", b"three")]
            statement = "insert into log_record values (?1, ?2, ?3, 0, 0, ?4, null, ?5)"
            log.executemany(statement, records)
            log.commit()
            bus = LocalBus(Testbed(Path(folder), {}))
            self.assertEqual(bus.positions(), Positions(9, 0))
            log.executescript("insert into log_group (name) values ('retail'), ('other');"
                              "insert into log_offset values (1, 1, 5), (1, 2, 2), (2, 1, 7);")
            self.assertEqual(bus.positions(), Positions(9, 7))
            with bus.announcements() as found:
                self.assertEqual(list(found), ["A\tone", "B\tthree"])
            bus.close()
            log.close()

    def test_a_file_is_only_read(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "holdfast.db"
            asked = SqliteFile(file)
            with self.assertRaisesRegex(Failure, "holdfast.db"):
                asked.rows("select 1")
            sqlite3.connect(file).execute("create table t (id blob)").connection.close()
            self.assertEqual(asked.rows("select count(*) from t"), [(0,)])
            with self.assertRaises(Failure):
                asked.rows("insert into t values (x'00')")
            key = uuid.uuid4()
            self.assertEqual(asked.event_id(key.bytes), str(key))
            asked.close()


if __name__ == "__main__":
    unittest.main()
