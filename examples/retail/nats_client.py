"""The few words of the NATS protocol that a witness needs, written for this alone: nothing of it is shared with Holdfast."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from urllib.parse import unquote

from project import Failure

ANSWER_S = 30
# Messages that the server sends for one request.
PULL_BATCH = 2_000
BUFFER_BYTES = 1 << 20


class NatsClient:
    """One connection to a server without passwords. Use from one thread; close it at the end."""

    def __init__(self, address: str):
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=ANSWER_S)
        self._reading = self._socket.makefile("rb", BUFFER_BYTES)
        self._inbox = f"_INBOX.{uuid.uuid4().hex}"
        hello = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "python3"}
        self._write(f"CONNECT {json.dumps(hello)}", f"SUB {self._inbox} 1")

    def request(self, subject: str, body: dict | None = None) -> dict:
        """The answer of JetStream to a request; fails when it is a refusal."""
        self._publish(f"$JS.API.{subject}", body)
        _, _, payload = self._message()
        answer = json.loads(payload or b'{"error": "nobody answers"}')
        if "error" in answer:
            raise Failure(f"NATS refuses {subject}: {answer['error']}")
        return answer

    def messages(self, stream: str) -> Iterator[tuple[str, bytes]]:
        """Subject and payload of every message that a stream holds now, in its order. No other question may be asked
        before the last one is read."""
        wanted = {"deliver_policy": "all", "ack_policy": "none", "inactive_threshold": ANSWER_S * 1_000_000_000}
        made = self.request(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": wanted})
        left = made["num_pending"]
        while left:
            batch = min(left, PULL_BATCH)
            self._publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{made['name']}", {"batch": batch})
            for _ in range(batch):
                subject, status, payload = self._message()
                if status:
                    raise Failure(f"NATS ends reading {stream} with {left} messages left: {status}")
                left -= 1
                yield subject, payload

    def close(self) -> None:
        self._reading.close()
        self._socket.close()

    def _publish(self, subject: str, body: dict | None) -> None:
        payload = "" if body is None else json.dumps(body)
        self._write(f"PUB {subject} {self._inbox} {len(payload.encode())}", payload)

    def _write(self, *lines: str) -> None:
        self._socket.sendall("".join(line + "\r\n" for line in lines).encode())

    def _message(self) -> tuple[str, str, bytes]:
        """The next message: its subject, its status where it carries one instead of a body, and its payload."""
        while True:
            words = self._reading.readline().split()
            kind = words[0] if words else b""
            if kind == b"PING":
                self._write("PONG")
            elif kind in (b"MSG", b"HMSG"):
                whole = self._reading.read(int(words[-1]) + 2)[:-2]
                head = int(words[-2]) if kind == b"HMSG" else 0
                return words[1].decode(), status_of(whole[:head]), whole[head:]
            elif kind not in (b"INFO", b"PONG", b"+OK"):
                raise Failure(f"the NATS server says {b' '.join(words).decode(errors='replace') or 'nothing more'!r}")


def status_of(head: bytes) -> str:
    """What stands behind the version in the first line of a message's headers; nothing in most."""
    line, _, _ = head.partition(b"\r\n")
    _, _, status = line.partition(b" ")
    return status.decode()


def key_of(topic: str, subject: str) -> str:
    """The key behind a topic in a subject, where what a subject cannot hold is percent-encoded."""
    return unquote(subject[len(topic) + 1 :])
