"""What stock must be at the end, calculated apart from Holdfast.

No rule of Holdfast is applied here and no event is looked at. The reasoning is the one of an accountant with the
invoices in hand, in SQL over the lines of the retail file:

    on hand = received - sold + taken back

Received is what the plan let come in. Sold are the lines of the invoices that were granted. Taken back are the lines
of the cancelling invoices that belong to a granted invoice. Neither the order of events nor repetitions matter. An
invoice that was cancelled before it came is not granted: its lines and those of the cancellation are both left out,
which gives the same figure as selling and taking back.

Where there is plenty, every order of the plan counts as granted and no answer of Holdfast is used. Where stock is
short, which orders are granted depends on who comes first; it is taken from the answers, and nothing else is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import orders
from plan import Plan

SCHEMA = """
create table line (invoice text, sku text, quantity integer);
create table received (sku text, quantity integer);
create table granted (invoice text primary key);
create table taken_back (cancelling_invoice text primary key, invoice text);
"""

FINAL_STOCK = """
with change (sku, units) as (
    select sku, quantity from received
    union all
    select line.sku, -line.quantity
    from line join granted on granted.invoice = line.invoice
    where line.quantity > 0
    union all
    -- Quantities of cancelling invoices are negative in the file.
    select line.sku, -line.quantity
    from line
    join taken_back on taken_back.cancelling_invoice = line.invoice
    join granted on granted.invoice = taken_back.invoice
)
select sku, sum(units) from change group by sku
"""

# The plan must not take back more of an order than it has, or the figures above would mean nothing.
TAKEN_BACK_TOO_MUCH = """
with ordered as (
    select invoice, sku, sum(quantity) as units from line where quantity > 0 group by invoice, sku
), back as (
    select taken_back.invoice, line.sku, -sum(line.quantity) as units
    from line join taken_back on taken_back.cancelling_invoice = line.invoice
    group by taken_back.invoice, line.sku
)
select count(*)
from back left join ordered on ordered.invoice = back.invoice and ordered.sku = back.sku
where back.units > coalesce(ordered.units, 0)
"""


class Expectation:
    """The lines of the retail file and the facts of a plan, ready to be asked. Holds no connection to anything."""

    def __init__(self, plan: Plan):
        self._database = sqlite3.connect(":memory:")
        self._database.executescript(SCHEMA)
        self._insert("line", ((number, sku, units) for number, sku, units, _, _ in orders.read_lines()))
        self._insert("received", ((sku, known.received) for sku, known in plan.skus.items()))
        matched = ((plan.cancelling_invoices[event], order) for event, order in plan.cancelled_orders.items())
        self._insert("taken_back", matched)
        self._database.execute("create index line_invoice on line (invoice)")

    def cancellations_beyond_their_order(self) -> int:
        """SKUs of orders of which the plan takes back more than was ordered; 0 when the plan is sound."""
        return self._database.execute(TAKEN_BACK_TOO_MUCH).fetchone()[0]

    def final_stock(self, granted: Iterable[str]) -> dict[str, int]:
        """Units on hand by SKU when these orders were granted and no other."""
        self._database.execute("delete from granted")
        self._insert("granted", ((order,) for order in granted))
        return dict(self._database.execute(FINAL_STOCK))

    def _insert(self, table: str, rows: Iterable[tuple]) -> None:
        rows = iter(rows)
        first = next(rows, None)
        if first is None:
            return
        statement = f"insert into {table} values ({', '.join('?' * len(first))})"
        self._database.execute(statement, first)
        self._database.executemany(statement, rows)
