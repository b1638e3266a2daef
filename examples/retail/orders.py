"""The invoices of the retail file, sorted into orders, cancellations and what is neither."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from project import ORDERS_FILE

# About 1,500 of the 25,900 invoices.
SMALL_CUT_PER_MILLE = 58


@dataclass(slots=True)
class Invoice:
    """One invoice with its lines in the order of the file; quantities are signed units."""

    number: str
    invoiced_at: str
    customer: str
    # Where it stands in the file, in invoices.
    position: int
    lines: list[tuple[str, int]] = field(default_factory=list)

    @property
    def is_cancelling(self) -> bool:
        return self.number.startswith("C")

    @property
    def is_bookkeeping(self) -> bool:
        return self.number.startswith("A")

    def units(self) -> Counter[str]:
        """Units by SKU without their sign, however many lines a SKU stands on."""
        units: Counter[str] = Counter()
        for sku, quantity in self.lines:
            units[sku] += abs(quantity)
        return units


@dataclass(slots=True)
class Cancellation:
    """A cancelling invoice with the order that it takes back. `parts` holds, for a part of the order, the units by
    SKU that are cancelled up to and including this invoice; nothing when it takes back all that was left."""

    invoice: Invoice
    order: Invoice
    parts: dict[str, int] | None


@dataclass
class Sorted:
    """What the invoices are."""

    # Every SKU that stands on an invoice, whatever the invoice is.
    skus: set[str] = field(default_factory=set)
    orders: list[Invoice] = field(default_factory=list)
    cancellations: list[Cancellation] = field(default_factory=list)
    # Invoices and lines that become no event, by the reason.
    left_out: Counter[str] = field(default_factory=Counter)


def read(path: Path = ORDERS_FILE) -> list[Invoice]:
    """Every invoice of the file in the order of its first line."""
    invoices: dict[str, Invoice] = {}
    for number, sku, quantity, invoiced_at, customer in read_lines(path):
        invoice = invoices.get(number)
        if invoice is None:
            invoice = invoices[number] = Invoice(number, invoiced_at, customer, len(invoices))
        invoice.lines.append((sku, quantity))
    return list(invoices.values())


def read_lines(path: Path = ORDERS_FILE) -> Iterator[tuple[str, str, int, str, str]]:
    """Invoice, SKU, quantity, time and customer of every line of the file."""
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        for number, sku, quantity, invoiced_at, customer in rows:
            yield number, sku, int(quantity), invoiced_at, customer


def cut(invoices: Iterable[Invoice], size: str) -> list[Invoice]:
    """All invoices, or of the small cut those of some customers over the whole year, so that most of their
    cancellations still find their orders. An invoice without a customer stands for itself."""
    if size == "full":
        return list(invoices)
    return [
        invoice
        for invoice in invoices
        if zlib.crc32((invoice.customer or invoice.number).encode()) % 1000 < SMALL_CUT_PER_MILLE
    ]


def sort(invoices: Iterable[Invoice]) -> Sorted:
    """Tells orders from cancellations, and matches each cancellation to an earlier order of its customer that has
    all of its lines with enough units not cancelled yet; the latest such order is taken."""
    result = Sorted()
    standing: dict[str, list[_Standing]] = {}
    for invoice in invoices:
        result.skus.update(sku for sku, _ in invoice.lines)
        if invoice.is_bookkeeping:
            result.left_out["bookkeeping entries"] += 1
        elif invoice.is_cancelling:
            found = _match(invoice, standing.get(invoice.customer, []))
            if found is None:
                result.left_out["cancellations without an order"] += 1
            else:
                result.cancellations.append(found)
        else:
            order = _without_empty_lines(invoice, result.left_out)
            if order is None:
                result.left_out["write-offs"] += 1
                continue
            result.orders.append(order)
            if order.customer:
                standing.setdefault(order.customer, []).append(_Standing(order))
    return result


class _Standing:
    """An order and what is cancelled of it so far."""

    def __init__(self, order: Invoice):
        self.order = order
        self.left = order.units()
        self.cancelled: Counter[str] = Counter()

    def take_back(self, units: Counter[str]) -> dict[str, int] | None:
        """Cancels these units; returns the cumulative parts, or nothing when no unit of the order is left."""
        self.left -= units
        self.cancelled += units
        return {sku: self.cancelled[sku] for sku in units} if self.left else None


def _match(invoice: Invoice, candidates: list[_Standing]) -> Cancellation | None:
    units = invoice.units()
    for candidate in reversed(candidates):
        if all(candidate.left[sku] >= quantity for sku, quantity in units.items()):
            return Cancellation(invoice, candidate.order, candidate.take_back(units))
    return None


def _without_empty_lines(invoice: Invoice, left_out: Counter[str]) -> Invoice | None:
    """The invoice with its positive lines; nothing when it has none and so is a write-off."""
    lines = [line for line in invoice.lines if line[1] > 0]
    if not lines:
        return None
    left_out["lines that are not positive"] += len(invoice.lines) - len(lines)
    return dataclasses.replace(invoice, lines=lines)
