"""What is worth telling of what was published, in words."""

from __future__ import annotations

import json
from collections import Counter

from plan import Plan

NAMED_SKUS = 3
OUTCOMES_OF_CANCELLATIONS = {"cancelled": "cancelled", "released": "cancelled in part"}


class News:
    """Follows the announcements in their order and tells of orders, goods and empty shelves. Announcements of one
    event stand together: its changes first, its answer last."""

    def __init__(self, plan: Plan):
        self._opening = {event.id for event in plan.opening}
        self._counts: Counter[str] = Counter()
        self._cause = ""
        self._levels: dict[str, list[str]] = {}
        self._received = 0

    def tell(self, record: str) -> list[str]:
        """The lines to print for a record, a structured CloudEvent; often none."""
        event = json.loads(record)
        kind, body = event["type"], event["data"]
        cause = body["cause"]
        if cause["id"] in self._opening and cause["type"] != "order-cancelled":
            return []
        lines = [] if cause["id"] == self._cause else self._goods_that_came()
        self._cause = cause["id"]
        if kind == "stock-changed":
            self._counts["changes of stock"] += 1
            if cause["type"] == "stock-received":
                self._received += body["change"]["on_hand"]
        elif kind == "low-stock":
            self._counts["low stock"] += 1
            self._levels.setdefault(body["level"], []).append(body["sku"])
        elif kind == "reservation-result":
            lines += self._answer(body)
        return lines

    def summary(self, rate: float) -> str:
        """Where things stand."""
        told = ", ".join(f"{count:,} {name}" for name, count in self._counts.items()) or "nothing"
        return f"    so far: {told}; {rate:.1f} events a second come in"

    def _answer(self, body: dict) -> list[str]:
        kind, reference, outcome = body["kind"], body["reference"], body["outcome"]
        shelves = self._shelves()
        if kind == "cart":
            self._counts[f"carts {outcome}"] += 1
            return shelves
        if body["cause"]["type"] == "order-cancelled":
            what = OUTCOMES_OF_CANCELLATIONS.get(outcome, outcome)
            units = sum(line["granted"] for line in body["lines"])
            detail = f"{units:,} units back on the shelf"
        elif outcome == "granted":
            what = outcome
            units = sum(line["granted"] for line in body["lines"])
            skus = len(body["lines"])
            detail = f"{units:,} units of {skus} SKU{'s' if skus > 1 else ''}"
        else:
            what, detail = outcome, _why(body)
        self._counts[f"orders {what}"] += 1
        return [f"order {reference:9} {what:18} {detail}", *shelves]

    def _goods_that_came(self) -> list[str]:
        """A receipt has no answer: it is over when something else begins."""
        if not self._received:
            return []
        units, self._received = self._received, 0
        return [f"goods came in: {units:,} units", *self._shelves()]

    def _shelves(self) -> list[str]:
        """The levels that one event changed, in one line."""
        levels, self._levels = self._levels, {}
        if not levels:
            return []
        return ["      stock now " + "; ".join(f"{level}: {_named(skus)}" for level, skus in levels.items())]


def _why(body: dict) -> str:
    short = [line for line in body["lines"] if line.get("reason") == "insufficient_stock"]
    if not short:
        return body.get("reason", "")
    told = [f"{line['requested']:,} of {line['sku']}, {line['available']:,} there" for line in short[:NAMED_SKUS]]
    return "wanted " + "; ".join(told) + _others(short)


def _named(skus: list[str]) -> str:
    return ", ".join(skus[:NAMED_SKUS]) + _others(skus)


def _others(named: list) -> str:
    more = len(named) - NAMED_SKUS
    return f" and {more} more" if more > 0 else ""
