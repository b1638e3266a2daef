"""The database of the worker asked by another client than its own: the same questions to each kind of it."""

from __future__ import annotations

from dataclasses import dataclass

STOCK = "select sku, on_hand, cart_held, order_reserved, safety_stock, version, level from stock order by sku"
INBOX = "select event_key, outcome from inbox"
PROGRESS = (
    "select (select count(*) from inbox), last_seq, last_number - published_number from outbox_counter cross join relay"
)
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
    """A session that only reads. Use from one thread; close it at the end."""

    def rows(self, query: str) -> list[list]:
        """The rows of a query."""
        raise NotImplementedError

    def event_id(self, key: object) -> str:
        """The id of an event by its key in the inbox, which is the id itself because the ids of the plan are UUIDs."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def number(self, query: str) -> int:
        """The one number of a query."""
        return int(self.rows(query)[0][0])

    def progress(self) -> Progress:
        """One look at all of it."""
        events, announcements, unpublished = map(int, self.rows(PROGRESS)[0])
        return Progress(events, announcements, unpublished == 0)

    def stock(self) -> dict[str, StockRow]:
        """The stock table by SKU."""
        return {sku: StockRow(*map(int, numbers), level) for sku, *numbers, level in self.rows(STOCK)}

    def inbox(self) -> dict[str, str]:
        """Outcome by the id of the event."""
        return {self.event_id(key): OUTCOMES[int(outcome)] for key, outcome in self.rows(INBOX)}
