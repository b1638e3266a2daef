"""The stream published piece by piece while workers run, by publishers that are killed at times."""

from __future__ import annotations

import math
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import events
from events import Event
from project import Failure
from worker import Holdfast

PIECES = 50
KILLED_SHARE = 0.3


class Feed:
    """Publishes one piece after the other. A piece whose publisher was killed is published again, all of it; `stored`
    says how many records the topics hold then. So every event belongs to a piece that was acknowledged as a whole."""

    def __init__(self, holdfast: Holdfast, stream: list[Event], drawn: random.Random, stored: Callable[[], int]):
        self._holdfast = holdfast
        size = math.ceil(len(stream) / PIECES)
        self._pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        self._drawn = drawn
        self._stored = stored
        self._publisher: subprocess.Popen | None = None
        self._began = 0.0
        # How long the publisher before took from its start to its end, and when the one that runs is to be killed.
        self._took_s = 0.0
        self._dies_at: float | None = None
        # What the topics must hold: what was acknowledged, and what killed publishers left.
        self.expected = stored()
        self.killed = 0

    def step(self, may_end: bool) -> bool:
        """Does what is due, without waiting; says whether everything is published. The last piece waits until the end
        may come."""
        if self._publisher is None:
            if not self._pieces:
                return True
            if len(self._pieces) == 1 and not may_end:
                return False
            self._begin(may_die=True)
            return False
        code = self._publisher.poll()
        if code is None:
            if self._dies_at is not None and time.monotonic() >= self._dies_at:
                self._kill()
            return False
        if code != 0:
            raise Failure(f"holdfast publish ended with {code}: {self._log().read_text(errors='replace').strip()}")
        self.expected += len(self._pieces.pop(0))
        self._publisher, self._took_s = None, time.monotonic() - self._began
        return False

    def close(self) -> None:
        """Ends a publisher that still runs."""
        if self._publisher is not None:
            self._publisher.kill()
            self._publisher.wait()

    def _begin(self, may_die: bool) -> None:
        path = self._holdfast.folder / "piece.jsonl"
        events.write(self._pieces[0], path)
        self._publisher = self._holdfast.piped("publish", str(path), log=self._log())
        self._began = time.monotonic()
        is_drawn = may_die and self._drawn.random() < KILLED_SHARE
        self._dies_at = self._began + self._drawn.uniform(0, self._took_s) if is_drawn else None

    def _kill(self) -> None:
        self._publisher.kill()
        self._publisher.wait()
        self.killed += 1
        self.expected = self._stored()
        # The second one lives, so that there is an end.
        self._begin(may_die=False)

    def _log(self) -> Path:
        return self._holdfast.folder / "publish.log"
