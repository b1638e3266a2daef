"""What a run owes to its bus and its database, whichever they are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from database import Database
from project import Failure
from worker import Holdfast, Worker

GROUP = "retail"
# The topics that the plan publishes to.
IN_TOPICS = ("sku-registered", "stock-received", "cart-updated", "order-created", "order-cancelled")
OUT_TOPICS = ("stock-changed", "low-stock", "reservation-result", "stock-shortage", "stock-drift")
# A run without any progress for so long has failed.
STALL_S = 120
LOOK_S = 0.25


@dataclass(slots=True, frozen=True)
class Positions:
    """Records on the topics of the plan, and how many of them the group has told the bus that it consumed."""

    stored: int
    consumed: int


class Bus:
    """One bus with the database beside it, asked apart from Holdfast wherever somebody else can answer."""

    # As the command line says.
    name = ""
    store = ""
    # What `tools/servers.py` is to start.
    servers: tuple[str, ...] = ()
    server_options: tuple[str, ...] = ()
    # Whether records of one key are met in the order in which they were published, whatever is killed meanwhile.
    keeps_order = True

    def settings(self) -> dict[str, str]:
        """The settings of a worker that name them."""
        raise NotImplementedError

    def database(self) -> Database:
        """A new session with the database."""
        raise NotImplementedError

    def positions(self) -> Positions:
        """How far the group has come."""
        raise NotImplementedError

    def announcements(self) -> contextlib.AbstractContextManager[Iterator[str]]:
        """Every committed record of all out topics, in order for each key: key, a tab, and the body."""
        raise NotImplementedError

    def rewind(self, holdfast: Holdfast) -> None:
        """Sets the group back to the first record of every topic. No worker runs."""
        raise NotImplementedError

    def wait_until_consumed(self, workers: Sequence[Worker]) -> None:
        """Returns when the workers have consumed what is left: repetitions, of which the database shows nothing."""
        deadline = time.monotonic() + STALL_S
        while True:
            positions = self.positions()
            if positions.consumed >= positions.stored:
                return
            for worker in workers:
                worker.demand_running()
            if time.monotonic() > deadline:
                raise Failure(f"{positions} after {STALL_S} s:\n{workers[0].log_tail()}")
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Ends every session."""
