"""Events as they are published: structured CloudEvents, one a line."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SHOP = "/retail/shop"
WAREHOUSE = "/retail/warehouse"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "retail.holdfast.example")


@dataclass(slots=True, frozen=True, eq=False)
class Event:
    """One event; publishing it twice repeats its id and its time."""

    type: str
    id: str
    source: str
    time: str
    body: dict

    def line(self) -> str:
        """The event as one line of JSON."""
        envelope = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time,
            "datacontenttype": "application/json",
            "data": self.body,
        }
        return json.dumps(envelope, separators=(",", ":"))


class Maker:
    """Makes events whose ids are the same in every run with one seed."""

    def __init__(self, seed: int):
        self._seed = seed

    def sku_registered(self, time: str, body: dict) -> Event:
        return self._event("sku-registered", body["sku"], WAREHOUSE, time, body)

    def stock_received(self, time: str, receipt: str, lines: Iterable[tuple[str, int]]) -> Event:
        body = {"receipt_id": receipt, "lines": _lines(lines)}
        return self._event("stock-received", receipt, WAREHOUSE, time, body)

    def cart_updated(self, time: str, cart: str, version: int, lines: Iterable[tuple[str, int]]) -> Event:
        body = {"cart_id": cart, "cart_version": version, "lines": _lines(lines)}
        return self._event("cart-updated", f"{cart}/{version}", SHOP, time, body)

    def order_created(self, time: str, order: str, cart: str | None, lines: Iterable[tuple[str, int]]) -> Event:
        body = {"order_id": order, "lines": _lines(lines)}
        if cart is not None:
            body["cart_id"] = cart
        return self._event("order-created", order, SHOP, time, body)

    def order_cancelled(self, time: str, name: str, order: str, parts: dict[str, int] | None) -> Event:
        body: dict = {"order_id": order, "reason": f"invoice {name}"}
        if parts is not None:
            body["lines"] = _lines(parts.items())
        return self._event("order-cancelled", name, SHOP, time, body)

    def _event(self, kind: str, name: str, source: str, time: str, body: dict) -> Event:
        return Event(kind, str(uuid.uuid5(NAMESPACE, f"{self._seed}/{kind}/{name}")), source, time, body)


def write(events: Iterable[Event], path: Path) -> None:
    """Writes the file that `holdfast publish` reads."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(event.line() + "\n" for event in events)


def _lines(lines: Iterable[tuple[str, int]]) -> list[dict]:
    return [{"sku": sku, "quantity": quantity} for sku, quantity in lines]
