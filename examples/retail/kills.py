"""When workers are killed, and which."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from progress import say
from worker import Worker

# Where the only kill comes, and until where many of them do, in hundredths of the events.
ONLY_AT_PERCENT = 33
LAST_AT_PERCENT = 90
# Looks come after transactions: a kill waits for a drawn time, so that it meets one anywhere.
LONGEST_WAIT_S = 0.2


class Kills:
    """Kills at so many moments between two numbers of events, each followed by a start at once. One kill comes after a
    third of the way and hits the first worker; of several, moments and workers are drawn."""

    def __init__(self, count: int, first: int, last: int, drawn: random.Random):
        self._drawn = drawn
        self._first = first
        way = last - first
        if count == 1:
            self._moments = [first + way * ONLY_AT_PERCENT // 100]
        else:
            until = first + way * LAST_AT_PERCENT // 100
            self._moments = sorted(drawn.randint(first, until) for _ in range(count))
        self._is_only = count == 1
        self._strike_at: float | None = None
        self.done = 0

    @property
    def left(self) -> int:
        """How many are still to come."""
        return len(self._moments) - self.done

    def strike(self, events: int, workers: Sequence[Worker]) -> None:
        """Kills a worker and starts it again, when it is time for it."""
        if not self.left or events < self._moments[self.done]:
            return
        if self._strike_at is None:
            self._strike_at = time.monotonic() + (0 if self._is_only else self._drawn.uniform(0, LONGEST_WAIT_S))
        if time.monotonic() < self._strike_at:
            return
        self.done += 1
        self._strike_at = None
        worker = workers[0] if self._is_only else self._drawn.choice(workers)
        worker.kill()
        worker.start()
        say(f"killed {worker.name} after {events - self._first:,} events and started it again")
