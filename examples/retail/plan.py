"""The plan of a run: which events are published, in which order, and what is known of them beforehand."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from events import Event, Maker
from orders import Cancellation, Invoice, Sorted

# One event in twenty is published a second time.
REPEATED_SHARE = 0.05
# How many invoices later the second copy follows, on average.
REPEAT_DISTANCE = 300
# Cancellations that are delivered before their order; half of them before any order at all.
EARLY_SHARE_OF_PARTS = 0.2
EARLY_SHARE_OF_WHOLE = 0.5
# Carts with several versions of which two change places.
SWAPPED_SHARE = 0.2
CART_EVERY = 3
MOST_CART_VERSIONS = 3
SKUS_PER_RECEIPT = 50
OPENING_TIMES = ("2010-11-29T08:00:00Z", "2010-11-30T08:00:00Z", "2010-12-01T06:00:00Z")
LATER_TIMES = ("2010-12-15T06:00:00Z", *(f"2011-{month:02}-15T06:00:00Z" for month in range(1, 12)))
MOST_LATER_RECEIPTS_PER_SKU = 3
# SKUs that stand on no order are stocked as if so many units were asked for.
UNITS_THAT_NOBODY_ORDERS = 10


@dataclass(slots=True, frozen=True)
class Supply:
    """How much stock there is, in hundredths of what the orders ask for: at the opening and in all. The difference
    comes at some of the later times."""

    name: str
    opening_percent: int
    total_percent: int
    later_times: tuple[str, ...] = LATER_TIMES


# Everything fits from the first order on; what comes later is never needed.
PLENTY = Supply("plenty", 100, 110)
# Refusals, low stock and all-or-nothing come up for real.
HALF = Supply("half", 35, 50)


@dataclass(slots=True)
class Sku:
    """What the plan knows of one SKU, in units."""

    demand: int
    received: int
    warning: int
    critical: int


@dataclass(slots=True)
class Order:
    """A planned order: `lines` counts the lines of the invoice, `units` are by SKU."""

    event: str
    cart: str | None
    lines: int
    units: Counter[str]


@dataclass
class Plan:
    """All of it. Events are known by their ids."""

    supply: Supply
    skus: dict[str, Sku] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    # Consumed before the stream is published: registrations, opening receipts, the earliest cancellations.
    opening: list[Event] = field(default_factory=list)
    stream: list[Event] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    # Order by event of cancellation, and invoice by event of cancellation.
    cancelled_orders: dict[str, str] = field(default_factory=dict)
    cancelling_invoices: dict[str, str] = field(default_factory=dict)
    carts: dict[str, list[Event]] = field(default_factory=dict)
    # Versions that come after a higher one of their cart: they change nothing and are not answered.
    stale: set[str] = field(default_factory=set)
    early_cancellations: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def deliveries(self) -> int:
        """Records that are published, second copies included."""
        return len(self.opening) + len(self.stream)


def make(found: Sorted, supply: Supply, seed: int, now: datetime) -> Plan:
    """The plan for these orders. Everything in it but the times of the carts, which are near `now`, follows from the
    seed: a cart that is older than its own time to live holds nothing."""
    return _Planner(found, supply, seed, now).plan()


class _Planner:
    def __init__(self, found: Sorted, supply: Supply, seed: int, now: datetime):
        self.found = found
        self.make = Maker(seed)
        self.now = now
        self.random = random.Random(f"{seed}/{supply.name}")
        self.result = Plan(supply, left_out=found.left_out)
        # Events of the stream, each with the place where it is delivered, counted in invoices of the file.
        self.placed: list[tuple[float, Event]] = []

    def plan(self) -> Plan:
        self._plan_skus()
        self._plan_receipts()
        for number, order in enumerate(self.found.orders):
            cart = f"cart-{order.number}" if number % CART_EVERY == 0 else None
            self._plan_order(order, cart)
            if cart is not None:
                self._plan_cart(order, cart)
        for cancellation in self.found.cancellations:
            self._plan_cancellation(cancellation)
        self._repeat_some()
        self.placed.sort(key=lambda item: item[0])
        self.result.stream = [event for _, event in self.placed]
        self.result.stale = stale_versions(self.result.stream)
        return self.result

    def _plan_skus(self) -> None:
        demand: Counter[str] = Counter()
        for order in self.found.orders:
            demand.update(order.units())
        for sku in sorted(self.found.skus):
            units = demand[sku] or UNITS_THAT_NOBODY_ORDERS
            self.result.skus[sku] = Sku(units, self._supplied(units)[1], units // 10, units // 50)
            body = {"sku": sku, "warning_threshold": units // 10, "critical_threshold": units // 50}
            self._open(self.make.sku_registered("2010-11-28T08:00:00Z", body))

    def _supplied(self, demand: int) -> tuple[int, int]:
        """Units at the opening and in all. Where there is plenty, fractions are rounded up."""
        supply = self.result.supply
        rounding = 99 if supply.total_percent >= 100 else 0
        opening = demand * supply.opening_percent // 100
        return opening, (demand * supply.total_percent + rounding) // 100

    def _plan_receipts(self) -> None:
        opening: dict[str, list[tuple[str, int]]] = {time: [] for time in OPENING_TIMES}
        later: dict[str, list[tuple[str, int]]] = {time: [] for time in self.result.supply.later_times}
        for sku, known in self.result.skus.items():
            first, total = self._supplied(known.demand)
            for time, units in zip(OPENING_TIMES, in_parts(first, len(OPENING_TIMES))):
                opening[time].append((sku, units))
            times = sorted(self.random.sample(self.result.supply.later_times, MOST_LATER_RECEIPTS_PER_SKU))
            for time, units in zip(times, in_parts(total - first, len(times))):
                later[time].append((sku, units))
        for event in self._receipts(opening):
            self._open(event)
        order_times = [order.invoiced_at for order in self.found.orders]
        for event in self._receipts(later):
            after = bisect_left(order_times, event.time)
            orders_before = self.found.orders[:after][-1:]
            self._place(orders_before[0].position + 0.5 if orders_before else 0, event)

    def _receipts(self, by_time: dict[str, list[tuple[str, int]]]) -> Iterable[Event]:
        for time, lines in by_time.items():
            lines = [(sku, units) for sku, units in lines if units > 0]
            for start in range(0, len(lines), SKUS_PER_RECEIPT):
                receipt = f"receipt-{time[:10]}-{start // SKUS_PER_RECEIPT + 1}"
                yield self.make.stock_received(time, receipt, lines[start : start + SKUS_PER_RECEIPT])

    def _plan_order(self, order: Invoice, cart: str | None) -> None:
        event = self.make.order_created(order.invoiced_at, order.number, cart, order.lines)
        self.result.orders[order.number] = Order(event.id, cart, len(order.lines), order.units())
        self._place(order.position, event)

    def _plan_cart(self, order: Invoice, cart: str) -> None:
        """Up to three versions that grow until they hold what is ordered, some of them in the wrong order."""
        count = min(self.random.randint(1, MOST_CART_VERSIONS), len(order.lines))
        versions = []
        for version in range(1, count + 1):
            time = rfc3339(self.now - timedelta(seconds=60 - version))
            lines = order.lines[: math.ceil(len(order.lines) * version / count)]
            versions.append(self.make.cart_updated(time, cart, version, lines))
        self.result.carts[cart] = list(versions)
        if count > 1 and self.random.random() < SWAPPED_SHARE:
            first = self.random.randrange(count - 1)
            versions[first], versions[first + 1] = versions[first + 1], versions[first]
        place = order.position - self.random.uniform(10, 60)
        for step, event in enumerate(versions):
            self._place(place + step / MOST_CART_VERSIONS, event)

    def _plan_cancellation(self, cancellation: Cancellation) -> None:
        invoice, order = cancellation.invoice, cancellation.order
        event = self.make.order_cancelled(invoice.invoiced_at, invoice.number, order.number, cancellation.parts)
        self.result.cancelled_orders[event.id] = order.number
        self.result.cancelling_invoices[event.id] = invoice.number
        share = EARLY_SHARE_OF_WHOLE if cancellation.parts is None else EARLY_SHARE_OF_PARTS
        if self.random.random() >= share:
            self._place(invoice.position, event)
            return
        self.result.early_cancellations += 1
        if self.random.random() < 0.5:
            self._open(event)
        else:
            self._place(order.position - self.random.uniform(1, 200), event)

    def _repeat_some(self) -> None:
        for position, event in list(self.placed):
            if self.random.random() < REPEATED_SHARE:
                self.placed.append((position + self.random.expovariate(1 / REPEAT_DISTANCE), event))
        for event in list(self.result.opening):
            if self.random.random() < REPEATED_SHARE:
                if self.random.random() < 0.5:
                    self.result.opening.append(event)
                else:
                    self.placed.append((self.random.uniform(0, self._last_position()), event))

    def _last_position(self) -> int:
        return self.found.orders[-1].position if self.found.orders else 0

    def _open(self, event: Event) -> None:
        self.result.events[event.id] = event
        self.result.opening.append(event)

    def _place(self, position: float, event: Event) -> None:
        self.result.events[event.id] = event
        self.placed.append((position, event))


def in_parts(units: int, parts: int) -> list[int]:
    """Units in whole parts of about the same size, larger ones first."""
    return [units // parts + (part < units % parts) for part in range(parts)]


def stale_versions(stream: Iterable[Event]) -> set[str]:
    """Cart events that are delivered for the first time after a higher version of their cart. All versions of a
    cart share a key and so a partition: their order is the one in which they were published."""
    highest: dict[str, int] = {}
    seen: set[str] = set()
    stale: set[str] = set()
    for event in stream:
        if event.type != "cart-updated" or event.id in seen:
            continue
        seen.add(event.id)
        cart, version = event.body["cart_id"], event.body["cart_version"]
        if version < highest.get(cart, 0):
            stale.add(event.id)
        highest[cart] = max(version, highest.get(cart, 0))
    return stale


def rfc3339(moment: datetime) -> str:
    """An instant as events carry it."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
